"""What every agent is: it acts for N users at once, takes feedback, learns, can be saved. It owns no loop."""

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from smartrec.agents import exploration, growth, saving
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import from_dict, to_dict
from smartrec.core.decision import Candidates, Decision, Mask
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.seeding import generators
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class Tags:
    """What an agent can do and needs; tests, the loop and the command line select by it.

    Attributes:
        slates: Shows K > 1 items.
        vectors: Acts in a Box space.
        memory: Keeps something per lane, cleared by ``first``.
        learns_from_logs: ``fit`` learns from logged transitions.
        whole_visits: ``learn`` wants all steps of a visit in one batch.
        propensities: ``Decision.log_probability`` is always known.
        counts: All that it learns from are clicks and showings by item, kept in ``counts``, a ``Counts``.
        in_order: Needs all feedback, in order; the loop then refuses delay and loss.
        needs_features: Needs ``user_features`` in the observation.
        extra: Extra of SmartRec that it needs, or "".
    """

    slates: bool = True
    vectors: bool = False
    memory: bool = False
    learns_from_logs: bool = False
    whole_visits: bool = False
    propensities: bool = False
    counts: bool = False
    in_order: bool = False
    needs_features: bool = False
    extra: str = ""


@dataclass(frozen=True)
class NoConfig:
    """No options."""


