"""Epsilon-greedy: mostly the best mean so far, sometimes anything.

``slate = uniform with probability epsilon, else top K of clicks[i] / shown[i]``

Source: Sutton and Barto, Reinforcement Learning, section 2.2. Departures: (1) decides for N users at once, ties
at random for each; (2) the coin is tossed once a slate; (3) an item never shown has the mean ``unseen``, and 0
where nothing is explored.
"""

from dataclasses import dataclass
from typing import ClassVar

from smartrec.agents import exploration
from smartrec.agents.bandits.counts import Counts
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class EpsilonGreedyConfig:
    """Options of ``EpsilonGreedy``.

    Attributes:
        epsilon: Probability of a random slate, 0..1.
        unseen: Mean of an item never shown while exploring, in clicks; 1 tries everything first.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    epsilon: float = 0.1
    unseen: float = 1.0
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.epsilon <= 1, "epsilon", self.epsilon, "0 to 1")


class EpsilonGreedy(Agent):
    """Epsilon-greedy on click rates."""

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True, propensities=True)
    Config = EpsilonGreedyConfig

    def __init__(self, problem: Problem, config: EpsilonGreedyConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.counts = Counts(self.items, Forgetting(self.config.discount, self.config.window))

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the best means, or with probability epsilon a random slate, lane by lane; ``explore=False`` takes
        the best means.
        """
        self.counts.look(observation)
        epsilon, unseen = (self.config.epsilon, self.config.unseen) if explore else (0.0, 0.0)
        scores, candidates = self.restrict(self.counts.mean(unseen)[None], allowed)
        lanes = lanes_of(observation)
        picked = exploration.epsilon_greedy(scores, lanes, self.problem.slate_size, epsilon, self.rng)
        return self.decide(*picked, candidates)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)
