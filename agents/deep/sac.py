"""Soft actor-critic: a policy of squashed Gaussian vectors, paid for its entropy.

``a = tanh(u)``, ``u ~ N(mean(s), sd(s)^2)``, ``log pi(a | s) = log N(u) - sum over d of log(1 - a_d^2)``

``y = r + discount (min(Q1'(s', a'), Q2'(s', a')) - alpha log pi(a' | s'))``,
``actor loss = mean alpha log pi(a | s) - min(Q1(s, a), Q2(s, a))``,
``temperature loss = -mean log alpha (log pi(a | s) + target entropy)``

where primes are targets that follow by ``tau``. Among items, actions are looked up; the entropy is the proto-action's.

Source: Haarnoja et al. 2018 (arXiv 1801.01290, 1812.05905). Departures: (1) both critics read the state through one
encoder and, where items' vectors are learnt, share those; (2) actions are random until learning starts; (3) for slates,
``y_k = r_k + discount * (mean over the K items looked up of min(Q1', Q2') - alpha log pi / K)``, the actor pays
``alpha / K`` too, and only positions that were seen count; (4) the critics learn from the vectors of what was executed,
the actor from its own proto-action.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from smartrec.agents.base import Tags
from smartrec.agents.deep.experience import Batch, Experience
from smartrec.agents.deep.gradient_agent import GradientAgent
from smartrec.agents.deep.lookup import Lookup
from smartrec.agents.deep.networks import built, mlp
from smartrec.agents.deep.schedules import Cadence
from smartrec.agents.deep.temperature import Temperature
from smartrec.agents.deep.training import Learner
from smartrec.agents.deep.vector_networks import VectorCritic, item_values, mean_error, normal, state_of
from smartrec.agents.deep.vectors import VectorConfig, with_embeddings
from smartrec.agents.encoders.state import tensors
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

LOG_SD = (-5.0, 2.0)
"""Range of the logarithm of the standard deviation."""


@dataclass(frozen=True)
class SACConfig(VectorConfig):
    """Options of ``SAC``.

    Attributes:
        alpha: Temperature, reward a nat of entropy, > 0; the first one where it is learnt.
        learn_alpha: Whether the temperature is moved until the entropy is as wanted.
        target_entropy: Wanted entropy of a proto-action in nats a dimension; a uniform one has 0.69.
        alpha_rate: Learning rate of the temperature, > 0.
    """

    alpha: float = 0.1
    learn_alpha: bool = True
    target_entropy: float = -1.0
    alpha_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha > 0, "alpha", self.alpha, "a number > 0")
        require(self.target_entropy < math.log(2), "target_entropy", self.target_entropy, "a number < log 2")
        require(self.alpha_rate > 0, "alpha_rate", self.alpha_rate, "a number > 0")


class GaussianActor(nn.Module):
    """Squashed Gaussian proto-actions.

    Args:
        problem: What is seen.
        config: State encoder and hidden layers.
        size: D.
    """

    def __init__(self, problem: Problem, config: SACConfig, size: int) -> None:
        super().__init__()
        self.state = state_of(problem, config)
        self.body = mlp((self.state.size, *config.hidden, 2 * size))

    def forward(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the standard deviation before squashing, float [B, D] each."""
        mean, log_sd = self.body(self.state(observation)).chunk(2, dim=1)
        return mean, log_sd.clamp(*LOG_SD)


