"""Thompson sampling of hidden taste: users and items have vectors of low rank, and each visit acts on a draw of them.

``click ~ Bernoulli(sigmoid(a_u + b_i + x_u . y_i))``, posteriors by variational Bayes over the answers of all users,
see ``taste``; ``draw[n, i] = a + E[b_i] + x . E[y_i] + width sqrt(z_n' Cov[(b_i, y_i)] z_n) normal``, ``(a, x)`` a draw
from user n's posterior, ``width`` times as wide, ``z_n = (1, E[x_n])``; ``slate[n] = top K of draw[n]``

Source: Kawale et al. 2015 (Thompson sampling with matrix factorisation, by particles) and Zhao, Zhang and Wang 2013
(interactive collaborative filtering). Departures: (1) posteriors are normal, of both sides, under a logistic
likelihood; (2) draws of items are independent a lane and item; (3) items come in one after another in random order,
one for every ``answers_per_item`` answers, never fewer than ``first_items``: ten thousand answers about a thousand
items say nothing of anybody's taste, about fifty items they say a lot, and what is learnt of users holds for the items
that come later; a log lets in all its items; (4) users nobody has seen are drawn from the prior, the population.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_matrix

from smartrec.agents import exploration
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.agents.recommenders.taste import Normals, Taste, exchanged
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class LowRankThompsonConfig:
    """Options of ``LowRankThompson``.

    Attributes:
        rank: R, directions of taste, >= 1.
        width: Of the draws, in standard deviations of the posterior, >= 0.
        user_spread: Variance of a user's readiness to click, in squared logits, > 0.
        item_spread: Variance of an item's appeal, in squared logits, > 0.
        taste_spread: Variance of a number in an item's taste, in squared logits, > 0.
        first_items: Items that are tried from the start, >= 1; four slates of them at least. Fewer suit a short run.
        answers_per_item: Answers after which another item is tried, > 0.
        refit_every: Transitions after which vectors are fitted anew, >= 1; earlier where they are a quarter of all.
    """

    rank: int = 16
    width: float = 0.5
    user_spread: float = 0.05
    item_spread: float = 0.05
    taste_spread: float = 0.5
    first_items: int = 200
    answers_per_item: float = 2500.0
    refit_every: int = 200

    def __post_init__(self) -> None:
        require(self.rank >= 1, "rank", self.rank, "a whole number >= 1")
        require(0 <= self.width < np.inf, "width", self.width, "a finite number >= 0")
        for name in ("user_spread", "item_spread", "taste_spread", "answers_per_item"):
            value = getattr(self, name)
            require(0 < value < np.inf, name, value, "a finite number > 0")
        require(self.first_items >= 1, "first_items", self.first_items, "a whole number >= 1")
        require(self.refit_every >= 1, "refit_every", self.refit_every, "a whole number >= 1")


class LowRankThompson(Agent):
    """Thompson sampling of hidden taste of low rank.

    Attributes:
        feedback: Who was shown and clicked what.
        taste: Posteriors of the items that were let in.
        order: int [I], items in the order in which they are let in.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True)
    Config = LowRankThompsonConfig

    def __init__(self, problem: Problem, config: LowRankThompsonConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        options = self.config
        self.feedback = Feedback(problem)
        self.order: IntArray = self.rng.permutation(self.items)
        self.taste = Taste(options.rank, options.user_spread, options.item_spread, options.taste_spread)
        self._admit()

    @property
    def panel(self) -> IntArray:
        """The items that were let in, int [M]."""
        return self.order[: len(self.taste.items.mean)]

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by a draw a lane from the posterior; ``explore=False`` takes the means."""
        users = self.feedback.users_of(observation)
        tastes = self.taste.users(*self._tables(users))
        draws = self._draws(tastes) if explore and self.config.width > 0 else self.taste.expected(tastes)
        scores = np.full((len(users), self.items), draws.min() - 1.0, draws.dtype)  # [N, I]; the rest fills up
        scores[:, self.panel] = draws
        scores, candidates = self.restrict(scores, allowed)
        slates, known = exploration.best(scores, lanes_of(observation), self.problem.slate_size, self.rng)
        drawn = explore and self.config.width > 0
        return self.decide(slates, None if drawn else known, candidates)

    def observe(self, transitions: Transitions) -> None:
        """Count showings and clicks of each user and item.

        Raises:
            InvalidInput: A response outside 0..1, or no such user; then nothing is counted.
        """
        self.feedback.record(transitions)

    def update(self) -> dict[str, float]:
        """Let items in, and fit the vectors anew where enough came."""
        return self._learn() if self.feedback.due(self.config.refit_every) else {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log."""
        self.observe(transitions)
        self._let_in_shown()
        figures = {}
        for _ in range(_SWEEPS):
            figures = self._learn()
        return figures

    def _draws(self, tastes: Normals) -> FloatArray:
        """Return a draw of each lane's logits of the items let in, float [N, M]."""
        width, items = self.config.width, self.taste.items
        roots = np.linalg.cholesky(tastes.covariance)
        z = tastes.mean.copy()  # [N, D]
        z[:, 1:] += width * np.einsum("nde,ne->nd", roots, self.rng.standard_normal(z[:, 1:].shape, np.float32))
        draws = z @ exchanged(items.mean).T  # [N, M]
        x = np.delete(tastes.mean, 1, axis=1)  # [N, D - 1]
        squares = (x[:, :, None] * x[:, None]).reshape(len(x), -1)
        variance = np.maximum(squares @ items.covariance.reshape(len(items.mean), -1).T, 0.0)
        draws += width * np.sqrt(variance) * self.rng.standard_normal(draws.shape, np.float32)
        return draws

    def _learn(self) -> dict[str, float]:
        self.feedback.settle()
        _, _, shown, clicks = self.feedback.pairs()
        self.taste.base = float(np.log((clicks.sum() + 0.5) / (shown.sum() - clicks.sum() + 0.5)))
        self._admit()
        self.taste.learn(*self._tables(self.feedback.known()))
        return {"refit": 1.0, "items": float(len(self.panel))}

    def _let_in_shown(self) -> None:
        """Let in all items of which there are answers, most of them first."""
        rest = self.order[len(self.panel) :]
        shown = self.feedback.rates(1.0)[1][rest]
        self.order = np.concatenate([self.panel, rest[np.argsort(-shown, kind="stable")]])
        self.taste.admit(int(np.count_nonzero(shown)), self.rng)

    def _admit(self) -> None:
        """Let in as many items as the answers so far can tell apart."""
        least = max(self.config.first_items, 4 * self.problem.slate_size)
        answers = self.feedback.answers
        wanted = min(self.items, max(least, int(answers / self.config.answers_per_item)))
        self.taste.admit(max(wanted - len(self.panel), 0), self.rng)

    def _tables(self, users: IntArray) -> tuple[csr_matrix, csr_matrix]:
        """Return showings and clicks of users, of the items let in, float [N, M] each."""
        shown, clicks = self.feedback.rows(users)
        return shown[:, self.panel], clicks[:, self.panel]


_SWEEPS = 30
"""Fits to a log: as many as it takes until a taste stands out."""
