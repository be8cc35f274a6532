"""What the interaction loop needs of a SmartRec environment, beyond Gymnasium's interface."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray, Observation
from smartrec.core.decision import Candidates
from smartrec.core.problem import Problem


@dataclass(frozen=True, eq=False)
class Outcome:
    """What N users did with what they were shown.

    Attributes:
        responses: float [N, K].
        observed: bool [N, K], False where nobody saw the position.
        expected: float [N], expected reward of what was shown.
        replaced: int [N], positions that the world filled anew because their item was a repeat or not
            allowed; None where it never does so.
        items: int [N, K], what was shown; None where it is what was chosen.
    """

    responses: FloatArray
    observed: BoolArray
    expected: FloatArray
    replaced: IntArray | None = None
    items: IntArray | None = None

    @property
    def reward(self) -> FloatArray:
        """float [N]: clicks of the lane, the sum of its responses."""
        total: FloatArray = self.responses.sum(axis=1)
        return total


class Visits(Protocol):
    """N users who are being served, one step at a time."""

    @property
    def visit(self) -> IntArray:
        """int [N], running numbers of the visits."""

    @property
    def observation(self) -> Observation:
        """What the agent sees of them now."""

    @property
    def allowed(self) -> Candidates | None:
        """What they may be shown now; None for all items."""

    @property
    def done(self) -> bool:
        """Whether these visits have ended."""

    def respond(self, action: Array) -> Outcome:
        """Show the users ``action`` [N] or [N, K] and return what they do."""


@dataclass(frozen=True)
class References:
    """Policies that know the truth, in expected reward a visit.

    Attributes:
        random: A uniformly random slate.
        best_fixed: The best slate that is the same for all users.
        oracle: The best slate for each user.
    """

    random: float
    best_fixed: float
    oracle: float


class World(Protocol):
    """A world of users that is served tick by tick."""

    problem: Problem
    reference: bool

    @property
    def iterations(self) -> int:
        """Ticks of the clock that are scored."""

    @property
    def users_per_iteration(self) -> int:
        """Users a tick."""

    @property
    def session_length(self) -> int:
        """Steps of a visit."""

    def census(self, clock: int, lanes: int = ...) -> Iterator[Visits]:
        """Serve every user once at time ``clock`` with dice of their own; the world is left as it was."""

    def references(self, clocks: Sequence[int]) -> References:
        """Return what policies that know the truth would get, mean over ``clocks``."""
