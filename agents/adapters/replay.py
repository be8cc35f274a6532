"""Recommenders of the library RePlay as agents, explored like our own.

RePlay fits on Spark; the scores that come out are kept as a table, so that an agent acts without Spark: on this
machine, and on Spark's workers alike. What each recommender is fitted to, and whom its scores are for, is in
``replay_facts``.

Departures from RePlay: (1) ties are broken at random, and slates explored as ``exploring`` says; (2) an item without a
score gets 0, or the lowest score where that is below 0, and a user without scores the items' click rates; (3) what was
seen may be shown again; (4) ``RandomRec``, and those with ``sample``, draw anew at every decision, by the agent's
generator, and are not explored further; (5) ``CatPopRec``, made for visitors of a category, takes each user for a
visitor of the categories that he clicked, as often as he did; (6) without a ``seed`` among the options a recommender
that takes one gets one of the agent's. Those with a fault that ``fault_of`` names are refused as long as they have it.
"""

import inspect
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from smartrec.agents.adapters.replay_clicks import Clicks
from smartrec.agents.adapters.replay_facts import RECOMMENDERS, REFUSED, Facts
from smartrec.agents.adapters.replay_faults import fault_of, quiet, replay_models
from smartrec.agents.adapters.replay_fit import Log, categories_of, fitted_scores
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.exploration import proportional
from smartrec.agents.recommenders.exploring import Exploring, decide
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

MOST_SCORES = 50_000_000
"""Largest table of users times items that is kept, 200 MB."""


@dataclass(frozen=True)
class RePlayConfig(Exploring):
    """Options of ``RePlay``, beside those of ``Exploring``.

    Attributes:
        recommender: Class of ``replay.models``.
        options: Arguments of the class, by name.
        exploration: "greedy", "epsilon" or "softmax"; RePlay's scores have no factors.
    """

    recommender: str = "PopRec"
    options: dict[str, Any] = field(default_factory=dict)
    exploration: Literal["greedy", "epsilon", "softmax", "thompson", "ucb"] = "epsilon"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recommender in REFUSED:
            raise InvalidConfig(f"{self.recommender} of RePlay is not used: it is {REFUSED[self.recommender]}")
        require(self.recommender in RECOMMENDERS, "recommender", self.recommender, ", ".join(RECOMMENDERS))
        require(not self.over_factors, "exploration", self.exploration, "'greedy', 'epsilon', 'softmax'")

    @property
    def facts(self) -> Facts:
        """What is known of the recommender."""
        return RECOMMENDERS[self.recommender]

    @property
    def draws(self) -> bool:
        """Whether items are drawn in proportion to their scores."""
        return self.facts.draws or bool(self.options.get("sample"))


