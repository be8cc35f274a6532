"""The runs behind a table of how well agents recommend: who learns from what, and one run of one agent.

An agent whose class has ``learn`` learns from frames, step by step, and sees a user's last answers; any other ``fit``s
who clicked what (a like is a click) and sees the user's number. A new row is a line here.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces

from smartrec import agents
from smartrec.agents.base import Agent
from smartrec.agents.registry import agent_class
from smartrec.agents.top import top_items
from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.config import digest, from_dict, to_dict
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.provenance import code_of
from smartrec.core.transitions import Transitions
from smartrec.data.batches import Batches
from smartrec.data.embeddings import embed
from smartrec.data.frames import Frames
from smartrec.data.interactions import Dataset, Interactions
from smartrec.data.trajectories import Trajectories
from smartrec.evaluation.ranking import coverage, diversity, novelty, popularity, rank
from smartrec.evaluation.ranking_table import BASELINE, LEARNER, RankingRecord, packed
from smartrec.evaluation.record import checkout, versions
from smartrec.evaluation.store import RunKey
from smartrec.tasks.base import Contender
from smartrec.tasks.ranking import Protocol, Question, ask, counts_of, reward_of, settings
from smartrec.tasks.runner import agent_seed

BASELINES = (
    Contender("random", "random"),
    Contender("most_popular", "most_popular"),
    Contender("item_knn", "item_knn", {"neighbours": 200}),
    Contender("als", "als", {"factors": 8, "alpha": 5.0}),
    Contender("ease", "ease", {"l2": 300.0}),
    Contender("bpr", "bpr", {"learning_rate": 0.01, "iterations": 50}),
)
"""Options were chosen by ``--validation`` on MovieLens 100K and 1M."""

DEEP = (
    Contender("td3", "td3", {"metric": "inner"}),
    Contender("ddpg", "ddpg", {"metric": "inner"}),
    Contender("sac", "sac", {"metric": "inner"}),
    Contender("bcq", "bcq", {"metric": "cosine"}),
    Contender("discrete_bcq", "discrete_bcq", {"threshold": 0.5}),
    Contender("dqn", "dqn"),
    Contender("reinforce", "reinforce", {"correction": "none"}),
    Contender("reinforce (off-policy)", "reinforce", {"correction": "off_policy"}),
    Contender("reinforce (top-K)", "reinforce", {"correction": "top_k", "k": 10}),
)
"""Options that differ from the defaults were chosen by ``--validation`` on MovieLens 100K."""

USERS_A_BATCH = 10
"""Of agents that learn from whole visits."""


def rows_of(names: Sequence[str], options: dict[str, Any]) -> list[Contender]:
    """Return the rows with these labels, all for none; other names are agents with their default options.

    Args:
        names: Labels, registered names or ``module:Class``.
        options: Of the agent, where one is named; its row then says so.

    Raises:
        SmartRecError: A name is unknown, or an option wrong; or options for more than one agent.
    """
    known = {row.label: row for row in BASELINES + DEEP}
    rows = [known.get(name, Contender(name, name)) for name in names] or list(known.values())
    if options:
        if len(rows) != 1:
            raise InvalidConfig(f"options {options} for {len(rows)} agents; name one agent")
        text = ", ".join(f"{name}={value}" for name, value in options.items())
        rows = [Contender(f"{row.label} ({text})", row.agent, {**row.config, **options}) for row in rows]
    for row in rows:
        from_dict(agent_class(row.agent).Config, row.config, f"agent {row.agent}")
    return rows


@dataclass(frozen=True)
class RankingJob:
    """One run: plain values, so that another process can do it.

    Attributes:
        protocol: How the question is asked.
        contender: The agent.
        seed: Of the run; the agent's own is derived from it.
    """

    protocol: Protocol
    contender: Contender
    seed: int

    def key(self) -> str:
        """Return the digest of the ``RunKey`` of the record that this job makes."""
        cls, config = self._agent()
        options = settings(self.protocol, ask(self.protocol)[0])
        name, seed = f"{cls.__module__}:{cls.__qualname__}", agent_seed(self.seed)
        return RunKey("", options, 0.0, name, digest(config), self.seed, seed, code_of(cls)).digest()

    def run(self) -> RankingRecord:
        """Learn before each window, recommend, and compare with what was chosen in it."""
        began = time.perf_counter()
        dataset, found = ask(self.protocol)
        lists = [self.answer(dataset, question) for question in found]
        return self._record(dataset, found, lists, time.perf_counter() - began)

    def answer(self, dataset: Dataset, question: Question) -> IntArray:
        """Return what the agent recommends after it learnt, int [U, K]."""
        agent = learnt(self.contender, dataset, question, self.protocol, agent_seed(self.seed))
        return top_items(agent, question.observation, self.protocol.k, question.allowed)

    def _agent(self) -> tuple[type[Agent], dict[str, Any]]:
        cls = agent_class(self.contender.agent)
        return cls, to_dict(from_dict(cls.Config, self.contender.config, f"agent {self.contender.agent}"))

    def _record(
        self, dataset: Dataset, found: tuple[Question, ...], lists: list[IntArray], wall_s: float
    ) -> RankingRecord:
        cls, config = self._agent()
        rankings = [
            rank(shown, question.starts, question.held_out, question.train.n_items)
            for shown, question in zip(lists, found, strict=True)
        ]
        commit, dirty = checkout()
        return RankingRecord(
            environment="",
            options=settings(self.protocol, dataset),
            agent=f"{cls.__module__}:{cls.__qualname__}",
            config=config,
            config_digest=digest(config),
            seed=self.seed,
            agent_seed=agent_seed(self.seed),
            metrics=figures_of(dataset, found, lists),
            curve=[],
            steps=0,
            visits=sum(map(len, lists)),
            feedback_delay=0,
            feedback_loss=0.0,
            wall_s=wall_s,
            label=self.contender.label,
            code=code_of(cls),
            commit=commit,
            dirty=dirty,
            versions=versions(),
            learns=LEARNER if hasattr(cls, "learn") else BASELINE,
            users=np.concatenate([question.users for question in found]).tolist(),
            hits=[number for ranking in rankings for number in packed(ranking.hits)],
            held_out=np.concatenate([ranking.held_out for ranking in rankings]).tolist(),
        )


def figures_of(dataset: Dataset, found: tuple[Question, ...], lists: list[IntArray]) -> dict[str, float]:
    """Return what the lists are like, whatever they hit; diversity where the items have features."""
    figures = {"coverage": coverage(np.concatenate(lists), dataset.interactions.n_items)}
    per_case: dict[str, list[FloatArray]] = {"novelty": [], "popularity": []}
    for question, shown in zip(found, lists, strict=True):
        counts = counts_of(question.train)
        per_case["novelty"].append(novelty(shown, counts, len(np.unique(question.train.users))))
        per_case["popularity"].append(popularity(shown, counts))
    if dataset.items.features.shape[1]:
        per_case["diversity"] = [diversity(shown, dataset.items.features) for shown in lists]
    return {**figures, **{name: float(np.concatenate(values).mean()) for name, values in per_case.items()}}


def learnt(row: Contender, dataset: Dataset, question: Question, protocol: Protocol, seed: int) -> Agent:
    """Return an agent that learnt from what was before a window."""
    if hasattr(agent_class(row.agent), "learn"):
        return _learnt_from_frames(row, dataset, question, protocol, seed)
    log = question.train
    problem = Problem.from_spaces(
        spaces.Dict({"user": spaces.Discrete(log.n_users)}), spaces.Discrete(log.n_items), discount=0.0
    )
    agent = agents.make(row.agent, problem, seed=seed, **row.config)
    agent.fit(clicks_of(log, dataset.positive))
    return agent


def _learnt_from_frames(row: Contender, dataset: Dataset, question: Question, protocol: Protocol, seed: int) -> Agent:
    frames = Frames(Trajectories.of(reward_of(question.train)), protocol.frame_size)
    vectors = embed(replace(dataset, interactions=question.train)).vectors
    agent: Any = agents.make(row.agent, frames.problem(vectors, protocol.discount), seed=seed, **row.config)
    if agent.tags.whole_visits:
        order = Batches.of_users(frames.user_ends, USERS_A_BATCH, seed)
    else:
        order = Batches(len(frames), protocol.batch, seed)
    for epoch in range(protocol.epochs):
        for rows in order.at(epoch):
            agent.learn(frames.transitions(rows))
    return agent  # type: ignore[no-any-return]


def clicks_of(log: Interactions, positive: float) -> Transitions:
    """Return each answer as a visit of one step in which its item was shown, a like as a click."""
    users, shown = {"user": log.users.astype(np.int64)}, len(log)
    clicks = log.positive(positive).astype(np.float64)
    return Transitions(
        observation=users,
        decision=Decision(log.items.astype(np.int64)),
        responses=clicks[:, None],
        observed=np.ones((shown, 1), bool),
        reward=clicks,
        next_observation=users,
        terminated=np.ones(shown, bool),
        truncated=np.zeros(shown, bool),
        visit=np.arange(shown),
        step=np.zeros(shown, np.int64),
    )
