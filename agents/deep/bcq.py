"""Batch-constrained Q-learning: what a log's behaviour might have done, moved a little towards what is worth more.

``generator loss = mean (a - decode(s, z))^2 + kl_weight KL(N(m, sd^2) || N(0, 1))``, ``z ~ N(m(s, a), sd(s, a)^2)``

``a_i = decode(s', z_i) + phi tanh(mlp'(s', decode(s', z_i)))``, ``z_i ~ clip(N(0, 1), -0.5, 0.5)``, i = 1 .. samples,
``y = r + discount max over i of (lambda min(Q1', Q2') + (1 - lambda) max(Q1', Q2'))(s', a_i)``,
``critic loss = sum over h of mean (Q_h(s, a) - y)^2``, ``actor loss = -mean Q1(s, a_1)`` for the perturbation's weights

where primes are targets that follow by ``tau``. Acting takes the ``a_i`` with the largest ``Q1``; among items it is
looked up.

Source: Fujimoto et al. 2019 (arXiv 1812.02900). Departures: (1) both critics read the state through one encoder and,
where items' vectors are learnt, share those; (2) actions are random until learning starts; (3) for slates the
generator imitates each item shown, and ``y_k = r_k + discount * mean over the K items looked up from the best a_i``;
(4) it may also learn while it acts, by ``update``; (5) ``kl_weight`` is less than the authors' half, under which the
generator forgets z wherever the behaviour is not as wide as the box.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from smartrec.agents.base import Tags
from smartrec.agents.deep.experience import Batch, Experience
from smartrec.agents.deep.gradient_agent import GradientAgent
from smartrec.agents.deep.lookup import Lookup
from smartrec.agents.deep.networks import built, mlp
from smartrec.agents.deep.schedules import Cadence
from smartrec.agents.deep.training import Learner
from smartrec.agents.deep.vector_networks import VectorCritic, item_values, mean_error, normal, state_of
from smartrec.agents.deep.vectors import VectorConfig, with_embeddings
from smartrec.agents.encoders.state import tensors
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

LATENT_CLIP = 0.5
"""Largest coordinate of a latent vector that actions are generated from: only what is likely is imitated."""

LOG_SD = (-4.0, 15.0)
"""Range of the logarithm of the standard deviation of latent vectors."""


@dataclass(frozen=True)
class BCQConfig(VectorConfig):
    """Options of ``BCQ``.

    Attributes:
        samples: Actions generated a state, of which the best is taken, >= 1.
        phi: Most that the perturbation may move a coordinate, in half widths of the box, 0..1.
        pessimism: Weight ``lambda`` of the lesser of two values, 0..1.
        kl_weight: Weight of the generator's divergence from the normal law, >= 0.
        generator_rate: Learning rate of the generator, > 0.
        fit_steps: Gradient steps that ``fit`` takes, >= 1.
    """

    samples: int = 10
    phi: float = 0.05
    pessimism: float = 0.75
    kl_weight: float = 0.05
    generator_rate: float = 1e-3
    fit_steps: int = 5000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("samples", "fit_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        for name in ("phi", "pessimism"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
        require(self.kl_weight >= 0, "kl_weight", self.kl_weight, "a number >= 0")
        require(self.generator_rate > 0, "generator_rate", self.generator_rate, "a number > 0")


class Generator(nn.Module):
    """Conditional variational autoencoder of actions, with latent vectors of length Z = 2 D.

    Args:
        problem: What is seen.
        config: State encoder and hidden layers.
        size: D.
    """

    def __init__(self, problem: Problem, config: BCQConfig, size: int) -> None:
        super().__init__()
        self.state, self.latent = state_of(problem, config), 2 * size
        self.encoder = mlp((self.state.size + size, *config.hidden, 2 * self.latent))
        self.decoder = mlp((self.state.size + self.latent, *config.hidden, size), nn.Tanh)

    def forward(self, observation: dict[str, Tensor], vectors: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors [B, C, D] rebuilt, and divergences [B, C], with standard normal noise [B, C, Z]."""
        mean, log_sd = self.encoder(_joined(self.state(observation), vectors)).chunk(2, dim=2)
        log_sd = log_sd.clamp(*LOG_SD)
        divergence = 0.5 * (mean**2 + (2 * log_sd).exp() - 1) - log_sd
        return self.decode(observation, mean + log_sd.exp() * noise), divergence.mean(dim=2)

    def decode(self, observation: dict[str, Tensor], latent: Tensor) -> Tensor:
        """Return vectors [B, C, D] of latent vectors [B, C, Z]."""
        return self.decoder(_joined(self.state(observation), latent))  # type: ignore[no-any-return]


class Perturbation(nn.Module):
    """Moves vectors by at most ``phi``.

    Args:
        problem: What is seen.
        config: State encoder, hidden layers and ``phi``.
        size: D.
    """

    def __init__(self, problem: Problem, config: BCQConfig, size: int) -> None:
        super().__init__()
        self.state, self._phi = state_of(problem, config), config.phi
        self.body = mlp((self.state.size + size, *config.hidden, size), nn.Tanh)

    def forward(self, observation: dict[str, Tensor], vectors: Tensor) -> Tensor:
        """Return vectors [B, C, D] moved."""
        moved: Tensor = vectors + self._phi * self.body(_joined(self.state(observation), vectors))
        return moved.clamp(-1, 1)