class RePlay(Agent):
    """A recommender of RePlay with exploration.

    Attributes:
        feedback: Who was shown and clicked what.
        clicks: Every click with its time, where the recommender wants it.
        user_features: float32 [U, D], NaN for users who have not come yet; no rows where they are not needed.
        scores: float32 [U, I], or [1, I] where all users are alike, or [clusters, I]; no rows before the first fit.
        centres: Of the clusters, float [clusters, D]; no rows where there are none.
        seed: Of RePlay's own draws.

    Raises:
        InvalidConfig: The recommender has a fault, needs features that are not there or does not take its options, or
            there are too many scores to keep.
        MissingExtra: RePlay is not installed.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, extra="spark")
    Config = RePlayConfig

    def __init__(self, problem: Problem, config: RePlayConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.feedback = Feedback(problem)
        self.clicks = Clicks()
        self.seed = int(self.rng.integers(2**31))
        users = self.feedback.users if "users" in self.config.facts.needs else 0
        self.user_features: FloatArray = np.full((users, problem.user_features), np.nan, np.float32)
        self.scores: FloatArray = np.zeros((0, self.items), np.float32)
        self.centres: FloatArray = np.zeros((0, 0))
        self._require_fit()
        self._made()  # what is wrong with the options, or with the installation, shows before the first fit

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by the scores of the last fit, explored; before the first fit by the items' click rates."""
        users = self.feedback.users_of(observation)
        if not len(self.scores):
            scores = self.feedback.rates(self.config.weight)[0][None]
        elif len(self.centres):
            scores = self.scores[_nearest(observation["user_features"], self.centres)]
        else:
            scores = self.scores[users] if len(self.scores) > 1 else self.scores
        if not (explore and self.config.draws):
            return decide(self, scores, observation, allowed, explore)
        scores, candidates = self.restrict(scores, allowed)
        slates, known = proportional(scores, lanes_of(observation), self.problem.slate_size, self.rng)
        return self.decide(slates, known, candidates)

    def observe(self, transitions: Transitions) -> None:
        """Count showings and clicks of each user and item; keep what else the recommender is fitted to.

        Raises:
            InvalidInput: A response outside 0..1, or no such user; then nothing is counted.
        """
        self.feedback.record(transitions)
        users = self.feedback.users_of(transitions.observation)
        if self.config.facts.rows == "clicks":
            self.clicks.record(users, transitions)
        if len(self.user_features):
            self.user_features[users] = transitions.observation["user_features"]

    def update(self) -> dict[str, float]:
        """Fit anew where enough came."""
        return self._learn() if self.feedback.due(self.config.refit_every) else {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log."""
        self.observe(transitions)
        return self._learn()

    def _learn(self) -> dict[str, float]:
        *_, clicks = self.feedback.pairs()
        log = self._log()
        if not clicks.any() or not len(log.users):
            return {}
        self.feedback.settle()
        facts, users = self.config.facts, self.feedback.users
        scores, self.centres = fitted_scores(self._made(), facts, log, users, self.items)
        known = ~np.isnan(scores).all(axis=1)
        lowest = np.minimum(np.nanmin(scores[known], axis=1, keepdims=True), 0.0)
        scores[known] = np.where(np.isnan(scores[known]), lowest, scores[known])
        scores[~known] = self.feedback.rates(self.config.weight)[0]
        self.scores = scores
        return {"refit": 1.0, "rows": float(len(log.users))}

    def _log(self) -> Log:
        """Return the rows that the recommender is fitted to, and the features."""
        users, items, shown, clicks = self.feedback.pairs()
        rows, needs = self.config.facts.rows, self.config.facts.needs
        features = {
            "user_features": self.user_features if "users" in needs else None,
            "item_features": self.problem.item_features if "items" in needs else None,
        }
        if rows == "clicks":
            users, items, times = self.clicks.rows()
            return Log(users, items, np.ones(len(users)), times, **features)
        if rows == "pairs":
            clicked = clicks > 0
            return Log(users[clicked], items[clicked], clicks[clicked], **features)
        hits: IntArray = np.rint(clicks).astype(np.int64)
        misses: IntArray = np.rint(shown).astype(np.int64) - hits
        order = np.argsort(np.concatenate([np.repeat(users, hits), np.repeat(users, misses)]), kind="stable")
        answers = np.repeat([1.0, 0.0], [hits.sum(), misses.sum()])[order]
        users, items = (
            np.concatenate([np.repeat(part, hits), np.repeat(part, misses)])[order] for part in (users, items)
        )
        return Log(users, items, answers, **features)

    def _made(self) -> Any:
        name, options = self.config.recommender, self.config.options
        with quiet():
            kind = getattr(replay_models(), name)
            seed = {"seed": self.seed} if "seed" in inspect.signature(kind).parameters else {}
            try:
                return kind(**self.config.facts.given, **{**seed, **options})
            except (TypeError, ValueError) as error:
                raise InvalidConfig(f"options = {options}; allowed: arguments of RePlay's {name} ({error})") from error

    def _require_fit(self) -> None:
        """Raise unless the recommender is sound, and can be fitted to this problem."""
        name, facts, features = self.config.recommender, self.config.facts, self.problem.item_features
        if fault_of(name):
            raise InvalidConfig(f"{name} of RePlay is not used: {fault_of(name)}")
        cells = self.feedback.users * self.items
        if facts.scores in ("user", "category") and cells > MOST_SCORES:
            alike = [other for other, known in RECOMMENDERS.items() if known.scores == "all" and not fault_of(other)]
            raise InvalidConfig(
                f"{name} has {self.feedback.users} users x {self.items} items = {cells:,} scores; allowed: at most "
                f"{MOST_SCORES:,}. Take fewer users, or a recommender that is the same for all: {', '.join(alike)}"
            )
        if "users" in facts.needs and not self.problem.user_features:
            raise InvalidConfig(
                f"{name} needs user_features in the observation, and this world shows none; take task 2"
            )
        categories = 0 if features is None else categories_of(features).shape[1]
        if facts.scores == "category" and not categories:
            raise InvalidConfig(
                f"{name} needs categories, columns of 0 and 1 in the problem's item_features, and there are none; take "
                "task 2, or PopRec"
            )


def _nearest(features: FloatArray, centres: FloatArray) -> IntArray:
    """Return the number of the nearest centre [C, D] for each row of features [N, D]."""
    squares = (centres**2).sum(axis=1) - 2 * features.astype(np.float64) @ centres.T  # [N, C], less what all share
    return np.asarray(squares.argmin(axis=1))
