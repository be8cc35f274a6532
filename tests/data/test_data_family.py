"""MovieLens 10M to 32M on generated files in their layouts, and HetRec Last.fm."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from smartrec.core.errors import DataError
from smartrec.data import PUBLISHED, load, load_lastfm, load_lastfm_friends, load_ml_10m

CSV = ["ml-20m", "ml-25m", "ml-32m"]


def generated(rows=3000):
    rng = np.random.default_rng(0)
    users, films = rng.integers(1, 200, rows) * 3, rng.integers(1, 90, rows) * 7
    return users, films, rng.integers(1, 11, rows) / 2, rng.integers(789_652_009, 1_700_000_000, rows)


def titles():
    return [(7 * k, f"Film {k}: Cité (19{k:02d})", ["Drama", "Comedy|Drama", "(no genres listed)"][k % 3])
            for k in range(1, 91)]  # fmt: skip


def write_10m(folder):
    folder.mkdir(parents=True)
    lines = [f"{u}::{i}::{r:g}::{t}\n" for u, i, r, t in zip(*generated(), strict=True)]
    (folder / "ratings.dat").write_text("".join(lines))
    (folder / "movies.dat").write_text("".join("::".join(map(str, film)) + "\n" for film in titles()), "utf-8")
    (folder / "tags.dat").write_text("15::4973::excellent!::1215184630\n")
    return folder


def write_csv(folder):
    folder.mkdir(parents=True)
    lines = [f"{u},{i},{r},{t}\n" for u, i, r, t in zip(*generated(), strict=True)]
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "".join(lines))
    films = "".join(f'{number},"{title}",{genres}\n' for number, title, genres in titles())
    (folder / "movies.csv").write_text("movieId,title,genres\n" + films, "utf-8")
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_DATA", str(tmp_path))
    return tmp_path


def check(dataset, name):
    users, films, ratings, times = generated()
    log = dataset.interactions
    assert dataset.name == name
    np.testing.assert_array_equal(log.user_ids.id(log.users), users)
    np.testing.assert_array_equal(log.item_ids.id(log.items), films)
    np.testing.assert_array_equal(log.ratings, ratings)
    np.testing.assert_array_equal(log.timestamps, times)
    assert dataset.items.labels[1] == "Film 2: Cité (1902)"
    assert dataset.items.feature_names == ("genre_Comedy", "genre_Drama", "year")
    assert dataset.users.features.shape == (len(np.unique(users)), 0)
    assert f"3,000 rows, where the publisher counts {PUBLISHED[name].ratings:,}" in dataset.source


@pytest.mark.parametrize("folder", ["ml-10m", "ml-10M100K"])
def test_10m_from_its_folder_under_either_name(root, folder):
    write_10m(root / folder)
    check(load("ml-10m"), "ml-10m")
    assert load(root / folder).digest() == load("ml-10m").digest()


def test_10m_from_its_zip(root, tmp_path):
    folder = write_10m(tmp_path / "in" / "ml-10M100K")
    with zipfile.ZipFile(root / "ml-10m.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"ml-10M100K/{path.name}")
    check(load("ml-10m"), "ml-10m")


@pytest.mark.parametrize("name", CSV)
def test_20m_25m_and_32m(root, name):
    write_csv(root / name)
    check(load(name), name)


def test_both_layouts_read_the_same(root):
    assert load(write_10m(root / "a")).digest() == load(write_csv(root / "b")).digest()


def test_10m_damaged(tmp_path):
    folder = write_10m(tmp_path / "ml")
    text = (folder / "ratings.dat").read_text().splitlines()
    text[41] = "3::7::0.25::789652009"
    (folder / "ratings.dat").write_text("\n".join(text))
    with pytest.raises(DataError, match=r"ratings\.dat, line 42: rating is 0.25; allowed: 0.5 to 5"):
        load_ml_10m(folder)
    (folder / "movies.dat").write_bytes(b"7::Cit\xe9::Drama\n")
    with pytest.raises(DataError, match=r"movies\.dat, line 1: byte 0xe9 is not utf-8 text"):
        load_ml_10m(folder)


def write_lastfm(folder, **files):
    content = {
        "user_artists": "userID\tartistID\tweight\n5\t20\t13883\n2\t10\t1\n5\t10\t260\n",
        "artists": "id\tname\turl\tpictureURL\n20\tSigur Rós\thttp://x\thttp://y\n10\tAir\thttp://z\t\n30\t30\t\t\n",
        "user_friends": "userID\tfriendID\r\n2\t5\r\n5\t2\r\n",
    }
    for name, text in (content | files).items():
        (folder / f"{name}.dat").write_text(text, "utf-8", newline="")
    return folder


def test_lastfm_columns(tmp_path):
    dataset = load(write_lastfm(tmp_path))
    log = dataset.interactions
    assert (log.user_ids.ids.tolist(), log.item_ids.ids.tolist()) == ([2, 5], [20, 10, 30])
    assert (log.users.tolist(), log.items.tolist(), log.ratings.tolist()) == ([1, 0, 1], [0, 1, 1], [13883, 1, 260])
    assert log.timestamps is None
    assert dataset.items.labels == ("Sigur Rós", "Air", "30")
    assert dataset.name == "hetrec2011-lastfm"
    assert log.positive(dataset.positive).tolist() == [True, False, True]
    friends = load_lastfm_friends(tmp_path, log.user_ids)
    assert (friends.dtype, friends.tolist()) == (np.int32, [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"user_artists": "userID\tartistID\tweight\n5\t20\n"}, "user_artists.dat, line 2: expected 3 tab-separated"),
        ({"user_artists": "userID\tartistID\tweight\n5\t20\t0\n"}, "line 2: count is 0; allowed: 1 to inf"),
        ({"user_artists": "userID\tartistID\tweight\n5\t20\t1\n5\t40\t1\n"}, "line 3: artist 40 is not among the 3"),
        ({"user_artists": "user\tartist\tcount\n5\t20\t1\n"}, "line 1: the header is"),
        ({"artists": "id\tname\turl\tpictureURL\n20\tA\t\t\n20\tB\t\t\n"}, "line 3: artist '20' occurs a second time"),
        ({"user_friends": "userID\tfriendID\n2\t5\n2\t6\n"}, "user_friends.dat, line 3: friend 6 is not among the 2"),
    ],
)
def test_lastfm_damaged(tmp_path, files, message):
    write_lastfm(tmp_path, **files)
    with pytest.raises(DataError, match=message):
        load_lastfm_friends(tmp_path, load_lastfm(tmp_path).interactions.user_ids)


@pytest.mark.data
def test_real_lastfm():
    dataset = load("hetrec2011-lastfm")
    spec = PUBLISHED["hetrec2011-lastfm"]
    log = dataset.interactions
    assert (len(log), log.n_users, log.n_items) == (92_834, 1_892, 17_632)
    assert (len(log), log.n_users, log.n_items) == (spec.ratings, spec.users, spec.items)
    assert "the publisher counts" not in dataset.source
    assert np.median(log.ratings) == dataset.positive
    folder = Path(os.environ["SMARTREC_DATA"]) / "hetrec2011-lastfm"
    friends = load_lastfm_friends(folder, log.user_ids)
    assert len(friends) == 25_434
    # Every friendship is listed both ways.
    assert {tuple(edge) for edge in friends.tolist()} == {tuple(edge) for edge in friends[:, ::-1].tolist()}


@pytest.mark.data
@pytest.mark.parametrize("name", ["ml-100k", "ml-latest-small"])
def test_real_counts_are_those_of_the_table(name):
    dataset, spec = load(name), PUBLISHED[name]
    log = dataset.interactions
    assert (len(log), log.n_users, log.n_items) == (spec.ratings, spec.users, spec.items)
    assert "the publisher counts" not in dataset.source
