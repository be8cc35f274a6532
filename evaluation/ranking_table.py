"""How well agents recommend, as records with every hit, and as a table made from them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.evaluation.intervals import Interval, crossed_interval, mean_interval
from smartrec.evaluation.ranking import Ranking
from smartrec.evaluation.record import RunRecord

HEADLINE = "ndcg"
BY_USER = ("ndcg", "hit_rate", "recall", "precision", "mrr")
OF_LISTS = ("coverage", "diversity", "novelty", "popularity")
"""Metrics that no hit decides, with the mean of each in ``RunRecord.metrics``."""

RANDOM = "random"
BASELINE, LEARNER = "clicks", "frames"
"""What a row learnt from: who clicked what; or frames, as steps of a decision process."""


@dataclass(frozen=True)
class RankingRecord(RunRecord):
    """A run whose lists were compared with what users chose afterwards: C cases, a case a user and window.

    Attributes:
        users: [C], who.
        hits: [C], the sum of ``2^(k-1)`` over the places k that hold a held-out item.
        held_out: [C], how many items were held out.
        learns: ``BASELINE`` or ``LEARNER``.
    """

    learns: str = BASELINE
    users: list[int] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    held_out: list[int] = field(default_factory=list)

    @property
    def k(self) -> int:
        """K, items a list."""
        return int(self.options["k"])

    @cached_property
    def by_user(self) -> dict[str, FloatArray]:
        """Every metric of every user, mean over the cases of each, float [U]."""
        ranking = Ranking(unpacked(self.hits, self.k), np.array(self.held_out))
        different, user = np.unique(self.users, return_inverse=True)
        cases = np.bincount(user, minlength=len(different))
        return {name: np.bincount(user, values) / cases for name, values in ranking.figures().items()}


def packed(hits: BoolArray) -> list[int]:
    """Return hits [C, K] as a number a case."""
    return [int(number) for number in hits @ (1 << np.arange(hits.shape[1], dtype=np.int64))]


def unpacked(numbers: Sequence[int], k: int) -> BoolArray:
    """Undo ``packed``: bool [C, K]."""
    places: IntArray = np.array(numbers, np.int64)[:, None] >> np.arange(k)
    return np.equal(places % 2, 1)


@dataclass(frozen=True)
class RankingRow:
    """One agent on one data set.

    Attributes:
        label: Its name in the table.
        learns: ``BASELINE`` or ``LEARNER``.
        figures: Metric to its mean: those by user with an interval over users and seeds, the others over seeds.
        values: Headline of each seed and user, float [S, U].
    """

    label: str
    learns: str
    figures: dict[str, Interval]
    values: FloatArray

    def ahead_of(self, other: "RankingRow") -> Interval:
        """Return by how much the headline is above another row's, user by user; seeds are paired in order."""
        seeds = min(len(self.values), len(other.values))
        return crossed_interval(self.values[:seeds] - other.values[:seeds])


@dataclass(frozen=True)
class RankingTable:
    """The agents on one data set, best first.

    Attributes:
        title: Of the table.
        k: Items a list.
        rows: Best first, by NDCG.
    """

    title: str
    k: int
    rows: list[RankingRow]

    def row(self, label: str) -> RankingRow | None:
        """Return the row of an agent, None where it did not run."""
        return next((row for row in self.rows if row.label == label), None)

    @property
    def best_baseline(self) -> RankingRow | None:
        """The best row that learnt from clicks, other than random; None where there is none."""
        return next((row for row in self.rows if row.learns == BASELINE and row.label != RANDOM), None)

    @property
    def columns(self) -> list[str]:
        """Metrics that some row has, the headline first."""
        return [name for name in (*BY_USER, *OF_LISTS) if any(name in row.figures for row in self.rows)]

    def markdown(self) -> str:
        """Return the table in Markdown: means, intervals of 95 %, and how far each row is ahead of two others."""
        against = [row for row in (self.row(RANDOM), self.best_baseline) if row is not None]
        heads = [f"{name}@{self.k}" if name in BY_USER else name for name in self.columns]
        heads[1:1] = [f"{HEADLINE} − {row.label}" for row in against]
        lines = [f"### {self.title}", "", f"| agent | {' | '.join(heads)} | seeds |"]
        lines.append("|---|" + "---:|" * (len(heads) + 1))
        for row in self.rows:
            cells = [row.figures[name].text(3) if name in row.figures else "" for name in self.columns]
            cells[1:1] = ["" if row is other else lead_text(row.ahead_of(other)) for other in against]
            lines.append(f"| {row.label} | {' | '.join(cells)} | {len(row.values)} |")
        return "\n".join([*lines, ""])


def lead_text(lead: Interval) -> str:
    """Return for example ``**+0.041 ± 0.012** (6.8)``: bold where 0 is outside, in brackets the standard errors."""
    text = f"{lead.mean:+.3f} ± {lead.half_width:.3f}"
    if not abs(lead.mean) > lead.half_width:
        return text
    return f"**{text}** ({abs(lead.mean) / lead.error:.1f})" if lead.error else f"**{text}**"


def ranking_table(title: str, records: Sequence[RankingRecord]) -> RankingTable:
    """Put the records of one question in order.

    Args:
        title: Of the table.
        records: At least one, all of the same cases; a row a label, over all its seeds. Of a label that other code
            ran before, only what the code of its last record made counts.
    """
    code = {record.label: record.code for record in records}
    by_label: dict[str, dict[int, RankingRecord]] = defaultdict(dict)
    for record in records:
        if record.code == code[record.label]:
            by_label[record.label][record.seed] = record
    rows = [_row(label, [group[seed] for seed in sorted(group)]) for label, group in by_label.items()]
    rows.sort(key=lambda row: row.figures[HEADLINE].mean, reverse=True)
    return RankingTable(title, records[0].k, rows)


def _row(label: str, records: list[RankingRecord]) -> RankingRow:
    figures = {name: crossed_interval(np.array([r.by_user[name] for r in records])) for name in BY_USER}
    for name in OF_LISTS:
        if name in records[0].metrics:
            figures[name] = mean_interval([record.metrics[name] for record in records])
    return RankingRow(label, records[0].learns, figures, np.array([record.by_user[HEADLINE] for record in records]))
