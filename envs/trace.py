"""A world served by fixed rules: what happened, visit by visit, and whether two worlds did the same."""

import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from smartrec.core.arrays import Array, IntArray
from smartrec.core.errors import CheckFailed
from smartrec.envs.vector import RecommendationVectorEnv

SEED = 20240101
TOLERANCE = 1e-6
"""By how much expected rewards may differ."""

Trace = dict[str, Array]
"""What happened in visits 0, 1, ...: arrays [V, S, ...], S steps a visit."""


def trace_of(batch: RecommendationVectorEnv, visits: int) -> Trace:
    """Serve at least ``visits`` visits of a new world and return the first ``visits``."""
    observation, _ = batch.reset(seed=SEED)
    return go_on(batch, observation, visits)


def go_on(batch: RecommendationVectorEnv, observation: Any, visits: int) -> Trace:
    """Serve at least ``visits`` visits more, from ``observation`` on, and return the first ``visits``.

    Raises:
        CheckFailed: A step breaks a rule that holds for each by itself.
    """
    lanes, steps = batch.num_envs, batch.session_length
    rows: list[list[Trace]] = []
    for first in range(0, visits, lanes):
        rows.append([])
        for step in range(steps):
            _inside(batch, observation)
            actions = actions_of(batch, np.arange(first, first + lanes), step, observation)
            seen = observation
            observation, reward, terminated, truncated, info = batch.step(actions)
            require_ends(terminated, truncated, step + 1 == steps)
            _observed(batch, reward, info)
            row = {**seen, "reward": reward, **parts_of(info)}
            rows[-1].append({key: np.asarray(value) for key, value in row.items()})
    keys = rows[0][0]
    return {
        key: np.concatenate([np.stack([step[key] for step in row], axis=1) for row in rows])[:visits] for key in keys
    }


def parts_of(info: dict[str, Any]) -> dict[str, Any]:
    """Return what a trace keeps of an ``info``."""
    return {key: info[key] for key in ("visit", "expected_reward", "responses", "observed") if key in info}


def actions_of(batch: RecommendationVectorEnv, visits: IntArray, step: int, observation: Any) -> IntArray:
    """Return legal actions [N] or [N, K] that are a function of visit, step and what is allowed alone."""
    slate_size, n_items = batch.settings.slate_size, batch.crowd.n_items
    places = (visits[:, None] * 7 + step * 3 + np.arange(slate_size)) % n_items
    allowed = observation.get("allowed")
    if allowed is not None:
        for lane, row in enumerate(allowed):
            items = np.flatnonzero(row)
            places[lane] = items[(visits[lane] * 7 + step * 3 + np.arange(slate_size)) % len(items)]
    return places[:, 0] if slate_size == 1 else places


def _inside(batch: RecommendationVectorEnv, observation: Any) -> None:
    if not batch.observation_space.contains(observation):
        raise CheckFailed(
            "every observation lies in observation_space",
            f"{ {key: (value.dtype, value.shape) for key, value in observation.items()} }",
            "compare types, shapes and bounds with observation_space",
        )


def _observed(batch: RecommendationVectorEnv, reward: Array, info: dict[str, Any]) -> None:
    shape, responses = (batch.num_envs, batch.settings.slate_size), info.get("responses", reward[:, None])
    observed, seen = info.get("observed"), 'info["observed"]'
    if (observed is not None) != batch.crowd.choice.skips:
        raise CheckFailed(
            f"{seen} is there exactly where the choice may leave positions unseen",
            f"skips = {batch.crowd.choice.skips}, and {'no' if observed is None else 'an'} {seen}",
            "let Choice.skips say it, and leave info to RecommendationVectorEnv.step",
        )
    if observed is None:
        return
    if observed.dtype != bool or observed.shape != shape:
        raise CheckFailed(
            f"{seen} is bool {shape}, one for each position",
            f"{observed.dtype} {observed.shape}",
            "a choice returns Answers(responses, observed), both bool [N, K]",
        )
    if responses[~observed].any():
        raise CheckFailed(
            "a position that nobody saw has no response",
            f"{np.count_nonzero(responses[~observed])} such responses in {shape[0]} visits",
            "a choice marks as observed what was clicked",
        )


def require_ends(terminated: Array, truncated: Array, last: bool) -> None:
    """Raise CheckFailed unless visits end where they should."""
    if truncated.any() or (terminated != last).any():
        raise CheckFailed(
            "all visits end together, terminated, after session_length steps, and are never truncated",
            f"terminated {terminated.tolist()[:8]}, truncated {truncated.tolist()[:8]}, last step: {last}",
            "leave ends to RecommendationVectorEnv.step",
        )


def require_same(left: Trace, right: Trace, rule: str, fix: str) -> None:
    """Raise CheckFailed, with the rule and what to do, unless two worlds did and said the same."""
    if left.keys() != right.keys():
        raise CheckFailed(rule, f"only one of them has {sorted(left.keys() ^ right.keys())}", fix)
    for key, value in right.items():
        exact = value.dtype.kind != "f" or key in ("reward", "responses")
        close = np.array_equal(left[key], value) if exact else np.allclose(left[key], value, rtol=0, atol=TOLERANCE)
        if not close:
            where = np.argwhere(np.abs(left[key].astype(float) - value) > (0 if exact else TOLERANCE))[0]
            raise CheckFailed(rule, f"{key} differs first in visit {where[0]}, step {where[1]} of the trace", fix)


def require_interface(single: "gymnasium.Env[Any, Any]") -> None:
    """Raise CheckFailed unless Gymnasium's own check passes, with its warnings as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            # Without a spec Gymnasium warns that it cannot make the environment again in its render modes.
            gymnasium_check_env(single, skip_render_check=True)
        except Exception as error:
            raise CheckFailed(
                "gymnasium.utils.env_checker.check_env passes without a warning",
                f"{type(error).__name__}: {error}",
                "see the message; spaces come from the crowd and its features",
            ) from error
