"""The examination of a world: whoever builds one gets the check that tasks 1-4 get."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from smartrec.core.arrays import Array
from smartrec.core.errors import CheckFailed, InvalidAction, InvalidInput, UnknownName, did_you_mean
from smartrec.envs.logged_checks import examine_logged, logged_maker
from smartrec.envs.single import RecommendationEnv
from smartrec.envs.trace import (
    SEED,
    TOLERANCE,
    Trace,
    actions_of,
    go_on,
    parts_of,
    require_ends,
    require_interface,
    require_same,
    trace_of,
)
from smartrec.envs.vector import RecommendationVectorEnv
from smartrec.response_models.checks import with_untouched_generators

MOST_VISITS = 3000
"""Visits of a trace at most, so that large worlds are checked in seconds."""


@dataclass(frozen=True)
class _Maker:
    """Makes the world under examination with any number of lanes."""

    batch: Callable[[int], RecommendationVectorEnv]
    single: Callable[[], RecommendationEnv]


def check_env(env_or_id: Any, **options: Any) -> None:
    """Raise unless a world keeps Gymnasium's interface and our contract.

    Gymnasium's own check, with its warnings as errors, on the single environment. Then: the same seed gives the
    same visits, users, clock, expected reward and rewards at any number of lanes; ``make_vec`` with one lane
    equals ``make``; actions that cannot be taken are refused and change nothing; rewards are whole numbers
    0 .. K and expected rewards in [0, K]; what nobody saw is marked and has no response; nothing beats
    ``best_expected_reward``; a census leaves the world as it was and is the same twice; observations lie in their
    space; no global generator is touched.

    Args:
        env_or_id: An environment id, or a SmartRec environment, single or batched; it is only read. One that walks a
            log is examined by the rules of ``smartrec.envs.logged_checks``.
        options: Keyword arguments for an id.

    Raises:
        CheckFailed: With the rule, what was seen, and what to do.
        InvalidInput: It is no SmartRec world.
        UnknownName: No environment has this id.
    """
    base = getattr(env_or_id, "unwrapped", env_or_id)
    if isinstance(base, str):
        _require_known(base)
    logged = logged_maker(base, options)
    if logged is not None:
        with_untouched_generators(lambda: examine_logged(logged))
        return
    maker = _maker(base, options)
    with_untouched_generators(lambda: _examine(maker))


def _examine(maker: _Maker) -> None:
    require_interface(maker.single())
    whole = maker.batch(1)
    trace = trace_of(whole, _visits(whole))
    _rewards(trace, whole.settings.slate_size)
    _any_number_of_lanes(maker, trace)
    _one_lane_is_single(maker, trace)
    _refusals(maker, trace)
    _best_is_best(maker)
    _census(maker, trace)


def _require_known(env_id: str) -> None:
    if ":" not in env_id and env_id not in gymnasium.registry:
        known = [known for known in gymnasium.registry if known.startswith("SmartRec/")]
        raise UnknownName(f"unknown environment {env_id!r}. {did_you_mean(env_id, known)}")


def _maker(base: Any, options: dict[str, Any]) -> _Maker:
    if isinstance(base, str):
        return _Maker(
            lambda lanes: _as_batch(gymnasium.make_vec(base, num_envs=lanes, **options)),
            lambda: _as_single(gymnasium.make(base, **options)),
        )
    if options:
        raise InvalidInput(f"options {sorted(options)} with a made environment; allowed with an id only")
    batch = _as_batch(base.batch if isinstance(base, RecommendationEnv) else base)
    crowd, settings = batch.crowd, batch.settings
    return _Maker(
        lambda lanes: RecommendationVectorEnv(crowd, settings, lanes),
        lambda: RecommendationEnv(
            RecommendationVectorEnv(crowd, replace(settings, on_repeat=settings.on_repeat or "replace"))
        ),
    )


def _as_batch(env: Any) -> RecommendationVectorEnv:
    base = getattr(env, "unwrapped", env)
    if isinstance(base, RecommendationVectorEnv):
        return base
    raise InvalidInput(f"{env} is no SmartRec world; allowed: environments built on RecommendationVectorEnv")


def _as_single(env: Any) -> RecommendationEnv:
    if isinstance(env.unwrapped, RecommendationEnv):
        return env.unwrapped
    raise InvalidInput(f"{env} is no SmartRec world; allowed: environments built on RecommendationEnv")


def _visits(batch: RecommendationVectorEnv) -> int:
    """Return how many visits a trace has: into the second tick, where that is not too many."""
    return min(batch.users_per_iteration + batch.users_per_iteration // 2 + 1, MOST_VISITS)


def _rewards(trace: Trace, slate_size: int) -> None:
    reward, expected = trace["reward"], trace["expected_reward"]
    if (reward != reward.round()).any() or reward.min() < 0 or reward.max() > slate_size:
        raise CheckFailed(
            f"rewards are whole numbers 0 .. {slate_size}",
            f"{reward.min():g} to {reward.max():g}",
            "a choice returns bool [N, K]",
        )
    if not (expected >= 0).all() or not (expected <= slate_size + TOLERANCE).all():
        raise CheckFailed(
            f"expected rewards lie in [0, {slate_size}]",
            f"{expected.min():g} to {expected.max():g}",
            "compare Choice.expected with the probabilities it is given",
        )


def _any_number_of_lanes(maker: _Maker, trace: Trace) -> None:
    visits = len(trace["visit"])
    for lanes in _lane_numbers(maker.batch(1)):
        require_same(
            trace_of(maker.batch(lanes), visits),
            trace,
            f"the same seed gives the same visits with {lanes} lanes as with one",
            "draw users and dice a tick at a time, and let each lane depend on its own user alone",
        )


def _lane_numbers(batch: RecommendationVectorEnv) -> list[int]:
    """Return numbers of lanes to try: within a tick, a whole one, and across ticks where that is allowed."""
    tick = batch.users_per_iteration
    if batch.settings.history == 0:
        return sorted({7, 100, tick, 2 * tick + tick // 2 + 1} - {1})
    divisors = [lanes for lanes in range(2, tick + 1) if tick % lanes == 0]
    return sorted({*divisors[:2], *divisors[-1:]})


def _one_lane_is_single(maker: _Maker, trace: Trace) -> None:
    single, batch = maker.single(), maker.batch(1)
    seen, _ = single.reset(seed=SEED)
    for visit in range(min(len(trace["visit"]), 300)):
        for step in range(batch.session_length):
            row = {key: np.asarray(value)[None] for key, value in seen.items()}
            action = actions_of(batch, np.array([visit]), step, row)[0]
            following, reward, terminated, truncated, info = single.step(action)
            require_ends(np.array([terminated]), np.array([truncated]), step + 1 == batch.session_length)
            row |= {"reward": np.array([reward])} | {k: np.asarray(v)[None] for k, v in parts_of(info).items()}
            require_same(
                {key: value[:, None] for key, value in row.items()},
                {key: value[visit : visit + 1, step : step + 1] for key, value in trace.items()},
                f"the single environment is the batch with one lane (visit {visit}, step {step})",
                "keep scores and probability of the response model equal",
            )
            seen = following
        seen, _ = single.reset()


def _refusals(maker: _Maker, trace: Trace) -> None:
    """Try actions that cannot be taken; the world must refuse them and go on as if nothing had happened."""
    batch = maker.batch(1)
    observation, _ = batch.reset(seed=SEED)
    for name, action in _bad_actions(batch):
        try:
            batch.step(action)
        except InvalidAction:
            continue
        raise CheckFailed(
            f"{name} is refused with InvalidAction", f"{action!r} was taken", "leave checks to Lanes.respond"
        )
    visits = min(len(trace["visit"]), 50)
    require_same(
        go_on(batch, observation, visits),
        {key: value[:visits] for key, value in trace.items()},
        "an action that is refused changes nothing",
        "check all input before anything is written",
    )


def _bad_actions(batch: RecommendationVectorEnv) -> Iterator[tuple[str, Any]]:
    slate_size, n_items = batch.settings.slate_size, batch.crowd.n_items
    shape = (1,) if slate_size == 1 else (1, slate_size)
    good = np.arange(slate_size).reshape(shape)
    yield "an item number below 0", good - 1
    yield "an item number from I on", good + n_items
    yield "an action for another number of lanes", np.concatenate([good, good])
    yield "an action without lanes", good[0]
    yield "an action that is no whole number", good.astype(float)
    if slate_size > 1 and batch.settings.on_repeat != "replace":
        yield "a slate that repeats an item", np.zeros(shape, int)


def _best_is_best(maker: _Maker) -> None:
    batch = maker.batch(1)
    batch.reference = True
    observation, _ = batch.reset(seed=SEED)
    for visit in range(min(_visits(batch), 200)):
        for step in range(batch.session_length):
            actions = actions_of(batch, np.array([visit]), step, observation)
            observation, _, _, _, info = batch.step(actions)
            best, expected = info["best_expected_reward"][0], info["expected_reward"][0]
            if best < expected - TOLERANCE:
                raise CheckFailed(
                    "no slate is expected to get more than best_expected_reward",
                    f"{expected:g} against {best:g} in visit {visit}",
                    "compare Choice.best with Choice.expected, and scores with probability",
                )


def _census(maker: _Maker, trace: Trace) -> None:
    batch = maker.batch(1)
    observation, _ = batch.reset(seed=SEED)
    clock = batch.iterations + 1
    first, again = _census_rewards(batch, clock), _census_rewards(batch, clock)
    if not np.array_equal(first, again):
        raise CheckFailed(
            "a census is the same twice", f"{np.sum(first != again)} users differ", "seed its dice by the clock"
        )
    if len(first) != batch.crowd.n_users:
        raise CheckFailed(
            "a census serves every user once", f"{len(first)} visits", f"serve {batch.crowd.n_users}, one a user"
        )
    visits = min(len(trace["visit"]), 50)
    require_same(
        go_on(batch, observation, visits),
        {key: value[:visits] for key, value in trace.items()},
        "a census leaves the world as it was",
        "give it dice and a history of its own",
    )


def _census_rewards(batch: RecommendationVectorEnv, clock: int) -> Array:
    rewards = []
    for visits in batch.census(clock):
        total = np.zeros(len(visits.visit))
        step = 0
        while not visits.done:
            outcome = visits.respond(actions_of(batch, visits.visit, step, visits.observation))
            if not batch.crowd.choice.skips and not outcome.observed.all():
                raise CheckFailed(
                    "a choice that may leave positions unseen says so",
                    f"{np.count_nonzero(~outcome.observed)} unseen positions of {outcome.observed.size}",
                    "set skips = True; without it agents are told that all was seen",
                )
            total += outcome.reward
            step += 1
        rewards.append(total)
    return np.concatenate(rewards)
