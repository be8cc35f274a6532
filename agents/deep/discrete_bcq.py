"""Discrete BCQ: Q-learning from a log that only values what the log's policy might have done.

``L_Q = huber(r + discount * Q_target(s', a') - Q(s, a))``, ``a' = argmax Q(s', .)`` over items that are likely:
``g(a | s') / max g(. | s') > threshold``; ``L_g = -log g(a | s)``. A threshold of 0 is double DQN, and 1 is
behavioural cloning.

Source: Fujimoto, Conti, Ghavamzadeh and Pineau 2019 (arXiv 1910.01708). Departures: (1) a slate is worth the sum of
its items, each position learns for itself, and ``g`` learns from each item shown; the K likeliest items are always
allowed, so that a slate can be filled; (2) what is not allowed is neither likely nor counted in the maximum; (3) Q and
``g`` share no layer, so that cloning cannot move the values, and no penalty holds the logits of ``g`` small; (4) in the
loop it learns from its own transitions as from a log that grows, and explores among likely items only.
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
from smartrec.agents.deep.networks import built
from smartrec.agents.deep.schedules import Cadence
from smartrec.agents.deep.settings import DeepConfig
from smartrec.agents.deep.slate_policy import log_places, masked
from smartrec.agents.deep.training import Learner
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class DiscreteBCQConfig(DeepConfig):
    """Options of ``DiscreteBCQ``, beside those of every deep agent.

    Attributes:
        threshold: Share of the likeliest item's probability above which an item counts as likely, 0..1.
        form: "heads" has an output an item; "embeddings" a table [I, embedding] of items; "auto" takes embeddings
            for more than 200 items.
        rate: Learning rate of both networks, > 0.
        clip: Largest norm of a gradient, > 0.
        batch_size: Transitions a gradient step, >= 1.
        experience: Most transitions kept, >= 1.
        train_every: Transitions between two rounds of learning in the loop, >= 1.
        gradient_steps: Gradient steps a round, >= 1.
        warmup: Transitions before the first round, >= 0.
        target_every: Gradient steps between two moves of the target, >= 1.
        tau: Share of the way that the target moves, > 0, up to 1, which copies.
        epsilon: Chance of a random slate of likely items, 0..1.
        epochs: Passes over a log in ``fit``, > 0.
    """

    threshold: float = 0.3
    form: Form = "auto"
    rate: float = 1e-3
    clip: float = 10.0
    batch_size: int = 128
    experience: int = 100_000
    train_every: int = 16
    gradient_steps: int = 1
    warmup: int = 16
    target_every: int = 1
    tau: float = 0.01
    epsilon: float = 0.05
    epochs: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threshold", "epsilon"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
        for name in ("batch_size", "target_every", "experience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(0 < self.tau <= 1, "tau", self.tau, "more than 0, up to 1")
        require(0 < self.epochs < math.inf, "epochs", self.epochs, "a finite number > 0")


def likely(logits: Tensor, threshold: float, slate_size: int) -> Tensor:
    """Return which items are likely, bool [B, I], by logits [B, I]; minus infinity where an item is not allowed."""
    best = logits.topk(slate_size, dim=1).values
    # Of logits, because a small probability would be rounded to 0.
    near = logits - best[:, :1] > (math.log(threshold) if threshold else -math.inf)
    return (near | (logits >= best[:, -1:])) & (logits > -torch.inf)


class DiscreteBCQ(GradientAgent):
    """Batch-constrained deep Q-learning over items.

    Attributes:
        values: The Q-network and its target.
        behaviour: The network ``g``, whose softmax says what the log's policy would show.
        experience: The log.
        cadence: How many transitions there were.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, propensities=True, extra="deep")
    Config = DiscreteBCQConfig

    def __init__(self, problem: Problem, config: DiscreteBCQConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        options: DiscreteBCQConfig = self.config
        values, behaviour = (
            built(lambda: ItemScores(problem, options, options.form), self.rng, options.device) for _ in range(2)
        )
        self.values = Learner(values, "Q-network", rate=options.rate, clip=options.clip, target=problem.discount > 0)
        self.behaviour = Learner(behaviour, "behaviour network", rate=options.rate, clip=options.clip)
        self.experience = Experience(problem, options.experience, device=options.device)
        self.cadence = Cadence(options.train_every, options.gradient_steps, options.warmup)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the likely slate worth most, sometimes another likely one; ``explore=False`` never another."""
        scores, candidates = scores_to_act_on(self, self.values.network, observation, allowed)  # [N, C]
        logits, _ = scores_to_act_on(self, self.behaviour.network, observation, allowed)
        lanes, slate_size = lanes_of(observation), self.problem.slate_size
        possible = likely(torch.from_numpy(logits), self.config.threshold, slate_size).numpy()
        scores = np.where(possible, scores, np.float32(-np.inf))
        epsilon = self.config.epsilon if explore else 0.0
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

    def _learn(self, batch: Batch) -> dict[str, float]:
        """Take one gradient step with each network."""
        values = self.values.network(batch.observation, batch.action)  # [B, K]
        loss, _ = huber(values, self._targets(batch), batch)
        logits = masked(self.behaviour.network(batch.observation), batch)
        cloning = -log_places(logits, batch.action, independent=True).mean()
        figures = {
            "loss": self.values.step(loss),
            "q_mean": float(values.detach().mean()),
            "cloning_loss": self.behaviour.step(cloning),
        }
        if self.problem.discount > 0 and self.values.steps % self.config.target_every == 0:
            self.values.follow(self.config.tau)
        return figures

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return what the values of the shown items should be, float [B, K]."""
        if self.problem.discount == 0:
            return batch.responses
        logits = self.behaviour.network(batch.next_observation)  # [B, I]
        if batch.next_allowed is not None:
            logits = logits.masked_fill(~batch.next_allowed, -torch.inf)
        possible = likely(logits, self.config.threshold, self.problem.slate_size)
        ranking = self.values.network(batch.next_observation).masked_fill(~possible, -torch.inf)
        return slate_targets(batch, ranking, self.values.target(batch.next_observation))
