"""What a response model is: how likely each user is to respond to each item, at one time of the clock."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class State:
    """What changes while users are served.

    Attributes:
        clock: Number of the iteration, from 1.
    """

    clock: int = 1


class ResponseModel(ABC):
    """How likely users are to respond. Pure: no randomness, no side effect; only a choice rolls dice.

    Attributes:
        n_items: I.
        n_users: U, or None where the model serves any user alike.
        stationary: Whether probabilities stay the same whatever the clock.
    """

    stationary: ClassVar[bool] = True

    n_items: int
    n_users: int | None = None

    @abstractmethod
    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return the probability of a response, float [N, K] in [0, 1].

        Args:
            users: int [N], in 0 .. U-1.
            items: int [N, K], in 0 .. I-1.
            state: The time of the clock.
        """

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return the probabilities of all items, float [N, I]; models with factors do it in one product."""
        items = np.broadcast_to(np.arange(self.n_items), (len(users), self.n_items))
        return self.probability(users, items, state)

    def start(self) -> State:
        """Return the state at the first tick."""
        return State()

    def at(self, clock: int) -> State:
        """Return the state at ``clock``, that many ticks from the start."""
        state = self.start()
        for _ in range(1, clock):
            state = self.advance(state)
        return state

    def advance(self, state: State) -> State:
        """Return the state one tick later."""
        return replace(state, clock=state.clock + 1)