class SAC(GradientAgent):
    """Soft actor-critic.

    Attributes:
        actor: Distributions of proto-actions.
        critic: Two values of vectors, and their targets.
        temperature: Price of entropy.
    """

    tags: ClassVar[Tags] = Tags(vectors=True, learns_from_logs=True, extra="deep")
    Config = SACConfig

    def __init__(self, problem: Problem, config: SACConfig | None = None, *, seed: int) -> None:
        problem, c = with_embeddings(problem, config or SACConfig())
        super().__init__(problem, c, seed=seed)
        critic = built(lambda: VectorCritic(problem, c, heads=2), self.rng, c.device)
        actor = built(lambda: GaussianActor(problem, c, critic.vectors.size), self.rng, c.device)
        self.critic = Learner(critic, "critic", rate=c.critic_rate, clip=c.clip, target=True)
        self.actor = Learner(actor, "actor", rate=c.actor_rate, clip=c.clip)
        self.temperature = Learner(built(lambda: Temperature(c.alpha), self.rng, c.device), "alpha", rate=c.alpha_rate)
        self.lookup = Lookup(problem, c, critic.vectors)
        self.experience = Experience(problem, c.capacity, device=c.device)
        self.cadence = Cadence(c.train_every, c.gradient_steps, c.warmup)

    @torch.no_grad()
    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose what a drawn vector stands for; ``explore=False`` takes the squashed mean."""
        if self.critic.steps == 0:
            return self.lookup.anything(self, observation, allowed)
        seen = tensors(observation, self.config.device)
        proto = self._draw(seen)[0] if explore else torch.tanh(self.actor.network(seen)[0])  # [N, D]
        values = lambda items: item_values(self.critic.network, seen, items)  # noqa: E731
        return self.lookup.decide(self, proto.cpu().numpy(), allowed, values)

    def observe(self, transitions: Transitions) -> None:
        """Keep what somebody saw."""
        seen = transitions[np.flatnonzero(transitions.observed.any(axis=1))]
        self.experience.record(self.lookup.note(seen))
        self.cadence.count(len(seen))

    def update(self) -> dict[str, float]:
        """Take the gradient steps that are due; return the figures of the last one.

        Raises:
            Diverged: A loss is no finite number; the weights are those before the step.
        """
        figures: dict[str, float] = {}
        for _ in range(self.cadence.due()):
            figures = self._learn(self.experience.sample(self.config.batch, self.rng))
        if figures:
            figures.update(self.lookup.figures())
        return figures

    def _learn(self, batch: Batch) -> dict[str, float]:
        """Take a gradient step of critics, actor and temperature."""
        critic, seen = self.critic.network, batch.observation
        values = critic(seen, critic.vectors(batch.action))  # [2, B, K]
        critic_loss = self.critic.step(mean_error(values, self._targets(batch), batch.observed))
        proto, log_density = self._draw(seen)
        worth = critic(seen, proto[:, None]).amin(dim=0)[:, 0]  # [B]
        price = self.alpha / self.problem.slate_size
        actor_loss = self.actor.step((price * log_density - worth).mean())
        entropy = -float(log_density.detach().mean())
        if self.config.learn_alpha:
            wanted = self.config.target_entropy * proto.shape[1]
            self.temperature.step(self.temperature.network.logarithm * (entropy - wanted))
        self.critic.follow(self.config.tau)
        self.lookup.follow(critic.vectors, self.critic.steps)
        figures = {"critic_loss": critic_loss, "actor_loss": actor_loss, "q_mean": float(values.detach().mean())}
        return {**figures, "alpha": self.alpha, "entropy": entropy}

    @property
    def alpha(self) -> float:
        """Temperature now, reward a nat."""
        return math.exp(float(self.temperature.network.logarithm.detach()))

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return what the values should be, float [B, K]."""
        if self.problem.discount == 0:
            return batch.responses
        critic, following = self.critic.target, batch.next_observation
        proto, log_density = self._draw(following)
        vectors, known = self.lookup.candidates(proto, batch.next_allowed, critic.vectors)
        worth = self.lookup.worth(critic(following, vectors).amin(dim=0), known)  # [B]
        # A row where nothing is allowed has no choice, so it is worth 0 and has no entropy.
        worth -= known.any(dim=1) * self.alpha * log_density / self.problem.slate_size
        return batch.responses + (batch.discount * worth)[:, None]

    def _draw(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return drawn proto-actions [B, D] and the logarithms of their densities [B]."""
        mean, log_sd = self.actor.network(observation)
        return squashed(mean, log_sd, normal(mean.shape, self.rng, mean.device))


def squashed(mean: Tensor, log_sd: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``a = tanh(mean + sd noise)`` [B, D], and the logarithm of its density in ``(-1, 1)^D``, [B]."""
    before = mean + log_sd.exp() * noise
    normal = -0.5 * noise**2 - log_sd - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(u)^2), written so that it does not round to minus infinity.
    shrink = 2 * (math.log(2) - before - functional.softplus(-2 * before))
    return torch.tanh(before), (normal - shrink).sum(dim=1)