class Agent(ABC):
    """Base of all agents.

    Args:
        problem: Sizes and spaces.
        config: Options, an instance of ``Config``; None takes the defaults.
        seed: Of the agent's own draws, >= 0.

    Attributes:
        tags: What it can do and needs.
        Config: Frozen dataclass of its options.
        rng: Its generator; ``observe`` and ``update`` of the base do nothing, so that an agent that does not
            learn writes ``act`` alone.

    Raises:
        InvalidConfig: The problem is none that this agent can solve.
    """

    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[Any]] = NoConfig

    def __init__(self, problem: Problem, config: Any = None, *, seed: int) -> None:
        self.problem = problem
        self.config = self.Config() if config is None else config
        self.rng = _generator(seed, type(self).__name__)
        self._refuse_unfit(problem)

    @abstractmethod
    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose for N lanes, any N.

        Args:
            observation: Arrays [N, ...].
            first: bool [N], lanes whose episode just began; None for all.
            allowed: What each lane may be shown; None for everything.
            explore: False asks for the best guess, ties still at random.
        """

    def observe(self, transitions: Transitions) -> None:  # noqa: B027 - not every agent learns
        """Take feedback: cheap, in any order, after any delay."""

    def update(self) -> dict[str, float]:
        """Learn from what was observed; return figures to log, nothing where nothing happened."""
        return {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from logged transitions."""
        self.observe(transitions)
        return self.update()

    def add_items(self, count: int, item_features: FloatArray | None = None, *, weight: float = 10.0) -> None:
        """Take in items that come: they get the next numbers, and every known item keeps its own.

        Without features they start from the agent's prior; with them, from a prior fitted on the features of the
        known items. Items that go are left out of ``allowed``.

        Args:
            count: How many, >= 1.
            item_features: float [count, D] beside the problem's, or None.
            weight: Showings that a prior fitted on features counts for, >= 0.

        Raises:
            InvalidConfig: This agent cannot take in items, or an argument is out of range.
            InvalidInput: The features are of another shape than the known items', or not finite.
        """
        came = growth.new_items(self.problem, count, item_features, weight)
        for part in self._growing():
            part.grow(came)
        self.problem = growth.grown(self.problem, came)

    def _growing(self) -> list[growth.Grows]:
        """Return the parts that can take in items; refuse where there are none, or one with items that cannot."""
        growing, stiff = [], []
        for name, value in vars(self).items():
            if isinstance(value, growth.Grows):
                growing.append(value)
            elif isinstance(value, saving.HasState) or (np.ndim(value) > 0 and len(value) == self.problem.items):
                stiff.append(name)
        if stiff or not growing:
            what = f"its {', '.join(stiff)} cannot grow" if stiff else "nothing in it counts items"
            raise InvalidConfig(
                f"{type(self).__name__} takes no new items ({what}); make it anew with the larger problem, or take "
                "an agent that counts, such as thompson"
            )
        return growing

    @property
    def items(self) -> int:
        """I, the number of items.

        Raises:
            InvalidConfig: The problem has none.
        """
        if self.problem.items is None:
            raise InvalidConfig(f"action space {self.problem.action_space}; allowed: items, by Discrete or Slate")
        return self.problem.items

    def decide(
        self, slates: IntArray, log_probability: FloatArray | None = None, candidates: IntArray | None = None
    ) -> Decision:
        """Return slates [N, K] as a decision: int [N] where one item is no slate.

        Args:
            slates: Items, or columns of ``candidates`` where that is given.
            log_probability: float [N], or None where unknown.
            candidates: int [N, C] or None.
        """
        if candidates is not None:
            slates = np.take_along_axis(candidates, slates, axis=1)
        one = self.problem.action_space.shape == ()
        return Decision(slates[:, 0] if one else slates, log_probability)

    def choose(self, scores: FloatArray, observation: Observation, allowed: Candidates | None) -> Decision:
        """Return the best slate by ``scores`` for each lane, ties at random for each.

        Args:
            scores: float [N, I], or [1, I] for all lanes alike.
            observation: Arrays [N, ...], for the number of lanes.
            allowed: Candidates, or None for all.

        Raises:
            InvalidAction: A lane has fewer candidates than a slate needs.
        """
        scores, candidates = self.restrict(np.atleast_2d(scores), allowed)
        lanes, slate_size = lanes_of(observation), self.problem.slate_size
        slates, log_probability = exploration.best(scores, lanes, slate_size, self.rng)
        # Where the scores themselves are drawn, ties are not all that chance decided.
        return self.decide(slates, log_probability if self.tags.propensities else None, candidates)

    def restrict(self, scores: FloatArray, allowed: Candidates | None) -> tuple[FloatArray, IntArray | None]:
        """Leave in scores what may be chosen.

        Args:
            scores: float [N, I] or [1, I].
            allowed: Candidates, or None for all.

        Returns:
            Scores float [N, C] or [1, C], minus infinity where a column may not be chosen, and the items of
            the columns, int [N, C], or None where column i is item i.

        Raises:
            InvalidAction: A lane has fewer candidates than a slate needs.
        """
        if allowed is None:
            return scores, None
        allowed.require(self.problem.slate_size)
        if isinstance(allowed, Mask):
            return np.where(allowed.allowed, scores, -np.inf), None
        rows = np.broadcast_to(scores, (len(allowed.items), scores.shape[1]))
        picked = np.take_along_axis(rows, np.maximum(allowed.items, 0), axis=1)
        return np.where(allowed.items >= 0, picked, -np.inf), allowed.items

    def save(self, folder: str | Path) -> None:
        """Write everything needed to go on exactly: options, what was learnt, generators.

        Raises:
            OutputError: The folder cannot be written.
        """
        plain, arrays = saving.state_of(self, _NOT_STATE)
        if self.problem.item_features is not None:
            arrays = {**arrays, "problem.item_features": self.problem.item_features}
        cls = type(self)
        header = {
            "agent": f"{cls.__module__}:{cls.__qualname__}",
            "config": to_dict(self.config),
            "problem": self.problem.to_dict(),
            "state": plain,
        }
        saving.write(Path(folder), header, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Undo ``save``.

        Raises:
            DataNotFound: The folder holds no agent.
            DataError: A file is damaged, or the two files are of different saves.
            InvalidInput: The folder holds another agent.
        """
        header, arrays = saving.read(Path(folder))
        name = f"{cls.__module__}:{cls.__qualname__}"
        if header["agent"] != name:
            raise InvalidInput(f"{folder} holds {header['agent']}, not {name}; use smartrec.agents.load")
        problem = Problem.from_dict(header["problem"], arrays.pop("problem.item_features", None))
        agent = cls(problem, from_dict(cls.Config, header["config"], name), seed=0)
        saving.restore(agent, _NOT_STATE, header["state"], arrays)
        return agent

    def _refuse_unfit(self, problem: Problem) -> None:
        name, tags = type(self).__name__, self.tags
        if problem.slate_size > 1 and not tags.slates:
            raise InvalidConfig(f"{name} shows one item; slate_size = {problem.slate_size} needs an agent for slates")
        if problem.items is None and not tags.vectors:
            raise InvalidConfig(f"{name} chooses items; action space {problem.action_space} has none")
        if tags.needs_features and problem.user_features == 0:
            raise InvalidConfig(
                f"{name} needs user_features in the observation, and this world shows none; "
                "take task 2, or an agent that only counts"
            )


_NOT_STATE = frozenset({"problem", "config"})


def _generator(seed: int, name: str) -> np.random.Generator:
    """Return a stream that neither the world, nor the loop, nor another agent has under the same seed."""
    (stream,) = generators(seed, 1)
    return np.random.default_rng([int(stream.integers(2**63)), zlib.crc32(name.encode())])


def lanes_of(observation: Observation) -> int:
    """Return N, the number of lanes of an observation."""
    return len(next(iter(observation.values())))
