"""DQN: Q-learning with a network, a target that follows it, and past transitions sampled anew.

``L = huber(r + discount * Q_target(s', argmax_a Q(s', a)) - Q(s, a))``; without ``double`` the target network chooses
too. ``Q(s, i)`` is a head of the network an item, or ``<f(s), e_i> + b_i`` with an embedding table learnt end to end.

Source: Mnih et al. 2015; double: van Hasselt et al. 2016 (arXiv 1509.06461); duelling: Wang et al. 2016 (arXiv
1511.06581); priorities: Schaul et al. 2016 (arXiv 1511.05952); several steps: Sutton 1988. Departures: (1) a slate is
worth the sum of its items: each position learns ``r_k + discount * mean of the K best next values``, and only where
somebody saw it; (2) what is not allowed next counts minus infinity in the maximum, and a state where nothing is
allowed is worth 0; (3) in large catalogues the maximum runs over ``candidates`` items sampled for each batch;
(4) gradient steps are counted in transitions, so that a batch of N users costs no more than N users one by one;
(5) where the discount is 0, as in a bandit, nothing is bootstrapped at all.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from smartrec.agents import exploration
from smartrec.agents.base import Tags, lanes_of
from smartrec.agents.deep.experience import Batch, Experience
from smartrec.agents.deep.gradient_agent import GradientAgent
from smartrec.agents.deep.item_scores import Form, ItemScores, huber, scores_to_act_on, slate_targets
from smartrec.agents.deep.memory import Memory
from smartrec.agents.deep.networks import built
from smartrec.agents.deep.schedules import Cadence, Schedule
from smartrec.agents.deep.settings import DeepConfig
from smartrec.agents.deep.training import Learner
from smartrec.core.arrays import BoolArray, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class DQNConfig(DeepConfig):
    """Options of ``DQN``, beside those of every deep agent.

    Attributes:
        form: "heads" has an output an item; "embeddings" a table [I, embedding] of items, learnt end to end, from
            the items' features on; "auto" takes embeddings for more than 200 items.
        duelling: Whether the value of the state has an output of its own.
        double: Whether the network, and not its target, chooses what the target values.
        rate: Learning rate, > 0.
        clip: Largest norm of a gradient, > 0.
        batch_size: Transitions a gradient step, >= 1.
        experience: Most transitions kept, >= 1.
        priority: Exponent of the priorities in sampling, 0..1; 0 samples uniformly.
        frames: Observations of an episode that the encoder reads as a sequence, >= 0, for a Box [F]; 0 is the
            newest alone. With them and ``encoder="gru"`` this is a recurrent DQN.
        n_step: Steps whose rewards count before the value of what follows does, >= 1.
        train_every: Transitions between two rounds of learning, >= 1.
        gradient_steps: Gradient steps a round, >= 1.
        warmup: Transitions before the first round, >= 0.
        target_every: Gradient steps between two moves of the target, >= 1.
        tau: Share of the way that the target moves, > 0, up to 1, which copies.
        candidates: Items sampled a batch for the maximum in the targets, where there are more, >= 1.
        epsilon: Chance of a random slate at the first transition, 0..1.
        final_epsilon: The same from ``epsilon_over`` transitions on, 0..1.
        epsilon_over: Transitions over which it falls, >= 0.
        epochs: Passes over a log in ``fit``, > 0.
    """

    form: Form = "auto"
    duelling: bool = False
    double: bool = True
    rate: float = 1e-3
    clip: float = 10.0
    batch_size: int = 128
    experience: int = 100_000
    priority: float = 0.0
    frames: int = 0
    n_step: int = 1
    train_every: int = 16
    gradient_steps: int = 1
    warmup: int = 16
    target_every: int = 1
    tau: float = 0.01
    candidates: int = 1000
    epsilon: float = 1.0
    final_epsilon: float = 0.05
    epsilon_over: int = 2000
    epochs: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "target_every", "candidates", "experience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        for name in ("epsilon", "final_epsilon"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
        require(self.epsilon_over >= 0, "epsilon_over", self.epsilon_over, "a whole number >= 0")
        require(0 < self.tau <= 1, "tau", self.tau, "more than 0, up to 1")
        require(0 < self.epochs < math.inf, "epochs", self.epochs, "a finite number > 0")


class DQN(GradientAgent):
    """Deep Q-learning.

    Attributes:
        values: The Q-network and its target.
        experience: The last transitions.
        cadence: How many transitions there were.
    """

    tags: ClassVar[Tags] = Tags(memory=True, learns_from_logs=True, propensities=True, extra="deep")
    Config = DQNConfig

    def __init__(self, problem: Problem, config: DQNConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        options: DQNConfig = self.config
        self.memory = Memory(problem, options.frames)
        sees = self.memory.problem
        network = built(lambda: ItemScores(sees, options, options.form, options.duelling), self.rng, options.device)
        self.values = Learner(network, "Q-network", rate=options.rate, clip=options.clip, target=problem.discount > 0)
        self.experience = Experience(
            problem,
            options.experience,
            priority=options.priority,
            n_step=options.n_step,
            frames=options.frames,
            device=options.device,
        )
        self.cadence = Cadence(options.train_every, options.gradient_steps, options.warmup)

    @property
    def item_embeddings(self) -> FloatArray:
        """What was learnt of the items, float32 [I, d], for use elsewhere; items that behave alike lie together."""
        return self.values.network.embeddings

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the slate worth most, sometimes a random one; ``explore=False`` never a random one."""
        seen = self.memory.look(observation, first)
        scores, candidates = scores_to_act_on(self, self.values.network, seen, allowed)
        lanes, slate_size = lanes_of(observation), self.problem.slate_size
        epsilon = self._epsilon() if explore else 0.0
        return self.decide(*exploration.epsilon_greedy(scores, lanes, slate_size, epsilon, self.rng), candidates)

    def observe(self, transitions: Transitions) -> None:
        """Keep what somebody saw.

        Raises:
            InvalidInput: A number in it is not finite; then nothing is kept.
        """
        seen = transitions[np.flatnonzero(transitions.observed.any(axis=1))]
        self.experience.record(seen)
        self.cadence.count(len(seen))

    def update(self) -> dict[str, float]:
        """Take the gradient steps that are due."""
        figures: dict[str, float] = {}
        for _ in range(self.cadence.due()):
            figures = self._learn(self.experience.sample(self.config.batch_size, self.rng))
        return figures

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log, ``epochs`` times over.

        Raises:
            InvalidInput: The log is longer than the experience, or a number in it is not finite; then nothing is kept.
        """
        if len(transitions) > self.config.experience:
            raise InvalidInput(
                f"the log has {len(transitions)} transitions, and experience = {self.config.experience}; "
                "allowed: no more than that. Make experience larger, or fit the log in parts"
            )
        before = self.cadence.transitions
        self.observe(transitions)
        self.cadence.due()  # the steps for these are the ones below
        came = self.cadence.transitions - before
        figures: dict[str, float] = {}
        for _ in range(math.ceil(self.config.epochs * came / self.config.batch_size)):
            figures = self._learn(self.experience.sample(self.config.batch_size, self.rng))
        return figures

    def learn(self, transitions: Transitions) -> dict[str, float]:
        """Take one gradient step on exactly these transitions; they count for ``epsilon_over`` as if observed."""
        figures = super().learn(transitions)
        self.cadence.count(len(transitions))
        self.cadence.due()  # the step for these was the one above
        return figures

    def _epsilon(self) -> float:
        options = self.config
        return Schedule(options.epsilon, options.final_epsilon, options.epsilon_over).at(self.cadence.transitions)

    def _learn(self, batch: Batch) -> dict[str, float]:
        """Take one gradient step."""
        values = self.values.network(batch.observation, batch.action)  # [B, K]
        loss, errors = huber(values, self._targets(batch), batch)
        figures = {"loss": self.values.step(loss), "q_mean": float(values.detach().mean())}
        if self.config.priority and len(batch.rows):
            self.experience.prioritise(batch.rows, errors)
        if self.problem.discount > 0 and self.values.steps % self.config.target_every == 0:
            self.values.follow(self.config.tau)
        return figures

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return what the values of the shown items should be, float [B, K]."""
        if self.problem.discount == 0:
            return batch.responses
        items = self._sampled()
        values = self.values.target(batch.next_observation, items)  # [B, C]
        ranking = self.values.network(batch.next_observation, items) if self.config.double else values
        if batch.next_allowed is not None:
            allowed = batch.next_allowed if items is None else batch.next_allowed[:, items]
            ranking = ranking.masked_fill(~allowed, -torch.inf)
        return slate_targets(batch, ranking, values)

    def _sampled(self) -> Tensor | None:
        """Return the items that the maximum in the targets runs over, int64 [C]; None for all."""
        if self.items <= self.config.candidates:
            return None
        picked = self.rng.choice(self.items, self.config.candidates, replace=False, shuffle=False)
        return torch.from_numpy(picked).to(self.config.device)
