"""What a response model is: how likely each user is to respond to each item, at one time of the clock."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.errors import InvalidInput

_KEYS = 2**64
_KEY_STEP = 0x9E3779B97F4A7C15
"""Odd, so that the keys repeat after 2**64 ticks only; the golden ratio's bits, so that neighbours look unlike."""


@dataclass(frozen=True)
class State:
    """What changes while users are served.

    Attributes:
        clock: Number of the iteration, from 1.
        key: What noise of this tick is a function of, 0 .. 2**64 - 1; another one every tick, and from the
            start the same ones in the same order.
    """

    clock: int = 1
    key: int = 0


class ResponseModel(ABC):
    """How likely users are to respond. Pure: no randomness, no side effect; only a choice rolls dice.

    Attributes:
        n_items: I.
        n_users: U, or None where the model serves any user alike.
        stationary: Whether probabilities stay the same whatever the clock and the key.
    """

    stationary: bool = True

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

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "ResponseModel":
        """Return one with random parameters, for checks and first tries; every registered model has it.

        Args:
            n_users: U, how many users it must know, >= 1.
            n_items: I, >= 1.
            seed: Of its parameters.

        Raises:
            InvalidInput: This model does not say how to make one.
        """
        raise InvalidInput(f"{cls.__name__} has no example; write the class method example(n_users, n_items, seed)")

    def start(self) -> State:
        """Return the state at the first tick, with the first key."""
        return State()

    def at(self, clock: int) -> State:
        """Return the state at ``clock``, that many ticks from the start."""
        state = self.start()
        for _ in range(1, clock):
            state = self.advance(state)
        return state

    def advance(self, state: State) -> State:
        """Return the state one tick later, with the next key."""
        return replace(state, clock=state.clock + 1, key=(state.key + _KEY_STEP) % _KEYS)
