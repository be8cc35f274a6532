"""The page of ranking tables, made from records and nothing else."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from smartrec.core.files import atomic_write
from smartrec.evaluation.ranking_table import RankingRecord, ranking_table
from smartrec.evaluation.record import RunRecord

HEAD = """\
# Does it recommend well?

<!-- Made from ranking.jsonl by `smartrec rank`; run it again, do not change this page. -->

Everything before a moment is learnt from. Then each user who has enough answers before it gets K items that are new to
them, and those are compared with what they liked afterwards. The last answers of a log are cut into windows, and
before each all agents learn anew. Nobody is recommended by an agent that has seen a later answer of anyone.

- ndcg, hit_rate, recall, precision, mrr: 0 to 1, higher is better; the mean over users (of a user with several
  windows, the mean of those), with an interval of 95 % over users and seeds.
- `ndcg − X`: how much more than row X, user by user. Bold where 0 is outside the interval of 95 %, with the number of
  standard errors in brackets. The second X is the best row that learnt from clicks; it is chosen by these very
  figures, so a lead over it is rather under- than overstated. Intervals are not widened for the number of rows.
- coverage: share of the catalogue that is in some list. diversity: mean of 1 − cosine between the features of two
  items of a list. novelty: mean of −log2 of the share of users who had an item, in bits. popularity: mean percentile
  of the items in the catalogue; 0.5 is no bias. None of them is better the higher.
"""


def write_page(path: Path, records: Sequence[RunRecord]) -> None:
    """Write a table for each data set and protocol that records have, all or nothing."""
    groups: dict[str, list[RankingRecord]] = defaultdict(list)
    for record in records:
        if isinstance(record, RankingRecord):
            groups[json.dumps(record.options, sort_keys=True)].append(record)
    with atomic_write(path) as file:
        file.write(HEAD)
        for group in groups.values():
            file.write(f"\n{ranking_table(title_of(group[0]), group).markdown()}\n{_about(group[0])}\n")


def title_of(record: RankingRecord) -> str:
    """Return the data set and what departs from the usual."""
    name = str(record.options["dataset"])
    return f"{name}, validation" if record.options["validation"] else name


def _about(record: RankingRecord) -> str:
    """Return how the question was asked, in a sentence."""
    o = record.options
    windows = "one window" if o["windows"] == 1 else f"{o['windows']} windows"
    return (
        f"{len(set(record.users)):,} users, judged {record.visits:,} times on {sum(record.held_out):,} items in "
        f"{windows} of the last {o['test_share']:.0%} of the answers; state: the last {o['frame_size']} answers."
    )
