"""The single environment: one lane of the batched one."""

import operator
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from smartrec.core.arrays import Array, BoolArray, FloatArray
from smartrec.core.errors import InvalidAction, InvalidConfig
from smartrec.envs.lanes import Lanes, Part
from smartrec.envs.stream import VisitStream
from smartrec.envs.vector import RecommendationVectorEnv, masks_of

TABLE_CELLS = 1_000_000
"""Largest number of (visit, step, item) answers of a tick that are worked out in one go."""


class RecommendationEnv(gymnasium.Env[dict[str, Any], Any]):
    """One user a step: lane 0 of a ``RecommendationVectorEnv`` with one lane, and no dynamics of its own.

    Where the answers of a whole tick fit a small table, the batch works them all out when the tick begins,
    for every visit and item, and a step looks its answer up; otherwise a step serves a batch of one.

    Args:
        batch: The batched environment, with one lane.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, batch: RecommendationVectorEnv) -> None:
        self.batch = batch
        self.observation_space = batch.single_observation_space
        self.action_space = batch.single_action_space
        self.problem = batch.problem
        settings, n_items = batch.settings, batch.crowd.n_items
        cells = batch.users_per_iteration * settings.session_length * n_items
        self._looks_up = (
            settings.slate_size == 1 and settings.history == 0 and batch.crowd.mask is None and cells <= TABLE_CELLS
        )
        self._stream: VisitStream | None = None
        self._lanes: Lanes | None = None
        self._answers: _TickAnswers | None = None
        self._row = self._step = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin a new world at clock 1 where a seed is given, else serve the next visit of the same world.

        Args:
            seed: Of users and dice, >= 0.
            options: None are known.

        Returns:
            Observation and an empty info.
        """
        if options:
            raise InvalidConfig(f"reset takes no options; it was given {sorted(options)}")
        if seed is not None or self._stream is None:
            super().reset(seed=int(seed) if isinstance(seed, np.integer) else seed)
            self._stream = VisitStream(self.batch.crowd, self.batch.settings, int(self.np_random.integers(2**63)))
            self._answers = None
        if self._looks_up:
            return self._next_row(), {}
        self._lanes = self._stream.take(1)
        return first_lane(self._lanes.observation), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Show the user what was chosen.

        Args:
            action: An item number, or int [K] for slates.

        Returns:
            Observation, reward in clicks, whether the visit ended, False, info.

        Raises:
            InvalidAction: An item number out of range, or another shape or type.
            ResetNeeded: No visit is under way.
        """
        if self._looks_up:
            return self._look_up(action)
        lanes = self._lanes
        if lanes is None or lanes.done:
            raise ResetNeeded("the visit has ended; call reset() to serve the next user")
        reference = self.batch.bounds.of_parts(lanes.parts) if self.batch.reference else None
        visit = int(lanes.visit[0])
        outcome = lanes.respond([action])
        info: dict[str, Any] = {"visit": visit, "expected_reward": float(outcome.expected[0])}
        if reference is not None:
            info["random_expected_reward"], info["best_expected_reward"] = (float(r[0]) for r in reference)
        if self.batch.settings.slate_size > 1:
            info["responses"] = outcome.responses[0]
        if self.batch.crowd.choice.skips:
            info["observed"] = outcome.observed[0]
        if outcome.replaced is not None:
            info["replaced"] = int(outcome.replaced[0])
        return first_lane(lanes.observation), float(outcome.reward[0]), lanes.done, False, info

    def action_masks(self) -> BoolArray:
        """Return what may be shown now, bool [I], or [K I] for slates: the mask once a position.

        Raises:
            ResetNeeded: ``reset`` was not called yet, and users differ in what they may be shown.
        """
        mask: BoolArray = masks_of(self.batch.crowd, self._lanes, 1, self.batch.settings.slate_size)[0]
        return mask

    def _next_row(self) -> dict[str, Any]:
        self._row += 1
        self._step = 0
        answers = self._answers
        if answers is None or self._row == answers.size:
            assert self._stream is not None
            answers = self._answers = _TickAnswers(self.batch, self._stream.take_part(TABLE_CELLS))
            self._row = 0
        return answers.observation(self._row)

    def _look_up(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        answers, row, step = self._answers, self._row, self._step
        if answers is None or step == answers.steps:
            raise ResetNeeded("the visit has ended; call reset() to serve the next user")
        try:
            item = operator.index(action)
        except TypeError:
            raise InvalidAction(f"action {action!r}; allowed: one item, a whole number") from None
        if not 0 <= item < answers.n_items:
            raise InvalidAction(f"item {item}; allowed: item numbers 0 to {answers.n_items - 1}")
        self._step = step = step + 1
        info: dict[str, Any] = {"visit": answers.first + row, "expected_reward": answers.expected.item(row, item)}
        if answers.bounds is not None:
            random, best = answers.bounds
            info["random_expected_reward"], info["best_expected_reward"] = random.item(row), best.item(row)
        if answers.observed is not None:
            info["observed"] = answers.observed[row, step - 1, item : item + 1].copy()
        reward = answers.responses.item(row, step - 1, item)
        return answers.observation(row), float(reward), step == answers.steps, False, info


class _TickAnswers:
    """What every user of a tick would do with every item, worked out by the batch."""

    def __init__(self, batch: RecommendationVectorEnv, part: Part) -> None:
        crowd, n_items = batch.crowd, batch.crowd.n_items
        self.size, self.steps = part.dice.shape[:2]
        self.n_items, self.first = n_items, part.first
        self._users, self._clock = part.users.tolist(), part.state.clock
        self._features = crowd.user_features
        self._sees_user = batch.settings.observe_user
        scores = np.ascontiguousarray(crowd.model.scores(part.users, part.state))
        shape = (self.size, self.steps, n_items)
        probability = np.broadcast_to(scores[:, None], shape).reshape(-1, 1)
        dice = np.broadcast_to(part.dice, shape).reshape(-1, 1)
        responses, observed = crowd.choice.respond(probability, dice)
        self.responses: BoolArray = responses.reshape(shape)
        self.observed: BoolArray | None = observed.reshape(shape) if crowd.choice.skips else None
        self.expected: FloatArray = crowd.choice.expected(scores.reshape(-1, 1)).reshape(self.size, n_items)
        self.bounds: tuple[FloatArray, FloatArray] | None = None
        if batch.reference:
            self.bounds = batch.bounds.of(part.users, part.state)

    def observation(self, row: int) -> dict[str, Any]:
        user = self._users[row]
        seen: dict[str, Any] = {"user": user} if self._sees_user else {}
        if self._features is not None:
            seen["user_features"] = self._features[user].copy()
        seen["clock"] = self._clock
        return seen


def first_lane(observation: dict[str, Array]) -> dict[str, Any]:
    """Return lane 0 as copies; numbers as Python's own."""
    return {key: row[0].item() if row.ndim == 1 else row[0].copy() for key, row in observation.items()}


def single_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a one-lane batch for those of a single environment, which replaces repeats.

    Raises:
        TypeError: A ``render_mode`` is given.
        InvalidConfig: A number of lanes is given.
    """
    return {**one_lane_options(options), "on_repeat": options.get("on_repeat") or "replace"}


def one_lane_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a one-lane batch for those of a single environment.

    Raises:
        TypeError: A ``render_mode`` is given; ``gymnasium`` and Stable-Baselines3 expect this type.
        InvalidConfig: A number of lanes is given.
    """
    options = dict(options)
    if "num_envs" in options:
        raise InvalidConfig(
            f"num_envs = {options['num_envs']!r} for a single environment; for a batch use gymnasium.make_vec"
        )
    if options.pop("render_mode", None) is not None:
        raise TypeError("got an unexpected keyword argument 'render_mode': nothing is rendered, leave it out")
    return options
