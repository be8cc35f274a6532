"""Any algorithm of Stable-Baselines3 or sb3-contrib as an agent: ``sb3``, and ready made ``ppo`` and ``maskable_ppo``.

SB3 owns a loop that steps an environment; here it gets none. Acting asks its networks for scores and draws with the
agent's own generator; ``observe`` fills its rollout or replay buffer with whole batches, late or not; ``update`` calls
its ``train``. SB3's use of the global generators is undone.

Sources: Raffin et al. 2021 (Stable-Baselines3), Schulman et al. 2017 (PPO, arXiv 1707.06347), Huang and Ontanon 2022
(masks, arXiv 2006.14171). Departures: (1) a slate is drawn place by place, each without the items before it, so that
nothing repeats; MaskablePPO learns with these masks too, exactly, while the others learn as SB3 does, as if places
were independent; (2) algorithms without masks are masked when they act, not in what they learn; (3) values and
advantages are worked out when learning begins, by visits, so feedback may come late and in any order; (4) algorithms
for vectors show the items nearest to their point, and learn on the mean embedding of what was shown; (5) the user's
number and the clock are left out unless asked for. RecurrentPPO, ARS and n-step replay need SB3's own loop: train them
on ``smartrec.agents.adapters.sb3.as_vec_env``.
"""

from typing import Any, ClassVar, Self

import numpy as np
from gymnasium import spaces

from smartrec.agents import exploration
from smartrec.agents.adapters.sb3_config import (
    KINDS,
    POINTS,
    POLICY,
    VALUES,
    MaskablePPOConfig,
    PPOConfig,
    SB3Config,
)
from smartrec.agents.adapters.sb3_rollout import Rollout, advantages, allowed_table, place_masks
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.core.arrays import Array, BoolArray, Observation
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.nearest import NearestItems
from smartrec.core.optional import optional
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


