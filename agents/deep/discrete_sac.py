"""Discrete SAC: a softmax policy over items that is paid for its entropy, and two Q-networks that judge it.

``L_Q = huber(r + discount * V(s') - Q_j(s, a))``,
``V(s) = sum_a pi(a|s) (min_j Q_target_j(s, a) - alpha log pi(a|s))``,
``L_pi = sum_a pi(a|s) (alpha log pi(a|s) - min_j Q_j(s, a))``, ``L_alpha = alpha (H(pi(.|s)) - target)``

Source: Christodoulou 2019 (arXiv 1910.07207). Departures: (1) slates are drawn item after item without replacement
(Plackett-Luce), with their exact probability; a slate is worth the sum of its items, each position learns for itself
where somebody saw it, and the next slate counts as K draws from ``pi``; (2) what is not allowed has no probability,
neither while acting nor in the losses, and a state where nothing is allowed is worth 0; (3) the entropy aimed at is a
share of the logarithm of how many items are allowed, 0.98 in the paper, which is nearly uniform over many items;
(4) Huber in place of squared errors; (5) gradient steps are counted in transitions.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from smartrec.agents import exploration
from smartrec.agents.base import Tags, lanes_of
from smartrec.agents.deep.experience import Batch, Experience
from smartrec.agents.deep.gradient_agent import GradientAgent
from smartrec.agents.deep.item_scores import Form, ItemScores, huber, scores_to_act_on
from smartrec.agents.deep.networks import built
from smartrec.agents.deep.schedules import Cadence
from smartrec.agents.deep.settings import DeepConfig
from smartrec.agents.deep.temperature import Temperature
from smartrec.agents.deep.training import Learner
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class DiscreteSACConfig(DeepConfig):
    """Options of ``DiscreteSAC``, beside those of every deep agent.

    Attributes:
        form: "heads" has an output an item; "embeddings" a table [I, embedding] of items; "auto" takes embeddings
            for more than 200 items.
        temperature: What a nat of entropy is worth in reward, > 0; the first one where it is learnt.
        learn_temperature: Whether it moves until the entropy is as wanted.
        target_entropy: Entropy that a learnt temperature aims at, as a share of the largest possible, 0..1.
        rate: Learning rate of the networks and the temperature, > 0.
        clip: Largest norm of a gradient, > 0.
        batch_size: Transitions a gradient step, >= 1.
        experience: Most transitions kept, >= 1.
        train_every: Transitions between two rounds of learning, >= 1.
        gradient_steps: Gradient steps a round, >= 1.
        warmup: Transitions before the first round, >= 0.
        tau: Share of the way that the targets move after each step, > 0, up to 1, which copies.
    """

    form: Form = "auto"
    temperature: float = 0.1
    learn_temperature: bool = True
    target_entropy: float = 0.1
    rate: float = 3e-3
    clip: float = 10.0
    batch_size: int = 128
    experience: int = 100_000
    train_every: int = 16
    gradient_steps: int = 1
    warmup: int = 16
    tau: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.temperature < math.inf, "temperature", self.temperature, "a finite number > 0")
        require(0 <= self.target_entropy <= 1, "target_entropy", self.target_entropy, "0 to 1")
        for name in ("batch_size", "experience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(0 < self.tau <= 1, "tau", self.tau, "more than 0, up to 1")


class Twins(nn.Module):
    """Two networks with a score for each item.

    Args:
        problem: What is seen, and the items.
        config: Options.
    """

    def __init__(self, problem: Problem, config: DiscreteSACConfig) -> None:
        super().__init__()
        self.each = nn.ModuleList(ItemScores(problem, config, config.form) for _ in range(2))

    def forward(self, observation: dict[str, Tensor], items: Tensor | None = None) -> Tensor:
        """Return scores of ``items`` [B, C], or of all, float [2, B, C]."""
        return torch.stack([network(observation, items) for network in self.each])


class DiscreteSAC(GradientAgent):
    """Soft actor-critic over items.

    Attributes:
        policy: The network whose softmax is shown.
        critics: Two Q-networks and their targets.
        temperature: What entropy is worth.
        experience: The last transitions.
        cadence: How many transitions there were.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, propensities=True, extra="deep")
    Config = DiscreteSACConfig

    def __init__(self, problem: Problem, config: DiscreteSACConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        options: DiscreteSACConfig = self.config
        device, rate, clip = options.device, options.rate, options.clip
        policy = built(lambda: ItemScores(problem, options, options.form), self.rng, device)
        critics = built(lambda: Twins(problem, options), self.rng, device)
        first = built(lambda: Temperature(options.temperature), self.rng, device)
        self.policy = Learner(policy, "policy", rate=rate, clip=clip)
        self.critics = Learner(critics, "critics", rate=rate, clip=clip, target=problem.discount > 0)
        self.temperature = Learner(first, "temperature", rate=rate)
        self.experience = Experience(problem, options.experience, device=device)
        self.cadence = Cadence(options.train_every, options.gradient_steps, options.warmup)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Draw a slate from the policy, lane by lane; ``explore=False`` takes the likeliest."""
        logits, candidates = scores_to_act_on(self, self.policy.network, observation, allowed)  # [N, C]
        lanes, slate_size = lanes_of(observation), self.problem.slate_size
        if not explore:
            return self.decide(*exploration.best(logits, lanes, slate_size, self.rng), candidates)
        below = logits - logits.max(axis=1, keepdims=True)
        weights = np.where(below > -np.inf, np.exp(below), -np.inf)
        return self.decide(*exploration.proportional(weights, lanes, slate_size, self.rng), candidates)

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

    def _learn(self, batch: Batch) -> dict[str, float]:
        """Take one gradient step with each network."""
        targets = self._targets(batch)
        values = self.critics.network(batch.observation, batch.action)  # [2, B, K]
        losses = [huber(each, targets, batch)[0] for each in values]
        figures = {
            "loss": self.critics.step(losses[0] + losses[1]),
            "q_mean": float(values.detach().mean()),
            **self._improve(batch),
        }
        if self.problem.discount > 0:
            self.critics.follow(self.config.tau)
        return figures

    def _improve(self, batch: Batch) -> dict[str, float]:
        """Take one gradient step with the policy and, where it is learnt, the temperature."""
        with torch.no_grad():
            values = self.critics.network(batch.observation).amin(dim=0)  # [B, I]
            alpha = self.temperature.network()
        share, log_share = _softmax(self.policy.network(batch.observation), batch.allowed)  # [B, I]
        loss = (share * (alpha * log_share - values)).sum(dim=1).mean()
        entropy = -(share * log_share).sum(dim=1).detach()  # [B]
        figures = {"policy_loss": self.policy.step(loss), "entropy": float(entropy.mean()), "temperature": float(alpha)}
        if self.config.learn_temperature:
            count = torch.tensor(float(self.items)) if batch.allowed is None else batch.allowed.sum(dim=1).float()
            above = (entropy - self.config.target_entropy * count.to(entropy.device).log()).mean()
            self.temperature.step(self.temperature.network() * above)
        return figures

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return what the values of the shown items should be, float [B, K]."""
        if self.problem.discount == 0:
            return batch.responses
        share, log_share = _softmax(self.policy.network(batch.next_observation), batch.next_allowed)  # [B, I]
        values: Tensor = self.critics.target(batch.next_observation).amin(dim=0)
        alpha: Tensor = self.temperature.network()
        next_value = (share * (values - alpha * log_share)).sum(dim=1)
        return batch.responses + (batch.discount * next_value)[:, None]


def _softmax(logits: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return probabilities and their logarithms, float [B, I], both 0 where an item is not allowed."""
    if allowed is None:
        log_share = logits.log_softmax(dim=1)
        return log_share.exp(), log_share
    least = torch.finfo(logits.dtype).min  # minus infinity would make a row where nothing is allowed NaN
    log_share = logits.masked_fill(~allowed, least).log_softmax(dim=1)
    return log_share.exp().masked_fill(~allowed, 0.0), log_share.masked_fill(~allowed, 0.0)
