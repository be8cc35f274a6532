"""The protocol on logs with a known answer: nothing of the future is learnt from, and what is planted is found."""

import subprocess
import sys

import numpy as np
import pytest
from gymnasium import spaces

from smartrec.agents import Agent, make
from smartrec.agents.top import top_items
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig, InvalidInput, OutputError
from smartrec.core.problem import Problem
from smartrec.core.slate import Slate
from smartrec.data import Interactions, Vocabulary
from smartrec.evaluation.ranking_table import RankingRecord, packed, ranking_table, unpacked
from smartrec.evaluation.store import RecordStore, read_records
from smartrec.tasks.base import Contender
from smartrec.tasks.cli_rank import rank_command
from smartrec.tasks.ranking import Protocol, ask, counts_of, questions
from smartrec.tasks.ranking_runs import BASELINES, RankingJob, clicks_of, rows_of

N_USERS, N_ITEMS = 40, 30


def a_log(seed=0):
    """Two tastes: even users like even items, odd users odd ones; times are a shuffled permutation."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(user, item) for user in range(N_USERS) for item in rng.permutation(N_ITEMS)[:20]])
    users, items = pairs.T
    ratings = np.where((users + items) % 2 == 0, 5, 1).astype(np.float32)
    times = rng.permutation(len(pairs)) + 10**9
    return Interactions(users, items, ratings, times, Vocabulary(range(N_USERS)), Vocabulary(range(N_ITEMS)))


def users_and_items(users, items, action=None):
    seen = spaces.Dict({"user": spaces.Discrete(users)})
    return Problem.from_spaces(seen, spaces.Discrete(items) if action is None else action, discount=0.0)


def write_log(path, log):
    rows = zip(log.users.tolist(), log.items.tolist(), log.ratings.tolist(), log.timestamps.tolist(), strict=True)
    path.write_text("user,item,rating,timestamp\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("windows", [1, 3])
def test_a_question_by_hand(windows):
    log, protocol = a_log(), Protocol("-", test_share=0.3, frame_size=5, windows=windows)
    found = questions(log, 4.0, protocol)
    assert len(found) == windows
    ends = [*[question.train.timestamps.max() for question in found[1:]], log.timestamps.max()]
    for question, end in zip(found, ends, strict=True):
        cut = question.train.timestamps.max()
        before = {(u, i): t for u, i, t in rows_of_log(log) if t <= cut}
        after = {(u, i) for u, i, t in rows_of_log(log) if cut < t <= end}
        assert len(question.train) == len(before)
        held = {
            (user, item)
            for number, user in enumerate(question.users.tolist())
            for item in question.held_out[question.starts[number] : question.starts[number + 1]].tolist()
        }
        enough = {user for user in range(N_USERS) if sum(u == user for u, _ in before) >= 5}
        assert held == {(u, i) for u, i in after if (u + i) % 2 == 0 and u in enough}
        for number, user in enumerate(question.users.tolist()):
            last = sorted((t, i) for (u, i), t in before.items() if u == user)[-5:]
            assert question.observation["history_items"][number].tolist() == [i for _, i in last]
            mapped = [5.0 if (user + i) % 2 == 0 else -3.0 for _, i in last]
            assert question.observation["history_responses"][number].tolist() == mapped
            assert set(np.flatnonzero(~question.allowed[number])) == {i for u, i in before if u == user}
        assert counts_of(question.train).sum() == len(before)


def rows_of_log(log):
    return list(zip(log.users.tolist(), log.items.tolist(), log.timestamps.tolist(), strict=True))


def test_what_comes_after_the_cut_changes_nothing_that_is_learnt():
    """Later answers are swapped for others: what is recommended stays the same, bit for bit."""
    log = a_log()
    protocol = Protocol("-", test_share=0.3, frame_size=5)
    (question,) = questions(log, 4.0, protocol)
    late = log.timestamps > question.train.timestamps.max()
    ratings = np.where(late, 6 - log.ratings, log.ratings)
    (other,) = questions(Interactions(log.users, log.items, ratings, log.timestamps, log.user_ids, log.item_ids), 4.0,
                         protocol)  # fmt: skip
    assert set(question.held_out) != set() != set(other.held_out)
    both = np.intersect1d(question.users, other.users)
    for row in BASELINES:
        lists = []
        for asked in (question, other):
            agent = make(row.agent, users_and_items(N_USERS, N_ITEMS), seed=0)
            agent.fit(clicks_of(asked.train, 4.0))
            some = np.isin(asked.users, both)
            lists.append(top_items(agent, {"user": asked.users[some]}, 5, asked.allowed[some]).tolist())
        assert lists[0] == lists[1], row.label


def test_nobody_to_judge_is_an_error():
    with pytest.raises(InvalidInput, match="no user has frame_size = 50"):
        questions(a_log(), 4.0, Protocol("-", frame_size=50))
    with pytest.raises(InvalidConfig, match="k = 0"):
        Protocol("-", k=0)
    with pytest.raises(InvalidConfig, match="name one agent"):
        rows_of([], {"factors": 3})


def test_asking_one_item_at_a_time_gives_a_slate():
    log = a_log()
    (question,) = questions(log, 4.0, Protocol("-", test_share=0.3, frame_size=5))
    for name in ("most_popular", "als", "ease", "item_knn"):
        lists = []
        for space in (None, Slate(N_ITEMS, 6)):
            agent = make(name, users_and_items(N_USERS, N_ITEMS, space), seed=0)
            agent.fit(clicks_of(log, 4.0))
            # Ties are broken at random, so what is compared is what it scores.
            agent.rng = np.random.default_rng(0)
            scores = agent.counts.clicks[None].repeat(N_USERS, 0) if name == "most_popular" else None
            scores = agent.scores(np.arange(N_USERS)) if scores is None else scores
            shown = top_items(agent, {"user": question.users}, 6, question.allowed)
            assert all(len(set(row)) == 6 for row in shown.tolist())
            assert np.take_along_axis(question.allowed, shown, 1).all()
            lists.append(np.take_along_axis(scores[question.users], shown, 1))
        assert lists[0] == pytest.approx(lists[1])


class Lowest(Agent):
    """The item with the lowest number."""

    def act(self, observation, *, first=None, allowed=None, explore=True):
        return Decision(allowed.allowed.argmax(axis=1))


def test_lists_end_where_there_is_nothing_left_and_blocks_do_not_show():
    agent = Lowest(users_and_items(700, 4), seed=0)
    allowed = np.ones((700, 4), bool)
    allowed[0], allowed[1, 0], allowed[600, 1:] = False, False, False
    shown = top_items(agent, {"user": np.arange(700)}, 5, allowed)
    assert shown[0].tolist() == [-1] * 5
    assert shown[1].tolist() == [1, 2, 3, -1, -1]
    assert shown[600].tolist() == [0, -1, -1, -1, -1]
    assert shown[699].tolist() == [0, 1, 2, 3, -1]
    assert allowed[699].all()
    with pytest.raises(InvalidConfig, match="count = 5 items of an agent that shows 3"):
        top_items(Lowest(users_and_items(2, 4, Slate(4, 3)), seed=0), {"user": np.arange(2)}, 5, allowed[:2])


def test_planted_tastes_are_found_and_the_table_says_so(tmp_path):
    protocol = Protocol(write_log(tmp_path / "log.csv", a_log()), test_share=0.3, frame_size=5, k=5)
    records = [RankingJob(protocol, row, seed).run() for row in rows_of(["random", "als"], {}) for seed in range(3)]
    table = ranking_table("planted", records)
    best, random = table.rows
    assert (best.label, random.label) == ("als", "random")
    lead = best.ahead_of(random)
    assert lead.mean > 1.5 * lead.half_width
    assert random.figures["popularity"].mean == pytest.approx(0.5, abs=0.1)
    dataset, (question,) = ask(protocol)
    shown = RankingJob(protocol, rows_of(["als"], {})[0], 0).answer(dataset, question)
    assert ((shown + question.users[:, None]) % 2 == 0).mean() > 0.95
    assert f"| als | {best.figures['ndcg'].text(3)} | **{lead.mean:+.3f}" in table.markdown()
    again = RankingRecord.from_json(records[0].to_json())
    assert again == records[0]
    assert again.by_user["ndcg"].tolist() == records[0].by_user["ndcg"].tolist()


@pytest.mark.slow
def test_agents_that_learn_from_frames_find_planted_tastes(tmp_path):
    log = write_log(tmp_path / "log.csv", a_log())
    protocol = Protocol(log, test_share=0.3, frame_size=5, k=5, epochs=30, batch=64, discount=0.0)
    dataset, (question,) = ask(protocol)
    contender = Contender("r", "reinforce", {"encoder": "gru", "rate": 0.01})
    shown = RankingJob(protocol, contender, 0).answer(dataset, question)
    assert ((shown + question.users[:, None]) % 2 == 0).mean() > 0.7  # of random lists: 0.5
    assert RankingJob(protocol, contender, 0).run().learns == "frames"


def test_hits_survive_packing():
    hits = np.random.default_rng(0).random((50, 62)) < 0.3
    assert unpacked(packed(hits), 62).tolist() == hits.tolist()


def test_the_command_writes_records_and_a_page_and_goes_on_where_it_stopped(tmp_path):
    log = write_log(tmp_path / "log.csv", a_log())
    command = [sys.executable, "-m", "smartrec", "rank", "--dataset", log, "--test-share", "0.3", "--frame-size", "5"]
    command += ["--windows", "2", "--out", "out", "--seeds", "2", "--agents"]

    def run(*arguments):
        return subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    done = run("random,most_popular")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "ranking.md").read_text()
    assert page in done.stdout
    assert "in 2 windows of the last 30% of the answers" in page
    records = read_records(tmp_path / "out" / "ranking.jsonl", RankingRecord)
    assert [(record.label, record.seed) for record in records] == [
        (label, seed) for label in ("random", "most_popular") for seed in (1000, 1001)
    ]
    with (tmp_path / "out" / "ranking.jsonl").open("a") as file:
        file.write(records[0].to_json()[:100])  # a crash
    done = run("random,most_popular,item_knn")
    assert done.returncode == 0, done.stderr
    again = read_records(tmp_path / "out" / "ranking.jsonl", RankingRecord)
    assert again[:4] == records
    assert [record.label for record in again[4:]] == ["item_knn"] * 2
    wrong = run("als", "--set", "factor=3")
    assert wrong.returncode == 2
    assert "Did you mean 'factors'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert read_records(tmp_path / "out" / "ranking.jsonl", RankingRecord) == again


def test_the_page_of_another_process_is_left_alone(tmp_path):
    log = write_log(tmp_path / "log.csv", a_log())
    (tmp_path / "ranking.md").write_text("theirs")
    with RecordStore(tmp_path / "ranking.jsonl", RankingRecord).alone(), pytest.raises(OutputError, match="another"):
        rank_command([log], "random", seeds=1, frame_size=5, out=tmp_path)
    assert (tmp_path / "ranking.md").read_text() == "theirs"


@pytest.mark.data
@pytest.mark.slow
def test_on_movielens_100k_neighbours_and_factors_beat_random_by_five_standard_errors():
    protocol = Protocol("ml-100k")
    rows = rows_of(["random", "most_popular", "als", "ease"], {})
    table = ranking_table("ml-100k", [RankingJob(protocol, row, seed).run() for row in rows for seed in range(3)])
    assert table.rows[-1].label == "random"
    for row in table.rows[:-1]:
        lead = row.ahead_of(table.rows[-1])
        assert lead.mean > 5 * lead.error, row.label
        assert 0.1 < row.figures["ndcg"].mean < 0.3
