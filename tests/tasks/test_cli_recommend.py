"""``smartrec recommend``, as a person types it."""

import json
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from smartrec.tasks.cli import main
from smartrec.tasks.recommender import recommend

HISTORY = "movieId,rating\n115,0.5\n110,1.5\n104,5.0\n121,0.5\n9,3\n"


@pytest.fixture
def history(tmp_path):
    (tmp_path / "ratings.csv").write_text(HISTORY)
    return tmp_path / "ratings.csv"


@pytest.fixture
def smartrec(tmp_path, monkeypatch, capsys):
    """The command line in this process, for each new one would load torch."""

    def typed(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(sys, "argv", ["smartrec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return SimpleNamespace(returncode=ended.value.code, **capsys.readouterr()._asdict())

    return typed


def test_titles_are_printed_and_written(td3_folder, history, tmp_path, smartrec):
    out = tmp_path / "titles.csv"
    done = smartrec("recommend", "--agent", td3_folder, "--history", history, "-k", 3, "--out", out)
    assert done.returncode == 0, done.err
    found = recommend(td3_folder, history, 3)
    for row in found:
        assert row.title in done.out
        assert f"{row.distance:.3f}" in done.out
    assert "distance (l2)" in done.out
    assert "unknown and left out (1): 9" in done.out
    pd.testing.assert_frame_equal(pd.read_csv(out), found.frame())


def test_json_is_all_that_is_printed(dqn_folder, history, smartrec):
    done = smartrec("recommend", "--agent", dqn_folder, "--history", history, "--json")
    printed = json.loads(done.out)
    found = recommend(dqn_folder, history)
    assert printed["recommendations"] == [{"id": row.id, "title": row.title, "genres": [*row.genres]} for row in found]
    assert (printed["metric"], printed["rated"], printed["used"], printed["unknown"]) == (None, 5, 4, ["9"])


def test_mistakes_are_one_line(td3_folder, history, tmp_path, smartrec):
    (tmp_path / "bad.csv").write_text("item,rating\n101,7\n")
    for arguments, message in (
        (("--agent", tmp_path, "--history", history), "holds no recommender"),
        (("--agent", td3_folder, "--history", "bad.csv"), "bad.csv, line 2: rating is '7'; allowed: 0.5 to 5"),
        (("--agent", td3_folder, "--history", history, "--metric", "l1"), "metric = 'l1'; allowed: l2, inner, cosine"),
        (("--agent", td3_folder, "--history", history, "--columns", "item=film"), "no column 'film'"),
    ):
        done = smartrec("recommend", *arguments)
        assert done.returncode == 2
        assert message in done.err
        assert "Traceback" not in done.err
        assert len(done.err.splitlines()) == 1