class SB3Agent(Agent):
    """An algorithm of Stable-Baselines3 that learns in our loop.

    Attributes:
        learner: The algorithm is ``learner.algorithm``.
    """

    tags: ClassVar[Tags] = Tags(vectors=True, extra="sb3")
    Config: ClassVar[type[Any]] = SB3Config

    def __init__(self, problem: Problem, config: SB3Config | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        package, self._kind = KINDS[self.config.algorithm]
        optional("stable_baselines3", "sb3", f"agent {self.config.algorithm}")
        cls = getattr(optional(package, "sb3", f"agent {self.config.algorithm}"), self.config.algorithm)
        from smartrec.agents.adapters.sb3_learner import Learner
        from smartrec.agents.adapters.sb3_view import View

        view = View(problem.observation_space, self.config.observation, self.config.ignore, self.config.embed_user)
        self.nearest = None
        action_space: spaces.Space[Any] = problem.action_space
        if problem.items is not None and self._kind == POINTS:
            self.nearest, action_space = self._lookup()
        elif isinstance(action_space, spaces.MultiDiscrete):
            action_space = spaces.MultiDiscrete(action_space.nvec)
        options = {"gamma": problem.discount, **self.config.options}
        if self._kind != POLICY:
            options.setdefault("buffer_size", 100_000)
        elif self.config.algorithm in ("PPO", "MaskablePPO", "TRPO"):
            # SB3 wants whole mini-batches in a rollout of its own, which is never filled.
            options["n_steps"] = options.get("batch_size", 128 if self.config.algorithm == "TRPO" else 64)
        self.learner = Learner(
            cls,
            self.config.policy,
            options,
            view,
            action_space,
            embed_user=self.config.embed_user,
            seed=self._draw_seed(),
        )
        self.rollout = Rollout()
        self.pending = 0
        self.distance = 0.0

    @classmethod
    def of(cls, algorithm: Any, problem: Problem, *, seed: int, **options: Any) -> Self:
        """Make an agent of an algorithm that SB3 has trained, or loaded from its zip.

        Weights, optimisers and counters are taken over, a replay buffer is not. An algorithm for vectors must have been
        trained on the world's own item features under the agent's ``metric``; other embeddings are not known here.

        Args:
            algorithm: Trained on ``gymnasium.make`` or ``as_vec_env`` of a world like the agent's.
            problem: What the agent is to solve.
            seed: Of the agent's own draws, >= 0.
            **options: Further options of the agent, such as ``every``.

        Raises:
            InvalidConfig: Another class, policy or space than an agent can have.
            InvalidInput: It is no algorithm of SB3.
        """
        from smartrec.agents.adapters.sb3_options import config_of

        if not hasattr(algorithm, "get_parameters"):
            raise InvalidInput(f"algorithm is {algorithm!r}; allowed: an algorithm of SB3, such as PPO.load(path)")
        agent = cls(problem, cls.Config(**{**config_of(algorithm, problem), **options}), seed=seed)
        mine = agent.learner.algorithm
        for name in ("observation_space", "action_space"):
            if getattr(mine, name) != getattr(algorithm, name):
                raise InvalidConfig(
                    f"{name} of the algorithm is {getattr(algorithm, name)}; allowed here: {getattr(mine, name)}. Take "
                    "the problem of the world that it was trained on, and the ignore= that as_vec_env was given"
                )
        agent.learner.adopt(algorithm)
        return agent

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Draw from the policy, compare action values, or look up the items nearest to the actor's point."""
        seen = self.learner.view(observation)
        algorithm = self.learner.algorithm
        self.learner.progress(max(0.0, 1 - algorithm.num_timesteps / self.config.horizon))
        if self._kind == VALUES:
            scores, candidates = self.restrict(self.learner.action_values(seen), allowed)
            left = algorithm._current_progress_remaining
            epsilon = float(algorithm.exploration_schedule(left)) if explore else 0.0
            slates = exploration.epsilon_greedy(scores, len(scores), 1, epsilon, self.rng)
            return self.decide(*slates, candidates)
        if self._kind == POINTS:
            return self._point(seen, lanes_of(observation), allowed, explore)
        return self._draw(seen, allowed, explore) if self.problem.items else self._draw_vector(seen, explore)

    def observe(self, transitions: Transitions) -> None:
        """Keep what somebody saw, for the next round of learning.

        Raises:
            InvalidInput: A reward is not finite, or the decisions are of another agent; then nothing is kept.
        """
        if self.problem.items is not None:
            transitions = transitions[np.flatnonzero(transitions.observed.any(axis=1))]
        if not len(transitions):
            return
        if not np.isfinite(transitions.reward).all():
            raise InvalidInput("a reward is NaN or infinite; look for it in the responses")
        self._require_own(transitions.decision)
        seen, then = self.learner.view(transitions.observation), self.learner.view(transitions.next_observation)
        if self._kind == POLICY:
            self._keep(transitions, seen, then)
        else:
            point = transitions.decision.extras.get("point", transitions.decision.action)
            rows = {
                "observations": self.learner.view.inputs(seen),
                "next_observations": self.learner.view.inputs(then),
                "actions": point,
                "rewards": transitions.reward,
                "dones": transitions.terminated,
            }
            self.learner.remember(rows, len(transitions))
        self.pending += len(transitions)

    def update(self) -> dict[str, float]:
        """Learn where ``every`` transitions have come; return SB3's own figures."""
        rounds, self.pending = divmod(self.pending, self.config.every)
        if not rounds:
            return {}
        if self._kind == POLICY:
            figures = self._learn_from_rollout()
            self.pending = len(self.rollout)
            return figures
        algorithm = self.learner.algorithm
        if algorithm.num_timesteps <= algorithm.learning_starts:
            return {}
        figures = self.learner.learn_from_replay(rounds * self.config.gradient_steps, self._draw_seed())
        return {**figures, "distance": self.distance} if self.nearest is not None else figures

    def _draw(self, seen: dict[str, Array], allowed: Candidates | None, explore: bool) -> Decision:
        """Draw a slate place by place, or take the most likely items."""
        logits = self.learner.logits(seen)  # K times [N, I]
        lanes, places = len(logits[0]), np.arange(len(logits))
        columns = np.empty((lanes, len(logits)), np.int64)
        chance, candidates = np.zeros(lanes), None
        for place, of_place in enumerate(logits):
            scores, candidates = self.restrict(of_place.copy(), allowed)
            np.put_along_axis(scores, columns[:, :place], -np.inf, axis=1)
            if explore:
                weights = np.exp(scores - scores.max(axis=1, keepdims=True))
                weights[scores == -np.inf] = -np.inf
                chosen, known = exploration.proportional(weights, lanes, 1, self.rng)
            else:
                chosen, known = exploration.best(scores, lanes, 1, self.rng)
            columns[:, place] = chosen[:, 0]
            chance += known
        decision = self.decide(columns, chance, candidates)
        items = decision.action.reshape(lanes, -1)  # [N, K]
        # What SB3 will work out again for its ratio of new to old policy.
        independent = sum(logits[place][np.arange(lanes), items[:, place]] for place in places)
        log_prob = chance if self.config.algorithm == "MaskablePPO" else independent
        return Decision(decision.action, decision.log_probability, {"log_prob": np.asarray(log_prob, np.float32)})

    def _draw_vector(self, seen: dict[str, Array], explore: bool) -> Decision:
        mean, deviation = self.learner.gaussian(seen)  # [N, D]
        noise = self.rng.standard_normal(mean.shape, np.float32) if explore else np.zeros_like(mean)
        raw = mean + deviation * noise
        log_prob = -(noise**2 / 2 + np.log(deviation) + np.log(2 * np.pi) / 2).sum(axis=1)
        space = self.problem.action_space
        assert isinstance(space, spaces.Box)
        return Decision(np.clip(raw, space.low, space.high), None, {"log_prob": log_prob, "raw": raw})

    def _point(self, seen: dict[str, Array], lanes: int, allowed: Candidates | None, explore: bool) -> Decision:
        algorithm = self.learner.algorithm
        if explore and algorithm.num_timesteps < algorithm.learning_starts:
            point = self.rng.uniform(-1, 1, (lanes, *algorithm.action_space.shape)).astype(np.float32)
        else:
            point = self.learner.points(seen, explore=explore, seed=self._draw_seed())  # [N, D]
            if explore and self.config.algorithm in ("DDPG", "TD3"):
                point = point + self.config.noise * self.rng.standard_normal(point.shape, np.float32)
        point = np.clip(point, -1, 1)
        if self.nearest is None:
            return Decision(algorithm.policy.unscale_action(point), None, {"point": point})
        items, distances = self.nearest.find(point, self.problem.slate_size, allowed)
        self.distance = float(distances.mean())
        shown = self.nearest.embeddings[items].mean(axis=1).astype(np.float32)  # [N, K, D] -> [N, D]
        return Decision(self.decide(items).action, None, {"point": shown})

    def _keep(self, transitions: Transitions, seen: dict[str, Array], then: dict[str, Array]) -> None:
        decision = transitions.decision
        rows = {
            "action": decision.extras.get("raw", decision.action),
            "log_prob": decision.extras["log_prob"],
            "reward": transitions.reward,
            "terminated": transitions.terminated,
            "ended": transitions.terminated | transitions.truncated,
            "visit": transitions.visit,
            "step": transitions.step,
        }
        if self.config.algorithm == "MaskablePPO":
            rows["allowed"] = allowed_table(transitions.allowed, len(transitions), self.items)
        for prefix, part in (("seen.", seen), ("then.", then)):
            rows.update({prefix + name: values for name, values in part.items()})
        self.rollout.add(rows)

    def _learn_from_rollout(self) -> dict[str, float]:
        rows = self._whole_batches(self.rollout.take())
        if not rows:
            return {}
        seen, then = (
            {name.removeprefix(prefix): values for name, values in rows.items() if name.startswith(prefix)}
            for prefix in ("seen.", "then.")
        )
        learner = self.learner
        values = learner.values(seen)
        worth = advantages(
            rows["reward"].astype(np.float64),
            values.astype(np.float64),
            learner.values(then).astype(np.float64) if not rows["terminated"].all() else values,
            rows["terminated"],
            rows["ended"],
            rows["visit"],
            rows["step"],
            discount=learner.algorithm.gamma,
            trace=learner.algorithm.gae_lambda,
        )
        batch: dict[str, Any] = {
            "observations": learner.view.inputs(seen),
            "actions": rows["action"],
            "values": values,
            "log_probs": rows["log_prob"],
            "advantages": worth.astype(np.float32),
        }
        if "allowed" in rows:
            batch["action_masks"] = place_masks(rows["allowed"], rows["action"].reshape(len(values), -1))
        return learner.learn_from_rollout(batch, len(values), self._draw_seed())

    def _whole_batches(self, rows: dict[str, Array]) -> dict[str, Array]:
        """Leave the last row for later where it would be a mini-batch alone: its advantage has no deviation."""
        count, size = len(rows["reward"]), getattr(self.learner.algorithm, "batch_size", None)
        if count > 1 and (size is None or count % size != 1):
            return rows
        self.rollout.add({name: values[-1:] for name, values in rows.items()})
        return {name: values[:-1] for name, values in rows.items()} if count > 1 else {}

    def _lookup(self) -> tuple[NearestItems, spaces.Box]:
        """Return the look-up among the items' features, scaled to [-1, 1], and that box."""
        features = self.problem.item_features
        if features is None:
            raise InvalidConfig(
                f"{self.config.algorithm} names a point, and this problem has no item features to look items up by; "
                "take a world with item features, or an algorithm for items: PPO, A2C, TRPO, MaskablePPO, DQN, QRDQN"
            )
        most = float(np.abs(features).max()) or 1.0
        return NearestItems(features / most, self.config.metric), spaces.Box(-1, 1, features.shape[1:], np.float32)

    def _require_own(self, decision: Decision) -> None:
        wanted = {POLICY: "log_prob", POINTS: "point"}.get(self._kind)
        if wanted is not None and wanted not in decision.extras:
            raise InvalidInput(
                f"decisions come without extras[{wanted!r}]; {self.config.algorithm} learns from its own decisions only"
            )

    def _draw_seed(self) -> int:
        return int(self.rng.integers(2**32))


class PPO(SB3Agent):
    """Proximal policy optimisation by Stable-Baselines3."""

    tags: ClassVar[Tags] = Tags(propensities=True, extra="sb3")
    Config = PPOConfig


class MaskablePPO(SB3Agent):
    """Proximal policy optimisation by sb3-contrib that learns with the masks it acted under."""

    tags: ClassVar[Tags] = Tags(propensities=True, extra="sb3")
    Config = MaskablePPOConfig
