"""The examination of an environment that walks a log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from smartrec.core.arrays import Array, IntArray
from smartrec.core.config import to_dict
from smartrec.core.errors import CheckFailed, InvalidAction, InvalidInput
from smartrec.envs.logged import LoggedEnv, LoggedVectorEnv
from smartrec.envs.logged_log import LoggedLog
from smartrec.envs.trace import SEED, require_interface

STEPS = 400
"""Of a trace, a lane."""

Visits = dict[int, dict[str, Array]]
"""What happened in each visit that ended: number -> arrays [T, ...]."""


@dataclass(frozen=True)
class LoggedMaker:
    """Makes the environment under examination with any number of lanes."""

    batch: Callable[[int], Any]
    single: Callable[[], Any]


def logged_maker(base: Any, options: dict[str, Any]) -> LoggedMaker | None:
    """Return how to make an environment that walks a log, of an id or of one that is made; None for any other.

    Raises:
        InvalidInput: Options for one that is made already.
    """
    if isinstance(base, str):
        if not isinstance(gymnasium.make(base, **options).unwrapped, LoggedEnv):
            return None
        return LoggedMaker(
            lambda lanes: gymnasium.make_vec(base, num_envs=lanes, **options).unwrapped,
            lambda: gymnasium.make(base, **options).unwrapped,
        )
    if not isinstance(base, (LoggedEnv, LoggedVectorEnv)):
        return None
    if options:
        raise InvalidInput(f"options {sorted(options)} with a made environment; allowed with an id only")
    batch = base.batch if isinstance(base, LoggedEnv) else base
    single = type(base) if isinstance(base, LoggedEnv) else LoggedEnv
    settings = to_dict(batch.log.settings)
    return LoggedMaker(lambda lanes: type(batch)(lanes, **settings), lambda: single(**settings))


def examine_logged(maker: LoggedMaker) -> None:
    """Raise CheckFailed unless an environment that walks a log keeps the contract.

    Gymnasium's own check. Then: every observation lies in its space; a visit has the answers of the log, in order, and
    none more; a step is matched exactly where the item is the logged one, and then has the logged reward, under
    "logged" always; what is rejected is worth nothing and not observed; the same seed gives the same visits at any
    number of lanes and in the single environment; actions that cannot be taken are refused and change nothing.
    """
    require_interface(maker.single())
    batch = maker.batch(1)
    trace = _trace(batch)
    _require_as_logged(batch.log, trace)
    for lanes in (3, 16):
        _require_same(_trace(maker.batch(lanes)), trace, f"the same seed gives the same visits with {lanes} lanes")
    _require_same(_single_trace(maker.single()), trace, "the single environment is the batch with one lane")
    _require_same(_trace(batch, _refused), trace, "an action that is refused changes nothing")


def _trace(batch: LoggedVectorEnv, before: Callable[[LoggedVectorEnv], None] = lambda _: None) -> Visits:
    """Walk with fixed actions, calling ``before`` ahead of each step."""
    observation, _ = batch.reset(seed=SEED)
    under_way: list[list[dict[str, Any]]] = [[] for _ in range(batch.num_envs)]
    ended: Visits = {}
    for _ in range(STEPS):
        before(batch)
        rows = batch.rows
        action = _actions(batch.log, rows)
        if not batch.observation_space.contains(observation):
            seen = {key: (value.dtype, value.shape) for key, value in observation.items()}
            fix = "compare types, shapes and bounds with observation_space"
            raise CheckFailed("every observation lies in observation_space", f"{seen}", fix)
        following, reward, terminated, truncated, info = batch.step(action)
        if truncated.any():
            raise CheckFailed("visits are never truncated", f"{truncated.tolist()[:8]}", "leave ends to step")
        said = {key: value for key, value in info.items() if not key.startswith("_")}
        happened = {**observation, **said, "action": action, "row": rows, "reward": reward}
        for lane, visit in enumerate(info["visit"].tolist()):
            under_way[lane].append({key: value[lane] for key, value in happened.items()})
            if terminated[lane]:
                ended[visit], under_way[lane] = _stacked(under_way[lane]), []
        observation = following
    return ended


def _single_trace(env: LoggedEnv) -> Visits:
    observation, _ = env.reset(seed=SEED)
    under_way: list[dict[str, Any]] = []
    ended: Visits = {}
    for _ in range(STEPS):
        row = env.row
        action = int(_actions(env.log, np.array([row]))[0])
        following, reward, terminated, _, info = env.step(action)
        under_way.append({**observation, **info, "action": action, "row": row, "reward": reward})
        if terminated:
            ended[info["visit"]], under_way = _stacked(under_way), []
            following, _ = env.reset()
        observation = following
    return ended


def _actions(log: LoggedLog, rows: IntArray) -> IntArray:
    """Return the logged item at every other row, else one that is a function of the row."""
    return np.where(rows % 2 == 0, log.items[rows], 7 * rows % log.n_items)


def _stacked(rows: list[dict[str, Any]]) -> dict[str, Array]:
    return {key: np.stack([np.asarray(row[key]) for row in rows]) for key in rows[0]}


def _require_as_logged(log: LoggedLog, trace: Visits) -> None:
    """Compare visits with the log."""
    walks = dict(zip(log.first.tolist(), log.ends.tolist(), strict=True))
    for visit, seen in trace.items():
        rows, reward, matched = seen["row"], seen["reward"], seen["action"] == log.items[seen["row"]]
        answered = np.ones(len(rows), bool) if log.settings.mismatch == "logged" else matched
        rejected = ~matched if log.settings.mismatch == "rejection" else np.zeros(len(rows), bool)
        rules = {
            "a visit has all answers of its user, in order": rows.tolist() == [*range(rows[0], walks[int(rows[0])])],
            'info["matched"] says where the item is the logged one': np.array_equal(seen["matched"], matched),
            "a logged answer has the logged reward": np.array_equal(reward[answered], log.ratings[rows[answered]]),
            "what is rejected is worth nothing, and not observed": not reward[rejected].any()
            and not seen.get("observed", ~rejected)[rejected].any(),
        }
        for rule, holds in rules.items():
            if not holds:
                raise CheckFailed(rule, f"visit {visit}, rewards {reward.tolist()[:8]}", "leave answers to Walk")


def _require_same(left: Visits, right: Visits, rule: str) -> None:
    """Compare the visits that ended in both."""
    fix = "let a visit depend on its number and on the actions alone"
    both = left.keys() & right.keys()
    if not both and right:
        raise CheckFailed(rule, f"visits {sorted(left)[:8]} against {sorted(right)[:8]}", fix)
    for visit in sorted(both):
        one, other = left[visit], right[visit]
        if one.keys() != other.keys():
            raise CheckFailed(rule, f"only one of them has {sorted(one.keys() ^ other.keys())}", fix)
        differ = [key for key, values in other.items() if not np.array_equal(one[key], values)]
        if differ:
            raise CheckFailed(rule, f"{differ[0]} differs in visit {visit}", fix)


def _refused(batch: LoggedVectorEnv) -> None:
    """Try actions that cannot be taken."""
    good = np.zeros(batch.num_envs, int)
    for name, action in (
        ("an item number below 0", good - 1),
        ("an item number from I on", good + batch.log.n_items),
        ("an action for another number of lanes", np.append(good, 0)),
        ("an action that is no whole number", good.astype(float)),
    ):
        try:
            batch.step(action)
        except InvalidAction:
            continue
        raise CheckFailed(f"{name} is refused with InvalidAction", f"{action!r} was taken", "leave checks to Walk")
