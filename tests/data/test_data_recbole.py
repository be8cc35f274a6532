import os
import sys
from pathlib import Path

import numpy as np
import pytest

from smartrec.core.errors import DataError, DataNotFound
from smartrec.data import load, load_ml_100k, load_recbole_ml_100k, read_atomic

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
USER = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
ITEM = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"


def write_atomic(folder, **files):
    content = {
        "inter": INTER + "1\t10\t5\t881250949\n2\t20\t3\t881250950\n",
        "user": USER + "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n",
        "item": ITEM + "10\tToy Story\t1995\tComedy Animation\n20\tunkonwn\tunkonwn\tunknown\n",
    } | files
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in content.items():
        (folder / f"ml-100k.{suffix}").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture
def fake_package(tmp_path, monkeypatch):
    """A package that must not be imported: importing it fails the test."""
    package = tmp_path / "site" / "recbole"
    write_atomic(package / "dataset_example" / "ml-100k")
    (package / "__init__.py").write_text("raise RuntimeError('recbole was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delenv("SMARTREC_DATA", raising=False)
    return package


def test_columns(tmp_path):
    dataset = load_recbole_ml_100k(write_atomic(tmp_path))
    log = dataset.interactions
    assert log.user_ids.ids.tolist() == [1, 2]
    assert log.item_ids.ids.tolist() == [10, 20]
    assert (log.ratings.tolist(), log.timestamps.tolist()) == ([5, 3], [881250949, 881250950])
    assert dataset.items.labels == ("Toy Story (1995)", "unkonwn")
    assert dataset.items.feature_names == ("genre_unknown", "genre_Animation", "genre_Comedy", "year")
    np.testing.assert_allclose(dataset.items.features, [[0, 1, 1, 0.75], [1, 0, 0, 0]])
    assert dataset.users.feature_names == ("gender_f", "age", "occupation_other", "occupation_technician")


def test_the_package_is_found_and_not_imported(fake_package):
    dataset = load("ml-100k")
    assert str(fake_package) in dataset.source
    assert len(dataset.interactions) == 2
    assert "recbole" not in sys.modules


def test_a_folder_under_smartrec_data_comes_first(fake_package, tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "ml-100k").mkdir(parents=True)
    (tmp_path / "data" / "ml-100k" / "README").write_text("")
    with pytest.raises(DataError, match=r"has no file u\.data"):
        load("ml-100k")


def test_a_package_without_the_files(fake_package):
    (fake_package / "dataset_example" / "ml-100k" / "ml-100k.inter").unlink()
    with pytest.raises(DataNotFound, match=r"no installed recbole package.*pip install --no-deps recbole==1\.2\.1"):
        load_recbole_ml_100k()
    with pytest.raises(DataNotFound, match="the recbole package"):
        load("ml-100k")


@pytest.mark.parametrize(
    ("files", "fragment"),
    [
        ({"inter": INTER + "1\t10\t5\n"}, "ml-100k.inter, line 2: expected 4 tab-separated fields"),
        ({"inter": INTER + "1\t10\t7\t881250949\n"}, "line 2: rating is 7; allowed: 1 to 5"),
        ({"inter": INTER + "1\tx\t5\t881250949\n"}, "line 2: item is 'x'"),
        ({"inter": INTER + "3\t10\t5\t881250949\n"}, "line 2: user 3 is not among the 2 users"),
        ({"inter": "user_id\titem_id\n1\t2\n"}, "line 1: field 'user_id' is no name:type"),
        ({"inter": "user_id:id\n1\n"}, "line 1: field 'user_id:id' is no name:type; allowed types: token"),
        (
            {"inter": "user_id:token\titem_id:token\n1\t10\n"},
            "line 1: no column 'rating'; there are user_id, item_id",
        ),
        ({"inter": ""}, "ml-100k.inter is empty"),
        ({"inter": INTER}, "ml-100k.inter has no rows"),
        ({"inter": b"\xff\xfe\n"}, "line 1: is not utf-8 text"),
        ({"user": USER + "1\t24\tm\ttechnician\t85711\n"}, "ml-100k.user, line 2: gender is 'm'"),
        (
            {"item": ITEM + "10\tToy\t1995\tX\n10\tToy\t1995\tX\n"},
            "ml-100k.item, line 3: item '10' occurs a second",
        ),
    ],
)
def test_damaged(tmp_path, files, fragment):
    with pytest.raises(DataError) as caught:
        load_recbole_ml_100k(write_atomic(tmp_path, **files))
    assert fragment in str(caught.value)


def test_read_atomic_takes_any_file(tmp_path):
    path = tmp_path / "x.net"
    path.write_text("source_id:token\tweight:float\ttags:token_seq\tpoint:float_seq\na\t0.5\tx y\t1 2\n7\t2\t\t\n")
    columns = read_atomic(path)
    assert columns["source_id"].tolist() == ["a", "7"]
    assert columns["weight"].tolist() == [0.5, 2]
    assert columns["tags"].tolist() == ["x y", ""]
    assert columns["point"].tolist() == ["1 2", ""]
    with pytest.raises(DataNotFound, match="is not there"):
        read_atomic(tmp_path / "no.inter")


@pytest.mark.data
def test_the_original_files_written_as_atomic_files_give_the_same_dataset(tmp_path):
    """The wheel's files are the publisher's in another order of columns; written so, they read the same."""
    original = load_ml_100k(Path(os.environ["SMARTREC_DATA"]) / "ml-100k")
    log, users, items = original.interactions, original.users, original.items
    rows = zip(log.user_ids.id(log.users), log.item_ids.id(log.items), log.ratings, log.timestamps, strict=True)
    inter = "".join(f"{user}\t{item}\t{rating:g}\t{time}\n" for user, item, rating, time in rows)
    names = [name.removeprefix("occupation_") for name in users.feature_names]
    people = "".join(
        f"{user}\t{round(row[1] * 15 + 35)}\t{'MF'[int(row[0])]}\t{names[2 + row[2:].argmax()]}\t0\n"
        for user, row in zip(users.ids.ids, users.features, strict=True)
    )
    genres = [name.removeprefix("genre_") for name in items.feature_names[:-1]]
    films = "".join(
        f"{item}\t{title}\tunkonwn\t{' '.join(np.array(genres)[row[:-1] > 0])}\n"
        for item, title, row in zip(items.ids.ids, items.labels, items.features, strict=True)
    )
    folder = write_atomic(tmp_path, inter=INTER + inter, user=USER + people, item=ITEM + films)
    assert load(folder).digest() == original.digest()


@pytest.mark.data
@pytest.mark.recbole
def test_an_installed_recbole_carries_the_publishers_ratings():
    carried = load_recbole_ml_100k()
    original = load_ml_100k(Path(os.environ["SMARTREC_DATA"]) / "ml-100k")
    assert carried.digest() == original.digest()
    assert "recbole" not in sys.modules
