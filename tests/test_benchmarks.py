"""The benchmarks still run, and say what they measured. Real numbers take an idle machine: ``make bench``."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smartrec.data import load

ROOT = Path(__file__).parent.parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], str]:
    output = tmp_path_factory.mktemp("bench") / "new" / "bench.md"
    done = bench("--quick", "--only", "2,6", "--output", str(output))
    assert done.returncode in (0, 1), done.stderr
    return done, output.read_text()


def table(text: str) -> list[dict[str, str]]:
    lines = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_rows_hold_generous_bounds(quick):
    rows = table(quick[0].stdout)
    single = [row for row in rows if "CartPole" in row["peer"]]
    assert [row["what"][:6] for row in single] == ["task 1", "task 2", "task 3"]
    for row in single:
        assert float(row["ratio"].removesuffix(" x")) > 0.2
        assert (row["bar"], row["goal"]) == (">= 1 x", ">= 2 x")
    runs = [row for row in rows if row["row"] == "6"]
    assert len(runs) == 10
    for row in runs:
        number, unit = row["ours"].split()
        assert float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6}[unit] < 2
    assert {row["row"] for row in rows} == {"2", "6"}


def test_every_peer_has_a_row_with_a_figure_or_a_reason(quick):
    beside = [row for row in table(quick[0].stdout) if "SARDINE" in row["what"]]
    assert len(beside) == 2
    for row in beside:
        assert row["peer"].startswith("sardine-rec")
        assert ("pip install" in row["peer"]) == (row["verdict"] == "skipped")


def test_exit_code_and_summary_say_whether_a_bar_is_missed(quick):
    done, _ = quick
    rows = table(done.stdout)
    missed = [row for row in rows if row["verdict"] == "MISSED"]
    assert done.returncode == bool(missed)
    held = sum(row["verdict"] == "ok" for row in rows)
    assert done.stdout.splitlines()[-1].startswith(f"{held} of {held + len(missed)} bars hold")


def test_file_has_the_table_the_machine_and_no_path(quick):
    done, text = quick
    assert table(text) == table(done.stdout)
    assert "cores, Python 3." in text
    assert str(ROOT) not in text


def test_unknown_group_is_refused():
    done = bench("--only", "2,nine")
    assert done.returncode == 2
    assert "'nine' is no group; allowed: 1, 2," in done.stderr


def test_the_generated_log_has_the_layout_and_the_shares_of_movielens_20m(tmp_path):
    rows = 60_000
    subprocess.run([sys.executable, "-m", "benchmarks.big_log", str(tmp_path), str(rows)], cwd=ROOT, check=True)
    log = load(tmp_path).interactions
    assert (len(log), log.n_users, log.n_items) == (rows, 415, 26_744)
    assert np.bincount(log.users).min() >= 20
    assert not log.repeats()
    assert len(np.unique(log.items)) == log.n_items
    assert np.unique(log.ratings).tolist() == [half / 2 for half in range(1, 11)]
    assert (np.diff(log.timestamps)[np.diff(log.users) == 0] < 0).any()