class BCQ(GradientAgent):
    """Batch-constrained Q-learning on vectors.

    Attributes:
        generator: Imitates the behaviour.
        actor: The perturbation, and its target.
        critic: Two values of vectors, and their targets.
    """

    tags: ClassVar[Tags] = Tags(vectors=True, learns_from_logs=True, extra="deep")
    Config = BCQConfig

    def __init__(self, problem: Problem, config: BCQConfig | None = None, *, seed: int) -> None:
        problem, c = with_embeddings(problem, config or BCQConfig())
        super().__init__(problem, c, seed=seed)
        critic = built(lambda: VectorCritic(problem, c, heads=2), self.rng, c.device)
        size = critic.vectors.size
        generator = built(lambda: Generator(problem, c, size), self.rng, c.device)
        actor = built(lambda: Perturbation(problem, c, size), self.rng, c.device)
        self.critic = Learner(critic, "critic", rate=c.critic_rate, clip=c.clip, target=True)
        self.generator = Learner(generator, "generator", rate=c.generator_rate, clip=c.clip)
        self.actor = Learner(actor, "actor", rate=c.actor_rate, clip=c.clip, target=True)
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
        """Choose the best of a few generated actions; ``explore`` makes no difference."""
        if self.critic.steps == 0:
            return self.lookup.anything(self, observation, allowed)
        seen, critic = tensors(observation, self.config.device), self.critic.network
        vectors = self.actor.network(seen, self._generated(seen, self.config.samples))  # [N, samples, D]
        proto = _picked(vectors, critic(seen, vectors, heads=1)[0])
        return self.lookup.decide(self, proto.cpu().numpy(), allowed, lambda items: item_values(critic, seen, items))

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
        return self._take(self.cadence.due())

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Take ``fit_steps`` gradient steps on a log, of which the last ``capacity`` transitions are kept.

        Raises:
            Diverged: A loss is no finite number; the weights are those before the step.
        """
        self.experience.record(transitions[np.flatnonzero(transitions.observed.any(axis=1))])
        return self._take(self.config.fit_steps if self.experience.size else 0)

    def _take(self, steps: int) -> dict[str, float]:
        figures: dict[str, float] = {}
        for _ in range(steps):
            figures = self._learn(self.experience.sample(self.config.batch, self.rng))
        if figures:
            figures.update(self.lookup.figures())
        return figures

    def _learn(self, batch: Batch) -> dict[str, float]:
        """Take a gradient step of generator, critics and perturbation."""
        critic, seen = self.critic.network, batch.observation
        vectors = critic.vectors(batch.action)  # [B, K, D]
        imitation = self._imitation(seen, vectors.detach(), batch.observed)
        generator_loss = self.generator.step(imitation)
        values = critic(seen, vectors)  # [2, B, K]
        critic_loss = self.critic.step(mean_error(values, self._targets(batch), batch.observed))
        moved = self.actor.network(seen, self._generated(seen, 1))  # [B, 1, D]
        actor_loss = self.actor.step(-critic(seen, moved, heads=1).mean())
        self.critic.follow(self.config.tau)
        self.actor.follow(self.config.tau)
        self.lookup.follow(critic.vectors, self.critic.steps)
        figures = {"critic_loss": critic_loss, "actor_loss": actor_loss, "generator_loss": generator_loss}
        return {**figures, "q_mean": float(values.detach().mean())}

    def _imitation(self, observation: dict[str, Tensor], vectors: Tensor, observed: Tensor) -> Tensor:
        """Return the generator's loss on vectors [B, K, D], where observed [B, K]."""
        noise = normal((*vectors.shape[:2], self.generator.network.latent), self.rng, vectors.device)
        rebuilt, divergence = self.generator.network(observation, vectors, noise)
        loss = ((rebuilt - vectors) ** 2).mean(dim=2) + self.config.kl_weight * divergence  # [B, K]
        mean: Tensor = (loss * observed).sum() / observed.sum().clamp(min=1)
        return mean

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return what the values should be, float [B, K]."""
        if self.problem.discount == 0:
            return batch.responses
        critic, following = self.critic.target, batch.next_observation
        generated = self.actor.target(following, self._generated(following, self.config.samples))
        proto = _picked(generated, self._wary(critic(following, generated)))
        vectors, known = self.lookup.candidates(proto, batch.next_allowed, critic.vectors)
        worth = self.lookup.worth(self._wary(critic(following, vectors)), known)  # [B]
        return batch.responses + (batch.discount * worth)[:, None]

    def _wary(self, values: Tensor) -> Tensor:
        """Return ``lambda min + (1 - lambda) max`` over the heads, float [B, C]."""
        share: float = self.config.pessimism
        return share * values.amin(dim=0) + (1 - share) * values.amax(dim=0)

    @torch.no_grad()
    def _generated(self, observation: dict[str, Tensor], count: int) -> Tensor:
        """Return ``count`` imitated vectors a state, float [B, count, D]."""
        lanes = len(next(iter(observation.values())))
        shape = lanes, count, self.generator.network.latent
        latent = normal(shape, self.rng, self.config.device).clamp(-LATENT_CLIP, LATENT_CLIP)
        return self.generator.network.decode(observation, latent)


def _joined(state: Tensor, vectors: Tensor) -> Tensor:
    """Return states [B, S] beside each of C vectors [B, C, D], float [B, C, S + D]."""
    repeated = state[:, None].expand(-1, vectors.shape[1], -1)
    return torch.cat([repeated, vectors], dim=2)


def _picked(vectors: Tensor, values: Tensor) -> Tensor:
    """Return the vector of the largest value: of vectors [B, C, D] and values [B, C], float [B, D]."""
    return vectors[torch.arange(len(vectors), device=vectors.device), values.argmax(dim=1)]
