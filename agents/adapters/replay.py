"""Recommenders of the library RePlay as agents, explored like our own.

RePlay fits on Spark; the scores that come out are kept as a table, so that an agent acts without Spark: on this
machine, and on Spark's workers alike. Recommenders that count positive and negative answers (``UCB``, ``KLUCB``,
``Wilson``) get every answer, the others the pairs of users and items with clicks, as often as they were clicked.

Departures from RePlay: (1) ties are broken at random, and slates explored as ``exploring`` says; (2) a user or an item
without a score, because no fit has seen it, gets the items' click rates or the lowest score; (3) what was seen may be
shown again. ``ThompsonSampling`` and ``LinUCB`` are examined before use, and refused while they have the faults that
``fault_of`` names.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from smartrec.agents.adapters.replay_faults import fault_of, quiet, replay_models
from smartrec.agents.base import Agent, Tags
from smartrec.agents.recommenders.exploring import Exploring, decide
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional
from smartrec.core.problem import Problem
from smartrec.core.spark import require_session, running_session, session
from smartrec.core.transitions import Transitions

ALIKE = ("PopRec", "UCB", "KLUCB", "Wilson", "ThompsonSampling", "LinUCB")
"""Recommenders that give all users the same scores; the last two are refused while they are faulty."""

PERSONAL = ("ALSWrap", "ItemKNN", "SLIM")

ANSWERS = ("UCB", "KLUCB", "Wilson", "ThompsonSampling")
"""Recommenders that are fitted to clicks and misses."""

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
        known = (*ALIKE, *PERSONAL)
        require(self.recommender in known, "recommender", self.recommender, ", ".join(known))
        require(not self.over_factors, "exploration", self.exploration, "'greedy', 'epsilon', 'softmax'")


class RePlay(Agent):
    """A recommender of RePlay with exploration.

    Attributes:
        feedback: Who was shown and clicked what.
        scores: float32 [U, I], or [1, I] where all users are alike; no rows before the first fit.

    Raises:
        InvalidConfig: The recommender has a fault or does not take its options, or there are too many scores to keep.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, extra="spark")
    Config = RePlayConfig

    def __init__(self, problem: Problem, config: RePlayConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.feedback = Feedback(problem)
        self.scores: FloatArray = np.zeros((0, self.items), np.float32)
        name, cells = self.config.recommender, self.feedback.users * self.items
        if name in PERSONAL and cells > MOST_SCORES:
            raise InvalidConfig(
                f"{name} has {self.feedback.users} users x {self.items} items = {cells:,} scores; allowed: at most "
                f"{MOST_SCORES:,}. Take fewer users, or a recommender that is the same for all: {', '.join(ALIKE[:4])}"
            )
        fault = fault_of(name)
        if fault:
            raise InvalidConfig(f"{name} of RePlay is not used: {fault}")
        if self.config.options:
            self._made()  # what is wrong with them shows before the first fit

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
            scores = np.broadcast_to(self.feedback.rates(self.config.weight)[0], (len(users), self.items))
        else:
            scores = self.scores[users if len(self.scores) > 1 else np.zeros_like(users)]
        return decide(self, scores, observation, allowed, explore)

    def observe(self, transitions: Transitions) -> None:
        """Count showings and clicks of each user and item.

        Raises:
            InvalidInput: A response outside 0..1, or no such user; then nothing is counted.
        """
        self.feedback.record(transitions)

    def update(self) -> dict[str, float]:
        """Fit anew where enough came."""
        return self._learn() if self.feedback.due(self.config.refit_every) else {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log."""
        self.observe(transitions)
        return self._learn()

    def _learn(self) -> dict[str, float]:
        users, items, shown, clicks = self.feedback.pairs()
        if not clicks.any():
            return {}
        self.feedback.settle()
        name = self.config.recommender
        if name in ANSWERS:
            hits: IntArray = np.rint(clicks).astype(np.int64)
            misses: IntArray = np.rint(shown).astype(np.int64) - hits
            rows = [np.concatenate([np.repeat(part, hits), np.repeat(part, misses)]) for part in (users, items)]
            rows.append(np.repeat([1.0, 0.0], [hits.sum(), misses.sum()]))
        else:
            rows = [values[clicks > 0] for values in (users, items, clicks)]
        self.scores = self._fitted_scores(*rows)
        return {"refit": 1.0, "rows": float(len(rows[0]))}

    def _made(self) -> Any:
        name, options = self.config.recommender, self.config.options
        kind = getattr(replay_models(), name)
        try:
            with quiet():
                return kind(**options)
        except (TypeError, ValueError) as error:
            raise InvalidConfig(f"options = {options}; allowed: arguments of RePlay's {name} ({error})") from error

    def _fitted_scores(self, users: Array, items: Array, relevance: Array) -> FloatArray:
        spark = _session()
        with quiet():
            fitted = self._made()
            data = dataset(spark, users, items, relevance)
            fitted.fit(data)
            alike = self.config.recommender in ALIKE
            asked = users[:1] if alike else np.unique(users)
            queries = spark.createDataFrame([(int(user),) for user in asked], "user_idx int")
            everything = spark.range(self.items).selectExpr("int(id) as item_idx")
            found = fitted.predict(data, self.items, queries=queries, items=everything, filter_seen_items=False)
            table = found.select("user_idx", "item_idx", "relevance").toArrow()
        rates = self.feedback.rates(self.config.weight)[0].astype(np.float32)
        rows, columns, values = (table.column(name).to_numpy() for name in ("user_idx", "item_idx", "relevance"))
        scores = np.full((1 if alike else self.feedback.users, self.items), np.nan, np.float32)
        scores[np.zeros_like(rows) if alike else rows, columns] = values
        known = ~np.isnan(scores).all(axis=1)
        lowest = np.nanmin(scores[known], axis=1, keepdims=True)
        scores[known] = np.where(np.isnan(scores[known]), lowest, scores[known])
        scores[~known] = rates
        return scores


def dataset(spark: Any, users: Array, items: Array, relevance: Array) -> Any:
    """Return rows of a log [R] as RePlay takes them."""
    import pyarrow as pa

    columns = {"user_idx": users.astype(np.int32), "item_idx": items.astype(np.int32)}
    return dataset_of(spark.createDataFrame(pa.table({**columns, "relevance": relevance.astype(np.float64)})))


def dataset_of(rows: Any) -> Any:
    """Return a DataFrame with user_idx, item_idx and relevance as RePlay takes it."""
    data = optional("replay.data", "spark", "RePlay")
    kinds, hints = data.FeatureType, data.FeatureHint
    columns = (
        ("user_idx", kinds.CATEGORICAL, hints.QUERY_ID),
        ("item_idx", kinds.CATEGORICAL, hints.ITEM_ID),
        ("relevance", kinds.NUMERICAL, hints.RATING),
    )
    schema = data.FeatureSchema([data.FeatureInfo(*column) for column in columns])
    return data.Dataset(schema, rows, check_consistency=False, categorical_encoded=True)


def _session() -> Any:
    """Return the session that is running, or one on this machine, and let RePlay use it."""
    running = running_session()
    spark = session("local[*]") if running is None else require_session(running)
    with quiet():
        optional("replay.utils.session_handler", "spark", "RePlay").State(spark)
    return spark
