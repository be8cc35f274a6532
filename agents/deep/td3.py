"""Twin delayed deterministic policy gradient: two critics, of which the lesser is believed, and a patient actor.

``a' = clip(actor'(s') + clip(N(0, target_noise^2), -c, c), -1, 1)``,
``y = r + discount min(Q1'(s', a'), Q2'(s', a'))``, ``critic loss = sum over h of mean (Q_h(s, a) - y)^2``; every
``policy_delay`` steps ``actor loss = -mean Q1(s, actor(s))``

where primes are targets, which follow by ``tau`` when the actor learns. Among items, actions are looked up.

Source: Fujimoto et al. 2018 (arXiv 1802.09477). Departures: (1) both critics read the state through one encoder and,
where items' vectors are learnt, share those; (2) actions are random until learning starts; (3) for slates,
``y_k = r_k + discount * mean over the K items looked up of min(Q1', Q2')``, and only positions that were seen count;
(4) the critics learn from the vectors of what was executed, the actor from its own proto-action.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from smartrec.agents.base import Tags
from smartrec.agents.deep.experience import Batch, Experience
from smartrec.agents.deep.gradient_agent import GradientAgent
from smartrec.agents.deep.lookup import Lookup
from smartrec.agents.deep.networks import built
from smartrec.agents.deep.schedules import Cadence
from smartrec.agents.deep.training import Learner
from smartrec.agents.deep.vector_networks import VectorActor, VectorCritic, item_values, mean_error, normal
from smartrec.agents.deep.vectors import VectorConfig, with_embeddings
from smartrec.agents.encoders.state import tensors
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class TD3Config(VectorConfig):
    """Options of ``TD3``.

    Attributes:
        noise: Standard deviation of the noise on proto-actions, in half widths of the box, >= 0.
        target_noise: Standard deviation of the noise on the actions of targets, in half widths, >= 0.
        target_noise_clip: Most that this noise may be, ``c``, in half widths, >= 0.
        policy_delay: Gradient steps of the critics for one of the actor, >= 1.
    """

    noise: float = 0.1
    target_noise: float = 0.2
    target_noise_clip: float = 0.5
    policy_delay: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise", "target_noise", "target_noise_clip"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "a number >= 0")
        require(self.policy_delay >= 1, "policy_delay", self.policy_delay, "a whole number >= 1")


class TD3(GradientAgent):
    """Twin delayed deterministic policy gradient.

    Attributes:
        actor: Proto-actions, and their target.
        critic: Two values of vectors, and their targets.
    """

    tags: ClassVar[Tags] = Tags(vectors=True, learns_from_logs=True, extra="deep")
    Config = TD3Config

    def __init__(self, problem: Problem, config: TD3Config | None = None, *, seed: int) -> None:
        problem, c = with_embeddings(problem, config or TD3Config())
        super().__init__(problem, c, seed=seed)
        critic = built(lambda: VectorCritic(problem, c, heads=2), self.rng, c.device)
        actor = built(lambda: VectorActor(problem, c, critic.vectors.size), self.rng, c.device)
        self.critic = Learner(critic, "critic", rate=c.critic_rate, clip=c.clip, target=True)
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
        """Choose what the actor's vectors stand for; ``explore`` adds noise to them."""
        if self.critic.steps == 0:
            return self.lookup.anything(self, observation, allowed)
        seen = tensors(observation, self.config.device)
        proto = self.actor.network(seen).cpu().numpy()  # [N, D]
        if explore:
            noise = self.config.noise * self.rng.standard_normal(proto.shape, np.float32)
            proto = np.clip(proto + noise, -1, 1)
        return self.lookup.decide(self, proto, allowed, lambda items: item_values(self.critic.network, seen, items))

    def observe(self, transitions: Transitions) -> None:
        """Keep what somebody saw."""
        seen = transitions[np.flatnonzero(transitions.observed.any(axis=1))]
        self.experience.record(self.lookup.note(seen))
        self.cadence.count(len(seen))

    def update(self) -> dict[str, float]:
        """Take the gradient steps that are due; return the losses and the mean value of the last one.

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
        """Take a gradient step of the critics, and of the actor where its turn has come."""
        critic, seen = self.critic.network, batch.observation
        values = critic(seen, critic.vectors(batch.action))  # [2, B, K]
        critic_loss = self.critic.step(mean_error(values, self._targets(batch), batch.observed))
        figures = {"critic_loss": critic_loss, "q_mean": float(values.detach().mean())}
        if self.critic.held or self.critic.steps % self.config.policy_delay == 0:
            proto = self.actor.network(seen)[:, None]  # [B, 1, D]
            figures["actor_loss"] = self.actor.step(-critic(seen, proto, heads=1).mean())
            self.critic.follow(self.config.tau)
            self.actor.follow(self.config.tau)
        self.lookup.follow(critic.vectors, self.critic.steps)
        return figures

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return what the values should be, float [B, K]."""
        if self.problem.discount == 0:
            return batch.responses
        critic, following = self.critic.target, batch.next_observation
        proto = self._noisy(self.actor.target(following))
        vectors, known = self.lookup.candidates(proto, batch.next_allowed, critic.vectors)
        worth = self.lookup.worth(critic(following, vectors).amin(dim=0), known)  # [B]
        return batch.responses + (batch.discount * worth)[:, None]

    def _noisy(self, proto: Tensor) -> Tensor:
        """Return proto-actions [B, D] with the clipped noise of targets."""
        c = self.config
        noise = normal(proto.shape, self.rng, proto.device)
        noise.mul_(c.target_noise).clamp_(-c.target_noise_clip, c.target_noise_clip)
        return noise.add_(proto).clamp_(-1, 1)
