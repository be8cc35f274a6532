"""The command line, as a person types it."""

import json
import os
import subprocess
import sys

import numpy as np
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


def test_a_run_that_diverges_keeps_the_agent_as_it_was(tmp_path):
    from smartrec import agents

    options = ["--task", "1", "--agent", "dqn", "--world", "n_users=500", "--save", "kept"]
    done = smartrec("run", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "smartrec.agents.load('kept')" in done.stdout
    good = agents.load(tmp_path / "kept")
    done = smartrec("run", *options, "--set", "rate=1e30", cwd=tmp_path)
    assert done.returncode == 2
    assert "diverged after" in done.stderr
    assert "as it was before, is in kept" in " ".join(done.stderr.split())
    kept = agents.load(tmp_path / "kept")
    assert 0 < kept.values.steps < good.values.steps
    assert all(np.isfinite(weight).all() for weight in kept.values.get_state().values())


def test_an_agent_that_could_not_be_saved_does_not_run(tmp_path):
    (tmp_path / "file").write_text("")
    done = smartrec("run", "--task", "1", "--agent", "thompson", "--save", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: file" in done.stderr
    assert "final" not in done.stdout


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


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--world", "dataset=x"], "write --dataset x"),
        (["--world", "id=3"], "has no option 'id'"),
        (["--world", "vectorization_mode=sync"], "has no option 'vectorization_mode'"),
        (["--world", "num_envs=0"], "num_envs = 0"),
        (["--world", "positive=4"], "None for the synthetic crowd"),
        (["--columns", "user=reader"], "None for the synthetic crowd"),
        (["--set", "seed=3"], "has no option 'seed'"),
        (["--set", "name=3"], "has no option 'name'"),
    ],
)
def test_options_that_belong_elsewhere_are_refused(arguments, fragment, tmp_path):
    done = smartrec("run", "--task", "1", "--agent", "thompson", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert fragment in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_an_agent_that_fails_is_named_with_its_line(tmp_path):
    (tmp_path / "mymodule.py").write_text(AGENT.replace("return self.decide", "1 / 0\n        return self.decide"))
    done = smartrec("run", "--task", "1", "--agent", "mymodule:MyAgent", cwd=tmp_path)
    assert done.returncode == 2
    assert "ZeroDivisionError" in done.stderr
    assert "mymodule.py, line 10" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_arrows_still_shows_the_table(tmp_path):
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    options = ("--tasks", "1", "--seeds", "1", "--agents", "random", "--world", "n_users=50", "--out", "b")
    done = smartrec("leaderboard", *options, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b" / "leaderboard.md").exists()


def test_a_run_is_stored_before_it_is_printed(tmp_path):
    command = f"{sys.executable} -m smartrec run --task 1 --agent random --world n_users=50 --out r.jsonl | true"
    subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=120)
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 1


def test_the_file_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("my only copy")
    done = smartrec("run", "--task", "1", "--agent", "random", "--out", "notes.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "notes.txt").read_text() == "my only copy"


def test_an_agent_that_was_edited_runs_again(tmp_path):
    path = tmp_path / "mymodule.py"
    options = ("--tasks", "1", "--seeds", "1", "--agents", "mymodule:MyAgent", "--world", "n_users=50", "--out", "b")
    for item, expected in ((2, "0.750"), (1, "0.100")):
        path.write_text(AGENT.replace("2)", f"{item})"))
        done = smartrec("leaderboard", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        records = [json.loads(line) for line in (tmp_path / "b" / "records.jsonl").read_text().splitlines()]
        assert f"{records[-1]['metrics']['final_expected']:.3f}" == expected


@pytest.mark.parametrize("columns", ["40", "60", "80", "100"])
def test_figures_are_never_cut(columns, monkeypatch, capsys):
    from smartrec.evaluation.intervals import Interval
    from smartrec.evaluation.table import Leaderboard, Row
    from smartrec.tasks import show

    names = ("final", "final_normalised", "regret", "decision_us")
    row = Row("a_rather_long_name_of_an_agent", {name: Interval(0.123456, 0.01, 10) for name in names}, {0: 0.1})
    monkeypatch.setattr(show, "LOG_WIDTH", int(columns))
    show.print_leaderboard(Leaderboard("Title", "final", [row], {"random": 0.1}), [])
    printed = capsys.readouterr().out
    assert "0.123 ± 0.010" in printed
    assert "…" not in printed
