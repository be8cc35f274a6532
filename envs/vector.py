"""The batched environment: N users served at once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from smartrec.core.arrays import Array, BoolArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.slate import Slate
from smartrec.core.world import References
from smartrec.envs.bounds import Bounds
from smartrec.envs.candidates import with_candidates
from smartrec.envs.crowd import Crowd, with_choice
from smartrec.envs.lanes import Lanes
from smartrec.envs.settings import Settings
from smartrec.envs.stream import VisitStream, require_divisor

CENSUS_LANES = 2000
"""Users served at once in a census: enough for speed, few enough for [N, I] tables of large catalogues."""


class RecommendationVectorEnv(VectorEnv[dict[str, Array], Array, Array]):
    """A crowd of users, served N at a time.

    The dynamics of every SmartRec world are here and in ``Lanes``; the single environment is this one with
    one lane. An episode is one visit of ``session_length`` steps and ends ``terminated``.

    Args:
        crowd: Who is served.
        settings: Options; see ``Settings``.
        num_envs: N, how many users are served at once.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, crowd: Crowd, settings: Settings | None = None, num_envs: int = 1) -> None:
        whole = isinstance(num_envs, (int, np.integer)) and not isinstance(num_envs, bool)
        require(whole and num_envs >= 1, "num_envs", num_envs, "a whole number >= 1")
        self.settings = (settings or Settings()).for_crowd(crowd.n_users, crowd.n_items)
        self.crowd = crowd = with_choice(with_candidates(crowd, self.settings), self.settings)
        self.num_envs = num_envs = int(num_envs)
        if self.settings.history:
            require_divisor(num_envs, self.users_per_iteration, "users show their history")
        self.single_observation_space = observation_space(crowd, self.settings)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        k, n_items = self.settings.slate_size, crowd.n_items
        self.single_action_space = spaces.Discrete(n_items) if k == 1 else Slate(n_items, k)
        self.action_space = batch_space(self.single_action_space, num_envs) if k == 1 else Slate(n_items, k, num_envs)
        self.problem = Problem.from_spaces(
            self.single_observation_space,
            self.single_action_space,
            lanes=num_envs,
            item_features=crowd.item_features,
            discount=0.0 if self.session_length == 1 else 0.99,
        )
        self.reference = self.settings.reference
        self.bounds = Bounds(crowd, self.settings.slate_size)
        self._stream: VisitStream | None = None
        self._lanes: Lanes | None = None
        self._present = np.ones(num_envs, bool)
        self._present.flags.writeable = False  # every info shares it

    @property
    def iterations(self) -> int:
        """Ticks of the clock that are scored."""
        return self.settings.iterations

    @property
    def users_per_iteration(self) -> int:
        """Users a tick."""
        assert self.settings.users_per_iteration is not None
        return self.settings.users_per_iteration

    @property
    def session_length(self) -> int:
        """Steps of a visit."""
        return self.settings.session_length

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Begin a new world at clock 1 where a seed is given, else serve the next visits of the same world.

        Args:
            seed: Of users and dice, >= 0.
            options: None are known.

        Returns:
            Observation [N, ...] and an empty info.
        """
        if options:
            raise InvalidConfig(f"reset takes no options; it was given {sorted(options)}; pass none")
        if isinstance(seed, (list, tuple)):
            raise InvalidConfig(f"seed = {seed!r}; allowed: one whole number, all lanes are of one world")
        super().reset(seed=int(seed) if isinstance(seed, np.integer) else seed)
        if seed is not None or self._stream is None:
            self._stream = VisitStream(self.crowd, self.settings, int(self.np_random.integers(2**63)))
        self._lanes = self._stream.take(self.num_envs)
        return self._lanes.observation, {}

    def step(self, actions: Any) -> tuple[dict[str, Array], Array, BoolArray, BoolArray, dict[str, Any]]:
        """Show each user what was chosen; where visits end, the next ones begin in the same step.

        Args:
            actions: int [N], or [N, K] for slates.

        Returns:
            Observation [N, ...], reward [N] in clicks, terminated [N], truncated [N] (never), info.

        Raises:
            InvalidAction: An item number out of range, a repeat, or another shape or type.
            ResetNeeded: ``reset`` was not called yet.
        """
        lanes = self._lanes
        if lanes is None or self._stream is None:
            raise ResetNeeded("call reset() before step()")
        reference = self.bounds.of_parts(lanes.parts) if self.reference else None
        visit = lanes.visit
        outcome = lanes.respond(actions)
        info: dict[str, Any] = {"visit": visit, "expected_reward": outcome.expected}
        if reference is not None:
            info["random_expected_reward"], info["best_expected_reward"] = reference
        if self.settings.slate_size > 1:
            info["responses"] = outcome.responses
        if self.crowd.choice.skips:
            info["observed"] = outcome.observed
        if outcome.replaced is not None:
            info["replaced"], info["shown"] = outcome.replaced, outcome.items
        info.update({f"_{key}": self._present for key in tuple(info)})
        terminated = np.full(self.num_envs, lanes.done)
        if lanes.done:
            self._lanes = lanes = self._stream.take(self.num_envs)
        return lanes.observation, outcome.reward, terminated, np.zeros(self.num_envs, bool), info

    def action_masks(self) -> BoolArray:
        """Return what may be shown now, bool [N, I], or [N, K I] for slates: the mask once a position.

        Raises:
            ResetNeeded: ``reset`` was not called yet, and users differ in what they may be shown.
        """
        return masks_of(self.crowd, self._lanes, self.num_envs, self.settings.slate_size)

    def census(self, clock: int, lanes: int = CENSUS_LANES) -> Iterator[Lanes]:
        """Serve every user once at ``clock`` with dice of their own; the world is left as it was.

        Args:
            clock: 1 .. iterations + 1.
            lanes: Users served at once, >= 1.

        Raises:
            ResetNeeded: ``reset`` was not called yet.
            InvalidConfig: ``clock`` or ``lanes`` is out of range.
        """
        self._require_clock(clock)
        require(lanes >= 1, "lanes", lanes, "a whole number >= 1")
        if self._stream is None:
            raise ResetNeeded("call reset() before census()")
        return self._stream.census(clock, lanes)

    def references(self, clocks: Sequence[int]) -> References:
        """Return expected rewards a visit, mean over ``clocks``, of policies that know the truth.

        Random and oracle are exact (with a logit choice, random to 1e-6). The best fixed slate is NaN where users
        may be shown different items, or where the choice does not judge each position by itself.

        Raises:
            InvalidConfig: No clocks, or one that is not in 1 .. iterations + 1.
        """
        require(len(clocks) > 0, "clocks", clocks, "at least one")
        for clock in clocks:
            self._require_clock(clock)
        found = [self.bounds.everyone(clock) for clock in clocks]
        mean_scores = np.mean([everyone.mean_scores for everyone in found], axis=0)
        choice, k = self.crowd.choice, self.settings.slate_size
        fixed = float("nan") if self.crowd.mask else float(choice.best(mean_scores[None], k)[0])
        random = float(np.mean([everyone.random.mean() for everyone in found]))
        oracle = float(np.mean([everyone.best.mean() for everyone in found]))
        steps = self.session_length
        return References(steps * random, steps * fixed, steps * oracle)

    def _require_clock(self, clock: int) -> None:
        most = self.iterations + 1
        require(1 <= clock <= most, "clock", clock, f"1 to {most}, where it stops")


def masks_of(crowd: Crowd, lanes: Lanes | None, num_envs: int, slate_size: int) -> BoolArray:
    """Return what ``lanes`` may be shown, bool [N, K I]: the mask once a position.

    Raises:
        ResetNeeded: There are no lanes yet, and users differ in what they may be shown.
    """
    if crowd.mask is None:
        return np.ones((num_envs, slate_size * crowd.n_items), bool)
    if lanes is None or lanes.allowed is None:
        raise ResetNeeded("call reset() before action_masks()")
    return np.tile(lanes.allowed.allowed, slate_size)


def observation_space(crowd: Crowd, settings: Settings) -> spaces.Dict:
    """Return the space of what an agent sees of one user."""
    parts: dict[str, spaces.Space[Any]] = {}
    if settings.observe_user:
        parts["user"] = spaces.Discrete(crowd.n_users)
    features = crowd.user_features
    if features is not None:
        low, high = features.min(axis=0), features.max(axis=0)
        parts["user_features"] = spaces.Box(low, np.where(high > low, high, low + 1), dtype=np.float32)
    parts["clock"] = spaces.Discrete(settings.iterations + 2)
    if settings.history:
        parts["history_items"] = spaces.MultiDiscrete([crowd.n_items + 1] * settings.history)
        parts["history_responses"] = spaces.MultiBinary(settings.history)
    if crowd.mask is not None:
        parts["allowed"] = spaces.MultiBinary(crowd.n_items)
    return spaces.Dict(parts)
