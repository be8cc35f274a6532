"""Deep deterministic policy gradient: a critic of vectors, and an actor that climbs it.

``y = r + discount Q'(s', actor'(s'))``, ``critic loss = mean (Q(s, a) - y)^2``, ``actor loss = -mean Q(s, actor(s))``

where primes are targets that follow by ``tau``. Among items, actions are looked up (``lookup``).

Source: Lillicrap et al. 2016 (arXiv 1509.02971). Departures: (1) Gaussian noise in place of an Ornstein-Uhlenbeck
process; (2) actions are random until learning starts; (3) for slates, ``y_k = r_k + discount * mean over the K items
looked up of Q'(s', .)``, which adds up to the slate's Bellman target, and only positions that were seen count; (4) the
critic learns from the vectors of what was executed, the actor from its own proto-action; (5) nothing is normalised.
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
from smartrec.agents.deep.vector_networks import VectorActor, VectorCritic, item_values, mean_error
from smartrec.agents.deep.vectors import VectorConfig, with_embeddings
from smartrec.agents.encoders.state import tensors
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class DDPGConfig(VectorConfig):
    """Options of ``DDPG``.

    Attributes:
        noise: Standard deviation of the noise on proto-actions, in half widths of the box, >= 0.
    """

    noise: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.noise >= 0, "noise", self.noise, "a number >= 0")


class DDPG(GradientAgent):
    """Deep deterministic policy gradient.

    Attributes:
        actor: Proto-actions, and their target.
        critic: Values of vectors, and their target.
    """

    tags: ClassVar[Tags] = Tags(vectors=True, learns_from_logs=True, extra="deep")
    Config = DDPGConfig

    def __init__(self, problem: Problem, config: DDPGConfig | None = None, *, seed: int) -> None:
        problem, c = with_embeddings(problem, config or DDPGConfig())
        super().__init__(problem, c, seed=seed)
        critic = built(lambda: VectorCritic(problem, c, heads=1), self.rng, c.device)
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
        """Take a gradient step of critic and actor."""
        critic, seen = self.critic.network, batch.observation
        values = critic(seen, critic.vectors(batch.action))  # [1, B, K]
        critic_loss = self.critic.step(mean_error(values, self._targets(batch), batch.observed))
        proto = self.actor.network(seen)[:, None]  # [B, 1, D]
        actor_loss = self.actor.step(-critic(seen, proto).mean())
        self.critic.follow(self.config.tau)
        self.actor.follow(self.config.tau)
        self.lookup.follow(critic.vectors, self.critic.steps)
        return {"critic_loss": critic_loss, "actor_loss": actor_loss, "q_mean": float(values.detach().mean())}

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Return what the values should be, float [B, K]."""
        if self.problem.discount == 0:
            return batch.responses
        critic, following = self.critic.target, batch.next_observation
        proto = self.actor.target(following)
        vectors, known = self.lookup.candidates(proto, batch.next_allowed, critic.vectors)
        worth = self.lookup.worth(critic(following, vectors)[0], known)  # [B]
        return batch.responses + (batch.discount * worth)[:, None]
