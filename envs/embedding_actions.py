"""Item worlds as worlds of vectors: the agent names a point, the user is shown the items nearest to it.

Algorithms for continuous actions (DDPG, TD3, SAC) can so recommend: proto-action -> look-up -> items (the look-up of
Dulac-Arnold et al. 2015, arXiv 1512.07679, without the critic's second choice).
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.decision import Candidates, Mask
from smartrec.core.errors import InvalidAction, InvalidConfig, InvalidInput
from smartrec.core.nearest import Backend, Metric, NearestItems, as_table
from smartrec.core.problem import Problem


class _Lookup:
    """Embeddings of items, the box that they lie in, and what is nearest to a point of it."""

    def __init__(
        self, problem: Problem, embeddings: FloatArray | None, metric: Metric, scale: bool, backend: Backend
    ) -> None:
        given = problem.item_features if embeddings is None else embeddings
        if problem.items is None:
            raise InvalidConfig(f"action space {problem.action_space} has no items; use the environment as it is")
        if given is None:
            raise InvalidInput(
                "this world has no item features; pass embeddings, an array [I, D] with a row for each of the "
                f"{problem.items} items"
            )
        table = as_table(given, "embeddings")
        if len(table) != problem.items:
            raise InvalidInput(f"embeddings have shape {table.shape}; allowed: [{problem.items}, D], a row an item")
        self.problem = problem
        # One factor for all columns keeps the order of distances under every metric.
        most = float(np.abs(table).max()) or 1.0
        self.nearest = NearestItems(table / most if scale else table, metric, backend=backend)
        bound = 1.0 if scale else most
        self.box = spaces.Box(-bound, bound, (table.shape[1],), np.float32)

    def items(self, points: Any, lanes: int, allowed: Candidates | None) -> tuple[IntArray, FloatArray]:
        """Return the items nearest to ``points`` [N, D], int [N, K], and the mean distance of a slate, [N]."""
        points = np.asarray(points)
        if points.shape != (lanes, *self.box.shape):
            shape = (lanes, *self.box.shape)
            raise InvalidAction(f"actions have shape {points.shape}; allowed: {shape}, a point for each lane")
        items, distances = self.nearest.find(points, self.problem.slate_size, allowed)
        return items, distances.mean(axis=1)


class EmbeddingActions(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A single environment whose actions are points among the embeddings of the items.

    ``info`` gets ``items`` int [K], those that the look-up chose, and ``distance``, the mean distance from the point to
    them: where it stays large, the policy points where no items are.

    Args:
        env: An item world, for example ``gymnasium.make("SmartRec/Task2-v0")``.
        embeddings: float [I, D]; None takes the item features of the world.
        metric: ``"l2"``, ``"inner"`` or ``"cosine"``.
        scale: Divide all embeddings by their largest absolute number, so that the box is [-1, 1]; otherwise the box
            has that number as its bound.
        backend: ``"numpy"`` or ``"faiss"``.

    Raises:
        InvalidConfig: The world has no items, or an option is unknown.
        InvalidInput: No embeddings, or some of another shape or with NaN.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        embeddings: FloatArray | None = None,
        *,
        metric: Metric = "l2",
        scale: bool = True,
        backend: Backend = "numpy",
    ) -> None:
        options: dict[str, Any] = {"metric": metric, "scale": scale, "backend": backend}
        RecordConstructorArgs.__init__(self, embeddings=embeddings, **options)
        gymnasium.Wrapper.__init__(self, env)
        self._lookup = _Lookup(_problem_of(env, env.action_space), embeddings, metric, scale, backend)
        self.action_space = self._lookup.box
        self._allowed: Candidates | None = None

    @property
    def problem(self) -> Problem:
        """The problem of the world inside, whose actions are items."""
        return self._lookup.problem

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the world inside."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._allowed = _allowed_in(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Show the items nearest to ``action`` [D], as far as they are allowed.

        Raises:
            InvalidAction: Another shape.
            InvalidInput: NaN or infinity.
        """
        items, distance = self._lookup.items(np.asarray(action)[None], 1, self._allowed)
        shown = items[0] if self.env.action_space.shape else int(items[0, 0])
        observation, reward, terminated, truncated, info = self.env.step(shown)
        self._allowed = _allowed_in(observation)
        info = {**info, "items": items[0], "distance": float(distance[0])}
        return observation, reward, terminated, truncated, info


class VectorEmbeddingActions(VectorWrapper):
    """``EmbeddingActions`` for a batch: actions float [N, D]; ``info`` has ``items`` [N, K] and ``distance`` [N].

    Args:
        env: The batch of an item world, from ``gymnasium.make_vec``.
        embeddings: float [I, D]; None takes the item features of the world.
        metric: ``"l2"``, ``"inner"`` or ``"cosine"``.
        scale: As in ``EmbeddingActions``.
        backend: ``"numpy"`` or ``"faiss"``.

    Raises:
        InvalidConfig: The world has no items, or an option is unknown.
        InvalidInput: No embeddings, or some of another shape or with NaN.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        embeddings: FloatArray | None = None,
        *,
        metric: Metric = "l2",
        scale: bool = True,
        backend: Backend = "numpy",
    ) -> None:
        super().__init__(env)
        self._lookup = _Lookup(_problem_of(env, env.single_action_space), embeddings, metric, scale, backend)
        self.single_action_space = self._lookup.box
        self.action_space = batch_space(self._lookup.box, env.num_envs)
        self._allowed: Candidates | None = None
        self._present: BoolArray = np.ones(env.num_envs, bool)

    @property
    def problem(self) -> Problem:
        """The problem of the world inside, whose actions are items."""
        return self._lookup.problem

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the world inside."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._allowed = _allowed_in(observation)
        return observation, info

    def step(self, actions: Any) -> tuple[Any, Array, BoolArray, BoolArray, dict[str, Any]]:
        """Show each lane the items nearest to its row of ``actions`` [N, D], as far as they are allowed.

        Raises:
            InvalidAction: Another shape.
            InvalidInput: NaN or infinity.
        """
        items, distance = self._lookup.items(actions, self.num_envs, self._allowed)
        shown = items if self.env.single_action_space.shape else items[:, 0]  # [N, K] or [N]
        observation, reward, terminated, truncated, info = self.env.step(shown)
        self._allowed = _allowed_in(observation)
        found = {"items": items, "distance": distance, "_items": self._present, "_distance": self._present}
        return observation, reward, terminated, truncated, {**info, **found}


def _problem_of(env: Any, action_space: spaces.Space[Any]) -> Problem:
    """Return the problem of a SmartRec world; of any other by its spaces."""
    problem = getattr(env.unwrapped, "problem", None)
    if isinstance(problem, Problem):
        return problem
    observed = getattr(env, "single_observation_space", env.observation_space)
    return Problem.from_spaces(observed, action_space)


def _allowed_in(observation: Any) -> Candidates | None:
    """Return what may be shown, bool [N, I], of a batch or of one lane."""
    allowed = observation.get("allowed") if isinstance(observation, dict) else None
    return None if allowed is None else Mask(np.atleast_2d(np.asarray(allowed)).astype(bool))
