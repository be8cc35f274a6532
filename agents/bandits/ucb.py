"""Upper confidence bounds in the forms of RePlay and of Sim4Rec, greedy or sampling.

``score[i] = clicks[i] / shown[i] + sqrt(L / shown[i])``, ``1 + sqrt(L)`` for an item never shown,
``L = c ln n`` in RePlay's form and ``ln(c n)`` in Sim4Rec's, ``n`` = all showings so far.

Source: RePlay's UCB, after Auer et al. 2002, whose UCB1 is ``c = 2``, and Sim4Rec's copy of it. Departures: (1)
ties are broken at random for each user, so that a batch does not get one item; (2) ``sample=True`` draws slates
in proportion to the scores anew at every decision, where RePlay repeats a user's draw while the scores stay; (3)
``ln n`` is 0 before the first showing, and ``ln(c n)`` is 0 while ``c n < 1``, where Sim4Rec has the root of a
negative number.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from smartrec.agents import exploration
from smartrec.agents.bandits.counts import Counts
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

TINY = 1e-200
"""A showing discounted to less than this would make the bound infinite."""


@dataclass(frozen=True)
class UCBConfig:
    """Options of ``UCB``.

    Attributes:
        coefficient: c, weight of the confidence bound, >= 0.
        form: Where c stands, in no unit: "replay" before the logarithm, "sim4rec" inside it.
        sample: Draw in proportion to the scores instead of taking the best.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    coefficient: float = 2.0
    form: Literal["replay", "sim4rec"] = "replay"
    sample: bool = False
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(self.coefficient >= 0, "coefficient", self.coefficient, "a number >= 0")


class UCB(Agent):
    """Upper confidence bounds on click rates."""

    tags: ClassVar[Tags] = Tags(counts=True, learns_from_logs=True, propensities=True)
    Config = UCBConfig

    def __init__(self, problem: Problem, config: UCBConfig | None = None, *, seed: int) -> None:
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
        """Choose by score; ``explore=False`` takes the best means."""
        self.counts.look(observation)
        index = self.scores() if explore else self.counts.mean(unseen=0.0)
        if not (explore and self.config.sample):
            return self.choose(index, observation, allowed)
        scores, candidates = self.restrict(index[None], allowed)
        picked = exploration.proportional(scores, lanes_of(observation), self.problem.slate_size, self.rng)
        return self.decide(*picked, candidates)

    def observe(self, transitions: Transitions) -> None:
        """Count."""
        self.counts.record(transitions)

    def scores(self) -> FloatArray:
        """Return the upper bounds, float [I]."""
        shown = self.counts.shown
        c, n = self.config.coefficient, shown.sum()
        spread = np.log(max(c * n, 1.0)) if self.config.form == "sim4rec" else c * np.log(max(n, 1.0))
        bound: FloatArray = np.sqrt(spread / np.where(shown > 0, shown + TINY, 1.0))
        return self.counts.mean(unseen=1.0) + bound
