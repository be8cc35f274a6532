"""Task 2: what users like shows in their features."""

from pathlib import Path
from typing import Any

import numpy as np

from smartrec import data
from smartrec.data import sber
from smartrec.data.populations import featured_population
from smartrec.envs.crowd import Crowd
from smartrec.envs.fitted import feature_table
from smartrec.envs.settings import Settings
from smartrec.envs.single import RecommendationEnv, single_options
from smartrec.envs.vector import RecommendationVectorEnv
from smartrec.response_models.preferences import Preferences
from smartrec.response_models.table import Table

N_USERS, N_ITEMS = 3000, 10


class FeaturesVectorEnv(RecommendationVectorEnv):
    """Task 2: a cinema that knows its guests' features.

    ## Users and items
    3000 users and ten films, with features of both. The synthetic crowd is drawn by `featured_population`: who
    likes what depends on gender, age and occupation alone.

    ## Response
    A click with a probability that depends on the features of user and item. Each position of a slate is judged by
    itself, or as `choice` says.

    ## Action
    | | space | meaning |
    |---|---|---|
    | `slate_size` 1 | `Discrete(10)` | the film to show |
    | `slate_size` K | `Slate(10, K)` | K different films |

    ## Observation
    | key | space | meaning |
    |---|---|---|
    | `user` | `Discrete(3000)` | number of the user; absent with `observe_user=False` |
    | `user_features` | `Box` [D] | the user's features, plain columns without an intercept |
    | `clock` | `Discrete(iterations + 2)` | number of the iteration, from 1 |
    | `history_items` | `MultiDiscrete` [H] | items shown last, newest at the end; I: nothing yet; by `history=H` |
    | `history_responses` | `MultiBinary` [H] | what the user did with them |
    | `allowed` | `MultiBinary(10)` | 1 where an item may be shown; by `availability="rolling"` or `candidates=C` |

    The features of the items do not change and are in `problem.item_features`, float [I, D'].

    ## Reward
    Clicks of this step, 0 .. K; at most 1 where `choice` lets the items of a slate compete.

    ## Episode end
    An episode is one visit of `session_length` steps and ends `terminated`, never `truncated`. After
    `iterations` the clock stops at `iterations + 1`.

    ## Settings
    `dataset`: "synthetic"; a folder with the published tables; or a data set with demographics ("ml-100k",
    "ml-1m"), whose most rated films are then the items and whose answers a boosted-tree model learns from the
    features. `positive`: the rating that counts as a click. The other keyword arguments are those of `Settings`;
    the defaults are 20 iterations of a tenth of the users.

    ## Source
    Task 2 of the Sber AI Lab recommender tasks (AIRI summer school 2023), with exactly a tenth of the users an
    iteration.

    ## Versions
    v0: first version.
    """

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        settings = Settings().updated(options, "SmartRec/Task2-v0")
        super().__init__(_crowd(settings), settings, num_envs)


class FeaturesEnv(RecommendationEnv):
    """Task 2, one user a step; see `FeaturesVectorEnv`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(FeaturesVectorEnv(**single_options(options)))


def _crowd(settings: Settings) -> Crowd:
    if settings.dataset == "synthetic":
        return _synthetic(settings)
    tables = sber.find_tables(settings.dataset)
    if tables is not None:
        return _published(settings, tables)
    return _fitted(settings)


def _synthetic(settings: Settings) -> Crowd:
    n_users, n_items = settings.n_users or N_USERS, settings.n_items or N_ITEMS
    people = featured_population(n_users, n_items, seed=settings.population_seed)
    return Crowd(
        Preferences(people.user_factors, people.item_factors),
        n_users,
        people.users.features,
        people.items.features,
        people.items.labels,
        "synthetic users whose taste follows their demographics",
    )


def _published(settings: Settings, folder: Path) -> Crowd:
    table = sber.load_relevance(folder)
    n_users = settings.limited("n_users", len(table.users))
    n_items = settings.limited("n_items", len(table.items))
    assert table.user_features is not None
    assert table.item_features is not None
    return Crowd(
        Table(table.probability[:n_users, :n_items]),
        n_users,
        table.user_features[:n_users],
        table.item_features[:n_items],
        table.titles[:n_items],
        "published relevance of films",
    )


def _fitted(settings: Settings) -> Crowd:
    dataset = data.load(settings.dataset, settings.columns, settings.positive)
    n_users = settings.limited("n_users", len(dataset.users.ids))
    items = dataset.interactions.most_rated(settings.n_items or min(N_ITEMS, len(dataset.items.ids)))
    table, report = feature_table(dataset, items)
    features = dataset.users.features[:n_users]
    return Crowd(
        Table(table[:n_users]),
        n_users,
        features[:, np.ptp(features, axis=0) > 0],
        dataset.items.features[items],
        tuple(dataset.items.labels[item] for item in items),
        f"answers of {dataset.name} by features of user and film",
        report,
    )
