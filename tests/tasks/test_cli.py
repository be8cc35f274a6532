"""The command line, as a person types it."""

import json
import os
import subprocess
import sys

import pytest

AGENT = '''
import numpy as np
from smartrec.agents import Agent


class MyAgent(Agent):
    """Always the same item."""

    def act(self, observation, *, first=None, allowed=None, explore=True):
        return self.decide(np.full((len(observation["clock"]), 1), 2))
'''


def smartrec(*arguments, cwd, env=None):
    command = [sys.executable, "-m", "smartrec", *map(str, arguments)]
    environment = {**os.environ, **(env or {})}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_help_teaches(tmp_path):
    done = smartrec("--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("list", "run", "leaderboard", "data", "check", "--version"):
        assert word in done.stdout
    for command in ("run", "leaderboard"):
        text = smartrec(command, "--help", cwd=tmp_path).stdout
        assert "--dataset" in text
        assert "slate_size=3" in text


def test_list_names_everything_with_a_line(tmp_path):
    done = smartrec("list", cwd=tmp_path)
    for word in ("SmartRec/Task4-v0", "thompson", "ml-100k", "drift"):
        assert word in done.stdout


def test_run_prints_figures_with_units_and_adds_a_record(tmp_path):
    options = ("--set", "discount=0.7", "--world", "n_users=500", "--out", "runs.jsonl")
    for _ in range(2):
        done = smartrec("run", "--task", "3", "--agent", "thompson", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "clicks a user" in done.stdout
    records = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [record["config"]["discount"] for record in records] == [0.7, 0.7]
    assert records[0]["curve"] == records[1]["curve"]


def test_run_takes_an_agent_of_ones_own_from_the_current_folder(tmp_path):
    (tmp_path / "mymodule.py").write_text(AGENT)
    done = smartrec("run", "--task", "1", "--agent", "mymodule:MyAgent", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0.750" in done.stdout


def test_describe_counts_a_table_of_ones_own(tmp_path):
    (tmp_path / "log.csv").write_text("reader,book,stars\n1,a,5\n1,b,3\n2,a,4\n")
    done = smartrec("data", "describe", "log.csv", "--columns", "user=reader,item=book,rating=stars", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rating 5" in done.stdout


def test_check_examines_ours(tmp_path):
    for what in ("thompson", "SmartRec/Task1-v0"):
        done = smartrec("check", what, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{what} passes" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["run", "--task", "7", "--agent", "random"], "unknown task '7'"),
        (["run", "--task", "1", "--agent", "thomson"], "Did you mean 'thompson'"),
        (["run", "--task", "1", "--agent", "nowhere:Agent"], "no module named 'nowhere'"),
        (["run", "--task", "1", "--agent", "json:loads"], "allowed: a class derived from"),
        (["run", "--task", "1", "--agent", "thompson", "--set", "dicsount=0.7"], "Did you mean 'discount'"),
        (["run", "--task", "1", "--agent", "thompson", "--set", "discount=7"], "discount = 7"),
        (["run", "--task", "1", "--agent", "thompson", "--set", "discount=high"], "'high'"),
        (["run", "--task", "1", "--agent", "thompson", "--set", "discount"], "NAME=VALUE"),
        (["run", "--task", "1", "--agent", "lin_ucb"], "user_features"),
        (["run", "--task", "1", "--agent", "random", "--world", "n_user=3"], "Did you mean 'n_users'"),
        (["run", "--task", "1", "--agent", "random", "--out", "/proc/x/runs.jsonl"], "/proc/x"),
        (["run", "--task", "2", "--agent", "random", "--dataset", "nothing.csv"], "nothing.csv"),
        (["data", "describe", "ml-100"], "Did you mean 'ml-100k'"),
        (["check", "thomson"], "Did you mean 'thompson'"),
        (["check", "SmartRec/Task9-v0"], "Task9"),
        (["run", "--task", "1"], "--agent"),
        (["leaderbord"], "leaderbord"),
    ],
)
def test_mistakes_get_one_message_a_non_zero_exit_and_no_traceback(arguments, fragment, tmp_path):
    done = smartrec(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert fragment in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_log_is_named_with_its_line(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,rating\n1,2,5\n1,3\n")
    done = smartrec("run", "--task", "4", "--agent", "random", "--dataset", "log.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "log.csv, line 3" in done.stderr
    assert "Traceback" not in done.stderr
