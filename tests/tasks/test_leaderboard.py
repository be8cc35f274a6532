"""The leaderboard: interrupted it goes on, nothing is lost, nothing runs twice; and what it must show."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smartrec.core.errors import SmartRecError
from smartrec.evaluation import RecordStore
from smartrec.tasks import TASKS, Contender, Setting
from smartrec.tasks.board import plan
from smartrec.tasks.runner import Job, agent_seed, jobs_of, run_all, run_job

QUICK = ("--seeds", "2", "--tasks", "1", "--world", "n_users=500", "--world", "iterations=5")


def smartrec(*arguments, cwd, env=None, timeout=300):
    command = [sys.executable, "-m", "smartrec", *map(str, arguments)]
    environment = {**os.environ, **(env or {})}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


def lines(folder):
    return (folder / "records.jsonl").read_text().splitlines()


def test_it_writes_records_tables_and_a_plot(tmp_path):
    done = smartrec("leaderboard", *QUICK, "--out", "board", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "thompson" in done.stdout
    assert "told apart" in done.stdout or "wins by" in done.stdout
    names = {path.name for path in (tmp_path / "board").iterdir()}
    assert names == {"records.jsonl", "leaderboard.md", "leaderboard.csv", "curves.png"}
    assert len(lines(tmp_path / "board")) == 2 * len(TASKS.get("1").contenders)
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_the_second_time_nothing_runs_and_the_table_is_the_same(tmp_path):
    first = smartrec("leaderboard", *QUICK, "--out", "board", cwd=tmp_path)
    before = lines(tmp_path / "board")
    again = smartrec("leaderboard", *QUICK, "--out", "board", cwd=tmp_path)
    assert lines(tmp_path / "board") == before
    assert again.stdout == first.stdout.replace(
        "mean ±", f"{len(before)} of {len(before)} runs were there already and were not run again\nmean ±"
    )


def test_more_seeds_add_to_what_is_there(tmp_path):
    smartrec("leaderboard", *QUICK, "--agents", "random", "--out", "board", cwd=tmp_path)
    before = lines(tmp_path / "board")
    more = ["--seeds", "3", *QUICK[2:], "--agents", "random"]
    smartrec("leaderboard", *more, "--out", "board", cwd=tmp_path)
    assert lines(tmp_path / "board")[:2] == before
    assert [json.loads(line)["seed"] for line in lines(tmp_path / "board")] == [1000, 1001, 1002]


def test_processes_give_the_records_of_one_process(tmp_path):
    for jobs in (1, 2):
        done = smartrec("leaderboard", *QUICK, "--jobs", jobs, "--out", f"board{jobs}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    def figures(folder):
        records = [json.loads(line) for line in lines(folder)]
        return {
            (r["label"], r["seed"]): {k: v for k, v in r["metrics"].items() if not k.endswith("_us")} for r in records
        }

    assert figures(tmp_path / "board1") == figures(tmp_path / "board2")


def test_interrupted_it_keeps_what_it_has_and_goes_on(tmp_path):
    slow = ("--seeds", "6", "--tasks", "4", "--agents", "random,thompson", "--dataset", "synthetic")
    command = [sys.executable, "-m", "smartrec", "leaderboard", *slow, "--out", "board"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    records = tmp_path / "board" / "records.jsonl"
    deadline = time.monotonic() + 120
    while not (records.exists() and len(records.read_text().splitlines()) >= 2):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on from there" in err
    assert "Traceback" not in out + err
    kept = lines(tmp_path / "board")
    assert 2 <= len(kept) < 12
    done = smartrec("leaderboard", *slow, "--out", "board", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    finished = lines(tmp_path / "board")
    assert finished[: len(kept)] == kept
    pairs = [(r["label"], r["seed"]) for r in map(json.loads, finished)]
    assert len(pairs) == len(set(pairs)) == 12


def test_without_real_data_it_says_so_and_shows_the_synthetic_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("smartrec.data.recbole.find_spec", lambda name: None)
    monkeypatch.setenv("SMARTREC_DATA", str(tmp_path))
    entries, left_out = plan([], [], ["random"], {"n_users": 50, "iterations": 2, "n_items": 10})
    assert [(entry.task.name, entry.setting.name) for entry in entries] == [(n, "synthetic") for n in "1234"]
    assert len(left_out) == 2
    assert all("ml-100k" in line and "SMARTREC_DATA" in line for line in left_out)


def test_data_that_are_asked_for_and_missing_are_an_error(tmp_path):
    done = smartrec(
        "leaderboard", "--dataset", "ml-1m", "--out", "b", cwd=tmp_path, env={"SMARTREC_DATA": str(tmp_path)}
    )
    assert done.returncode == 2
    assert "ml-1m" in done.stderr
    assert "Traceback" not in done.stderr


def test_agents_get_a_seed_of_their_own():
    seeds = [agent_seed(seed) for seed in range(100)]
    assert len(set(seeds)) == 100
    assert not set(seeds) & set(range(100))


def test_records_keep_the_label_of_the_row_that_asks(tmp_path):
    task = TASKS.get("1")
    quick = Setting("q", {"n_users": 100, "iterations": 2})
    store = RecordStore(tmp_path / "r.jsonl")
    for label in ("one", "two"):
        jobs = jobs_of(task, quick, [Contender(label, "random")], [0])
        (record,) = run_all(jobs, store, 1, lambda _: None)
        assert record.label == label
    assert len(store.records) == 1


def test_a_job_names_the_key_of_its_record(tmp_path):
    job = Job("3", Setting("q", {"n_users": 100, "iterations": 3}), Contender("t", "thompson", {"discount": 0.7}), 4)
    store = RecordStore(tmp_path / "r.jsonl")
    store.append(run_job(job))
    assert job.key() in store


def test_unknown_names_and_options_are_refused_before_anything_runs(tmp_path):
    cases = [
        (["--tasks", "5"], "unknown task '5'"),
        (["--agents", "thomson"], "Did you mean 'thompson'"),
        (["--world", "slate_sise=3"], "Did you mean 'slate_size'"),
        (["--world", "slate_size=0"], "slate_size = 0"),
        (["--dataset", "ml-100"], "ml-100k"),
    ]
    for extra, fragment in cases:
        done = smartrec("leaderboard", *QUICK[:2], *extra, "--out", "board", cwd=tmp_path)
        assert done.returncode == 2, (extra, done.stderr)
        assert fragment in done.stderr, (extra, done.stderr)
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "board" / "records.jsonl").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "leaderboard.md").write_text("mine")
    done = smartrec("leaderboard", *QUICK, "--out", "board", cwd=tmp_path)
    assert done.returncode == 2
    assert "choose a new folder" in done.stderr
    assert [path.read_text() for path in (tmp_path / "board").iterdir()] == ["mine"]


@pytest.mark.parametrize("blocker", ["file", "unwritable"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(tmp_path, blocker):
    out = tmp_path / "board"
    if blocker == "file":
        out.write_text("mine")
    else:
        out = Path("/proc/board")
    done = smartrec("leaderboard", *QUICK, "--out", out, cwd=tmp_path)
    assert done.returncode == 2
    assert str(out) in done.stderr
    assert "Traceback" not in done.stderr
    if blocker == "file":
        assert out.read_text() == "mine"


def test_every_task_scores_and_its_quick_setting_runs():
    for name in TASKS:
        task = TASKS.get(name)
        envs = task.make(task.settings[0], seed=0)
        references = task.references(envs)
        assert references.random < references.best_fixed <= references.oracle + 1e-9
        record = run_job(Job(name, task.settings[0], task.contenders[0], 0))
        assert abs(task.score(record)) < 0.2


def test_an_unknown_task_is_named():
    with pytest.raises(SmartRecError, match="unknown task"):
        TASKS.get("9")
