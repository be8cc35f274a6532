"""Task 3: what users like turns around."""

from dataclasses import replace
from typing import Any

from smartrec.envs.popularity import popular_crowd
from smartrec.envs.settings import Settings
from smartrec.envs.single import RecommendationEnv, single_options
from smartrec.envs.vector import RecommendationVectorEnv
from smartrec.response_models.drift import DriftingPopularity
from smartrec.response_models.popularity import Popularity


class DriftVectorEnv(RecommendationVectorEnv):
    """Task 3: the bakery of task 1, whose popular breads fall out of fashion.

    ## Users and items
    5000 users and ten breads, as in task 1.

    ## Response
    A click with the probability of the item at the clock t: with d = min(max(t - 5, 0), 10) the three best
    items have 0.75 - 0.06 d, the three worst 0.10 + 0.06 d, the others 0.40. From clock 11 on the former worst
    are the best. Each position of a slate is judged by itself, or as `choice` says.

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
    An episode is one visit of `session_length` steps and ends `terminated`, never `truncated`. After
    `iterations` the clock stops at `iterations + 1`.

    ## Settings
    `dataset`: "synthetic", a folder with the published table, or a log, whose most rated items then drift: the
    best three tenths fall, the worst three tenths rise. The other keyword arguments are those of `Settings`; the
    defaults are 30 iterations of 500 users.

    ## Source
    Task 3 of the Sber AI Lab recommender tasks (AIRI summer school 2023), with exactly a tenth of the users an
    iteration.

    ## Versions
    v0: first version.
    """

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        settings = Settings(iterations=30).updated(options, "SmartRec/Task3-v0")
        crowd = popular_crowd(settings)
        assert isinstance(crowd.model, Popularity)
        model = DriftingPopularity(crowd.model.popularity)
        super().__init__(replace(crowd, model=model, about=f"{crowd.about}, drifting"), settings, num_envs)


class DriftEnv(RecommendationEnv):
    """Task 3, one user a step; see `DriftVectorEnv`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(DriftVectorEnv(**single_options(options)))
