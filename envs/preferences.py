"""Task 4: what users like is hidden."""

from typing import Any

from smartrec import data
from smartrec.data import sber
from smartrec.data.populations import taste_population
from smartrec.envs.crowd import Crowd
from smartrec.envs.fitted import preferences
from smartrec.envs.settings import Settings
from smartrec.envs.single import RecommendationEnv, single_options
from smartrec.envs.vector import RecommendationVectorEnv
from smartrec.response_models.preferences import Preferences
from smartrec.response_models.table import Table

N_USERS, N_ITEMS = 6040, 1000


class PreferencesVectorEnv(RecommendationVectorEnv):
    """Task 4: a cinema with a thousand films and guests of hidden taste.

    ## Users and items
    6040 users and 1000 films; a visit is shown ten of them. The synthetic crowd is drawn by
    `taste_population`: a personal taste of low rank, beside popularity and a little demographics.

    ## Response
    A click with the probability sigmoid(user factors . item factors), where the factors are hidden. Each position of
    a slate is judged by itself, or as `choice` says.

    ## Action
    | | space | meaning |
    |---|---|---|
    | `slate_size` 10 | `Slate(1000, 10)` | ten different films |
    | `slate_size` 1 | `Discrete(1000)` | the film to show |

    ## Observation
    | key | space | meaning |
    |---|---|---|
    | `user` | `Discrete(6040)` | number of the user; absent with `observe_user=False` |
    | `clock` | `Discrete(iterations + 2)` | number of the iteration, from 1 |
    | `history_items` | `MultiDiscrete` [H] | items shown last, newest at the end; I: nothing yet; by `history=H` |
    | `history_responses` | `MultiBinary` [H] | what the user did with them |
    | `allowed` | `MultiBinary(1000)` | 1 where an item may be shown; by `availability="rolling"` or `candidates=C` |

    ## Reward
    Clicks of this step, 0 .. K; at most 1 where `choice` lets the items of a slate compete.

    ## Episode end
    An episode is one visit of `session_length` steps and ends `terminated`, never `truncated`. After
    `iterations` the clock stops at `iterations + 1`.

    ## Settings
    `dataset`: "synthetic"; a folder with the published table; a data set ("ml-100k", "ml-1m",
    "ml-latest-small"); or the path of a CSV or Parquet file of your own with `columns` and `positive`. A log is
    fitted by a factor model, and its 1000 most rated items are shown. The other keyword arguments are those of
    `Settings`; the defaults are 50 iterations of a tenth of the users, ten items a slate.

    ## Source
    Task 4 of the Sber AI Lab recommender tasks (AIRI summer school 2023), with exactly a tenth of the users an
    iteration. How the original maps factors to probabilities was not published.

    ## Versions
    v0: first version.
    """

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        settings = Settings(iterations=50, slate_size=10).updated(options, "SmartRec/Task4-v0")
        super().__init__(_crowd(settings), settings, num_envs)


class PreferencesEnv(RecommendationEnv):
    """Task 4, one user a step; see `PreferencesVectorEnv`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(PreferencesVectorEnv(**single_options(options)))


def _crowd(settings: Settings) -> Crowd:
    if settings.dataset == "synthetic":
        n_users, n_items = settings.n_users or N_USERS, settings.n_items or N_ITEMS
        people = taste_population(n_users, n_items, seed=settings.population_seed)
        model = Preferences(people.user_factors, people.item_factors)
        about = "synthetic users with a hidden taste"
        return Crowd(model, n_users, item_labels=people.items.labels, about=about)
    folder = sber.find_tables(settings.dataset)
    if folder is not None:
        table = sber.load_preferences(folder)
        n_users = settings.limited("n_users", len(table.users))
        n_items = settings.limited("n_items", len(table.items))
        return Crowd(Table(table.probability[:n_users, :n_items]), n_users, about="published preferences")
    return _fitted(settings)


def _fitted(settings: Settings) -> Crowd:
    dataset = data.load(settings.dataset, settings.columns, settings.positive)
    n_users = settings.limited("n_users", len(dataset.users.ids))
    items = dataset.interactions.most_rated(settings.n_items or min(N_ITEMS, len(dataset.items.ids)))
    model, report = preferences(dataset, items)
    return Crowd(
        model,
        n_users,
        item_labels=tuple(dataset.items.labels[item] for item in items),
        about=f"hidden factors of {dataset.name}",
        report=report,
    )
