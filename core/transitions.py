"""Feedback on decisions, complete in itself, so that it may arrive late and in any order."""

from dataclasses import dataclass

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray, Observation
from smartrec.core.decision import Candidates, Decision


@dataclass(frozen=True, eq=False)
class Transitions:
    """What followed from B decisions.

    Attributes:
        observation: What the agent saw, arrays [B, ...].
        decision: What it chose.
        responses: float [B, K], what the user did at each position.
        observed: bool [B, K], False where nobody saw the position, which is no failure of its item.
        reward: float [B], what the agent is paid.
        next_observation: What it saw next in the same lane, arrays [B, ...].
        terminated: bool [B], the episode ended; nothing follows, so nothing is bootstrapped.
        truncated: bool [B], the episode was cut off; ``next_observation`` may be bootstrapped.
        visit: int [B], running number of the episode in the world.
        step: int [B], number of the loop step in which the decision was made.
        allowed: What could be chosen; None for all.
        next_allowed: What could be chosen next; None for all.
    """

    observation: Observation
    decision: Decision
    responses: FloatArray
    observed: BoolArray
    reward: FloatArray
    next_observation: Observation
    terminated: BoolArray
    truncated: BoolArray
    visit: IntArray
    step: IntArray
    allowed: Candidates | None = None
    next_allowed: Candidates | None = None

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def items(self) -> Array:
        """The items shown, int [B, K], whatever the slate size."""
        action = self.decision.action
        return action[:, None] if action.ndim == 1 else action

    def __getitem__(self, rows: Array | slice) -> "Transitions":
        """Return the rows picked by a mask, by numbers or by a slice."""
        return Transitions(
            observation={key: value[rows] for key, value in self.observation.items()},
            decision=self.decision[rows],
            responses=self.responses[rows],
            observed=self.observed[rows],
            reward=self.reward[rows],
            next_observation={key: value[rows] for key, value in self.next_observation.items()},
            terminated=self.terminated[rows],
            truncated=self.truncated[rows],
            visit=self.visit[rows],
            step=self.step[rows],
            allowed=None if self.allowed is None else self.allowed[rows],
            next_allowed=None if self.next_allowed is None else self.next_allowed[rows],
        )
