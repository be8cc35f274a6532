"""How agents with networks learn from a log of any size: batch by batch, handed in by who holds the log."""

from abc import abstractmethod

from smartrec.agents.base import Agent
from smartrec.agents.deep.experience import Batch, Experience
from smartrec.agents.deep.training import held
from smartrec.core.transitions import Transitions


class GradientAgent(Agent):
    """An agent that can be asked for one gradient step.

    Attributes:
        experience: What it keeps of what it observes; it says how transitions become a batch of tensors.
    """

    experience: Experience

    def learn(self, transitions: Transitions) -> dict[str, float]:
        """Take one gradient step on exactly these transitions, of which none is kept; return its figures.

        Raises:
            InvalidInput: There are none, or a number in them is not finite; then nothing is learnt.
            Diverged: A loss is no finite number; the weights are those before the step.
        """
        return self._learn(self.experience.batch_of(transitions))

    def test(self, transitions: Transitions) -> dict[str, float]:
        """Return the figures of ``learn`` on these transitions; nothing changes."""
        with held(self):
            return self._learn(self.experience.batch_of(transitions))

    @abstractmethod
    def _learn(self, batch: Batch) -> dict[str, float]:
        """Take one gradient step with each network; return its losses and further figures."""
