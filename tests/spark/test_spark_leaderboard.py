"""``smartrec leaderboard --engine spark``: records beside those of NumPy, nothing run twice, clear errors."""

import json
import os
import subprocess
import sys

import pytest

from smartrec.core.errors import InvalidConfig
from smartrec.tasks.board import plan

pytestmark = [pytest.mark.spark, pytest.mark.slow]
QUICK = ("--tasks", "1", "--seeds", "1", "--world", "n_users=500", "--world", "iterations=3", "--out", "board")


def smartrec(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "smartrec", "leaderboard", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=500)


def test_the_leaderboard_runs_on_spark(tmp_path):
    spark = ("--engine", "spark", "--master", "local[2]")
    agents = ("--agents", "thompson,random,replay_wilson")
    first = smartrec(*QUICK, *agents, *spark, cwd=tmp_path)
    assert first.returncode == 0, first.stderr[-3000:]
    assert "thompson" in first.stdout
    records = [json.loads(line) for line in (tmp_path / "board" / "records.jsonl").read_text().splitlines()]
    assert [record["label"] for record in records] == ["thompson", "random", "replay_wilson"]
    assert all(record["options"]["engine"] == "spark" for record in records)
    assert all(record["visits"] == 150 for record in records)
    assert len(list((tmp_path / "board" / "logs").iterdir())) == 3
    again = smartrec(*QUICK, *agents, *spark, cwd=tmp_path)
    assert "3 of 3 runs were there already" in again.stdout
    here = smartrec(*QUICK, "--agents", "random", cwd=tmp_path)
    assert here.returncode == 0
    assert len((tmp_path / "board" / "records.jsonl").read_text().splitlines()) == 4


ALIKE = ["replay_pop_rec", "replay_ucb", "replay_wilson"]
PERSONAL = ["replay_item_knn", "replay_als", "replay_slim"]


def rows_of(task, *agents, **options):
    (entry,), left_out = plan([task], ["synthetic"], agents, {"n_users": 500, "iterations": 2}, **options)
    return [row.label for row in entry.contenders], left_out


def test_replays_rows_come_with_spark():
    here, _ = rows_of("1")
    there, left_out = rows_of("1", spark=True)
    assert there == here + ALIKE
    assert not left_out
    assert rows_of("2", spark=True)[0][-7:] == [*ALIKE, *PERSONAL, "replay_cluster_rec"]
    assert rows_of("4", spark=True)[0][-3:] == ALIKE


def test_what_is_too_large_for_a_row_leaves_it_out_unless_it_was_asked_for(monkeypatch):
    monkeypatch.setattr("smartrec.agents.adapters.replay.MOST_SCORES", 4999)
    labels, left_out = rows_of("2", spark=True)
    assert labels[-4:] == [*ALIKE, "replay_cluster_rec"]
    assert len(left_out) == 3
    assert all("5,000 scores; allowed: at most 4,999" in line for line in left_out)
    with pytest.raises(InvalidConfig, match="5,000 scores"):
        rows_of("2", "replay_als", spark=True)


class WithoutReplay:
    """Finds everything but RePlay, as where it is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "replay":
            raise ModuleNotFoundError(f"No module named {name!r}", name="replay")


def test_without_replay_its_rows_are_left_out(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "replay"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutReplay(), *sys.meta_path])
    labels, left_out = rows_of("1", spark=True)
    assert not set(ALIKE) & set(labels)
    assert all('RePlay needs replay: pip install "smartrec[spark]"' in line for line in left_out)
    assert len(left_out) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "duckdb"), "--engine = 'duckdb'; allowed: numpy, spark"),
        (("--engine", "spark", "--jobs", "2"), "--jobs = 2; allowed: 1 on Spark"),
        (("--master", "local[2]"), "--master = 'local[2]'; allowed: only with --engine spark"),
        (("--logs", "logs"), "--logs = 'logs'; allowed: only with --engine spark"),
    ],
)
def test_bad_options_are_refused(tmp_path, arguments, message):
    done = smartrec(*QUICK, *arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert not (tmp_path / "board").exists()


def test_without_java_nothing_begins(tmp_path):
    done = smartrec(*QUICK, "--engine", "spark", cwd=tmp_path, JAVA_HOME=str(tmp_path / "none"))
    assert done.returncode != 0
    assert "Spark needs Java 17 or newer" in " ".join((done.stderr + done.stdout).split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "board").exists()
