"""Open Bandit: small files in its layout, and the published sample."""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.data import load_open_bandit

HEAD = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3"
HEAD += ",user-item_affinity_0,user-item_affinity_1"
FIRST = "0,2019-11-24 00:00:34.762830+00:00,1,3,0,0.5,b,x,p,q,0.0,2.0"
SECOND = "7,2019-11-24 00:00:35+00:00,0,1,1,0.25,a,x,p,r,1.0,0.0"
ITEMS = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,0,-0.5,c,d,e\n1,1,0.25,c,f,e\n"


def write(folder, policy="random", campaign="men", log=None, items=ITEMS):
    place = folder / policy / campaign
    place.mkdir(parents=True)
    (place / f"{campaign}.csv").write_text(log or f"{HEAD}\n{FIRST}\n{SECOND}\n")
    (place / "item_context.csv").write_text(items)
    return folder


def test_columns(tmp_path):
    log = load_open_bandit(write(tmp_path), "men", "random", affinities=True)
    assert (log.campaign, log.policy, len(log), log.n_items) == ("men", "random", 2, 2)
    assert (log.actions.tolist(), log.positions.tolist(), log.rewards.tolist()) == ([1, 0], [2, 0], [0, 1])
    assert log.propensities.tolist() == [0.5, 0.25]
    names = [f"user_feature_{k}={value}" for k, value in ((0, "a"), (0, "b"), (1, "x"), (2, "p"), (3, "q"), (3, "r"))]
    assert log.context_names == tuple(names)
    assert log.contexts.tolist() == [[0, 1, 1, 1, 1, 0], [1, 0, 1, 1, 0, 1]]
    assert log.item_feature_names[0] == "item_feature_0"
    assert log.item_features.tolist() == [[-0.5, 1, 1, 0, 1], [0.25, 1, 0, 1, 1]]
    assert log.timestamps.dtype == "datetime64[us]"
    assert log.timestamps.astype(str).tolist() == ["2019-11-24T00:00:34.762830", "2019-11-24T00:00:35.000000"]
    assert log.affinities.tolist() == [[0, 2], [1, 0]]
    assert load_open_bandit(tmp_path, "men").affinities is None


@pytest.mark.parametrize("kind", ["zip", "tar.xz", "tar.gz", "tgz"])
@pytest.mark.parametrize("top", ["", "open_bandit_dataset/"])
def test_archives_read_like_their_folder_and_are_not_unpacked(tmp_path, kind, top):
    folder = write(write(tmp_path / "in"), "bts", log=f"{HEAD}\n{SECOND}\n")
    path = tmp_path / f"ob.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*.csv")):
                archive.write(file, f"{top}{file.relative_to(folder)}")
    else:
        with tarfile.open(path, f"w:{kind[-2:]}") as archive:
            archive.add(folder, top.rstrip("/") or ".")
    shutil.rmtree(folder)
    assert load_open_bandit(path, "men", "random").actions.tolist() == [1, 0]
    assert load_open_bandit(path, "men", "bts").actions.tolist() == [0]
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (f"{HEAD}\n{FIRST}\n{FIRST},9\n", "men.csv, line 3: expected 12 comma-separated fields"),
        (f"{HEAD},user-item_affinity_2\n{FIRST},0\n", "men.csv, line 1: the header is"),
        (f"{HEAD}\n{FIRST.replace(',1,3,', ',2,3,')}\n", "line 2: item_id is 2; allowed: 0 to 1"),
        (f"{HEAD}\n{FIRST.replace(',1,3,', ',1,0,')}\n", "line 2: position is 0; allowed: 1 to 3"),
        (f"{HEAD}\n{SECOND.replace(',1,0.25', ',2,0.25')}\n", "line 2: click is 2; allowed: 0 to 1"),
        (f"{HEAD}\n{FIRST}\n{SECOND.replace('0.25', '0.0')}\n", "line 3: propensity_score is 0.0; allowed"),
        (f"{HEAD}\n{SECOND.replace('0.25', 'nan')}\n", "line 2: propensity_score is 'nan'"),
        (f"{HEAD}\n{FIRST}\n{SECOND.replace('2019-11-24', '2019-13-24')}\n", "line 3: timestamp is '2019-13-24"),
        (f"{HEAD}\n", "men.csv has no rows"),
    ],
)
def test_damaged_logs(tmp_path, log, message):
    with pytest.raises(DataError, match=message) as caught:
        load_open_bandit(write(tmp_path, log=log), "men")
    assert str(tmp_path) in str(caught.value)


def test_damaged_items(tmp_path):
    with pytest.raises(DataError, match=r"item_context\.csv, line 3: item_id is 2; expected 1"):
        load_open_bandit(write(tmp_path, items=ITEMS.replace("1,1,", "1,2,")), "men")


def test_what_is_not_there(tmp_path):
    write(tmp_path / "in")
    with pytest.raises(DataError, match=r"has no bts/men/men\.csv; needed: bts/men/men\.csv, bts/men/item_context"):
        load_open_bandit(tmp_path / "in", "men", "bts")
    for path in ("nowhere", "nowhere.tar.xz", "nowhere.zip"):
        with pytest.raises(DataNotFound, match="is not there"):
            load_open_bandit(tmp_path / path)
    with pytest.raises(InvalidInput, match="campaign = 'kids'; allowed: all, men, women"):
        load_open_bandit(tmp_path, "kids")
    with pytest.raises(InvalidInput, match="policy = 'ucb'; allowed: random, bts"):
        load_open_bandit(tmp_path, "all", "ucb")


@pytest.mark.data
@pytest.mark.parametrize(
    ("campaign", "policy", "items", "clicks"),
    [("all", "random", 80, 38), ("all", "bts", 80, 42), ("men", "random", 34, 46), ("men", "bts", 34, 69)],
)
def test_the_published_sample(campaign, policy, items, clicks):
    log = load_open_bandit(Path(os.environ["SMARTREC_DATA"]) / "open-bandit-small.tar.xz", campaign, policy)
    assert (len(log), log.n_items, log.rewards.sum()) == (10_000, items, clicks)
    assert set(log.positions.tolist()) == {0, 1, 2}
    assert (log.contexts.sum(axis=1) == 4).all()
    assert (np.diff(log.timestamps).astype(int) >= 0).all()
    if policy == "random":
        np.testing.assert_allclose(log.propensities, 1 / items)


@pytest.mark.data
def test_the_published_estimate_from_the_published_sample():
    # Uniform logging weighs every row alike, so the inverse propensity estimate of "always item a" is the
    # number of clicks on a, times the number of items, over the rows; over all a it has the log's mean.
    log = load_open_bandit(Path(os.environ["SMARTREC_DATA"]) / "open-bandit-small.tar.xz", "all", "random")
    values = [np.mean(log.rewards / log.propensities * (log.actions == a)) for a in range(log.n_items)]
    assert np.mean(values) == pytest.approx(0.0038)
