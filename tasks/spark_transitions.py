"""Rows of the log as transitions, as the loop would have handed them over."""

import numpy as np

from smartrec.core.arrays import Array, IntArray
from smartrec.core.decision import Decision
from smartrec.core.transitions import Transitions
from smartrec.envs.history import History
from smartrec.envs.spark.visits import Visits


def transitions_of(
    columns: dict[str, Array],
    visits: Visits,
    clock: int,
    past: History | None = None,
    extras: dict[str, Array] | None = None,
) -> Transitions:
    """Return the rows of an iteration as transitions.

    Args:
        columns: Of the log, in the order of users, steps and positions.
        visits: Of the world.
        clock: The iteration.
        past: What all users did before the iteration, where they show it.
        extras: What the decisions carried, arrays [B, ...].
    """
    crowd, settings = visits.crowd, visits.settings
    k, steps = settings.slate_size, settings.session_length
    table = {name: values.reshape(-1, k) for name, values in columns.items()}
    users, step = table["user_idx"][:, 0].copy(), table["step"][:, 0]  # Arrow's own memory cannot be written
    observation: dict[str, Array] = {"clock": np.full(len(users), clock)}
    if settings.observe_user:
        observation["user"] = users
    if crowd.user_features is not None:
        observation["user_features"] = crowd.user_features[users]
    allowed = None if crowd.mask is None else crowd.mask(users, clock)
    known = table["log_probability"][:, 0]
    action = table["item_idx"].astype(np.int64)
    responses = table["response"].astype(np.float64)
    visit = (clock - 1) * (settings.users_per_iteration or 0) + np.arange(len(users)) // steps
    before, after = ({}, {}) if past is None else _histories(past, users[::steps], action, table["response"])
    decision = Decision(action[:, 0] if k == 1 else action, None if np.isnan(known).any() else known, extras or {})
    return Transitions(
        observation={**observation, **before},
        decision=decision,
        responses=responses,
        observed=table["observed"].astype(bool),
        reward=responses.sum(axis=1),
        next_observation={**observation, **after},  # nothing else that is seen of a user changes within a visit
        terminated=step == steps - 1,
        truncated=np.zeros(len(users), bool),
        visit=visit,
        step=visit * steps + step,
        allowed=allowed,
        next_allowed=allowed,
    )


def nothing(clock: int) -> Transitions:
    """Return no transitions, at a clock."""
    none = np.zeros((0, 1))
    empty = np.zeros(0, np.int64)
    observation = {"clock": empty + clock}
    flags = np.zeros(0, bool)
    return Transitions(
        observation, Decision(empty), none, none.astype(bool), none[:, 0], observation, flags, flags, empty, empty
    )


def _histories(
    past: History, users: IntArray, items: IntArray, responses: IntArray
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return what users showed before and after each step of their visit, parts [N S, H] of the observation.

    Args:
        past: What they did before.
        users: int [N].
        items: int [N S, K], what they were shown, users by step.
        responses: int [N S, K].
    """
    before, after = {}, {}
    new = {"history_items": items, "history_responses": responses}
    for name, old in past.observation(users).items():  # [N, H]
        whole = np.concatenate([old, new[name].reshape(len(users), -1).astype(old.dtype)], axis=1)  # [N, H + S K]
        shown = np.lib.stride_tricks.sliding_window_view(whole, old.shape[1], axis=1)[:, :: items.shape[1]]
        before[name] = shown[:, :-1].reshape(-1, old.shape[1])  # [N, S, H] -> [N S, H]
        after[name] = shown[:, 1:].reshape(-1, old.shape[1])
    return before, after
