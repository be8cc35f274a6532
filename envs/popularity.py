"""Task 1: which items do users like?"""

from typing import Any

from smartrec import data
from smartrec.data import sber
from smartrec.envs.crowd import Crowd
from smartrec.envs.fitted import fit_popularity
from smartrec.envs.settings import Settings
from smartrec.envs.single import RecommendationEnv, single_options
from smartrec.envs.vector import RecommendationVectorEnv
from smartrec.response_models.popularity import Popularity

N_USERS, N_ITEMS = 5000, 10


class PopularityVectorEnv(RecommendationVectorEnv):
    """Task 1: a bakery whose customers all have the same taste.

    ## Users and items
    5000 users and ten breads that everybody likes alike: three popular, four middling, three unpopular. There
    are no features; an agent can only count.

    ## Response
    A click with the probability of the item, 0.75, 0.40 or 0.10. Each position of a slate is judged by itself, or as
    `choice` says.

    ## Action
    | | space | meaning |
    |---|---|---|
    | `slate_size` 1 | `Discrete(10)` | the item to show |
    | `slate_size` K | `Slate(10, K)` | K different items |

    ## Observation
    | key | space | meaning |
    |---|---|---|
    | `user` | `Discrete(5000)` | number of the user; absent with `observe_user=False` |
    | `clock` | `Discrete(iterations + 2)` | number of the iteration, from 1 |
    | `history_items` | `MultiDiscrete` [H] | items shown last, newest at the end; I: nothing yet; by `history=H` |
    | `history_responses` | `MultiBinary` [H] | what the user did with them |
    | `allowed` | `MultiBinary(10)` | 1 where an item may be shown; by `availability="rolling"` or `candidates=C` |

    ## Reward
    Clicks of this step, 0 .. K; at most 1 where `choice` lets the items of a slate compete.

    ## Episode end
    An episode is one visit of `session_length` steps and ends `terminated`, never `truncated`. Visits come
    in iterations of `users_per_iteration` different users; `reset(seed=...)` begins a new world at clock 1,
    `reset()` serves the next visit. After `iterations` the clock stops at `iterations + 1`.

    ## Settings
    `dataset`: "synthetic", a folder with the published table, or a log, whose most rated items then have the
    share of positive answers as popularity. The other keyword arguments are those of `Settings`; the defaults are
    20 iterations of 500 users.

    ## Source
    Task 1 of the Sber AI Lab recommender tasks (AIRI summer school 2023). Departure: an iteration has exactly a
    tenth of the users, where the original draws each user with probability 0.1.

    ## Versions
    v0: first version.
    """

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        settings = Settings().updated(options, "SmartRec/Task1-v0")
        super().__init__(popular_crowd(settings), settings, num_envs)


class PopularityEnv(RecommendationEnv):
    """Task 1, one user a step; see `PopularityVectorEnv`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(PopularityVectorEnv(**single_options(options)))


def popular_crowd(settings: Settings) -> Crowd:
    """Return a crowd whose users all like the same items."""
    if settings.dataset == "synthetic":
        popularity = Popularity.breads(settings.n_items or N_ITEMS).popularity
        about = "breads with known popularity"
    elif (folder := sber.find_tables(settings.dataset)) is not None:
        published = sber.load_popularity(folder)
        popularity = published[: settings.limited("n_items", len(published))]
        about = "breads of the published table"
    else:
        return _crowd_of_log(settings)
    labels = tuple(f"bread {item}" for item in range(len(popularity)))
    return Crowd(Popularity(popularity), settings.n_users or N_USERS, item_labels=labels, about=about)


def _crowd_of_log(settings: Settings) -> Crowd:
    dataset = data.load(settings.dataset, settings.columns, settings.positive)
    items = dataset.interactions.most_rated(settings.n_items or min(N_ITEMS, len(dataset.items.ids)))
    popularity, report = fit_popularity(dataset)
    return Crowd(
        Popularity(popularity[items]),
        settings.limited("n_users", len(dataset.users.ids)),
        item_labels=tuple(dataset.items.labels[item] for item in items),
        about=f"share of positive answers on {dataset.name}",
        report=report,
    )
