"""Data sets that are kept: equal to what was read, and never taken for files that have changed."""

import os

import pytest

from smartrec.core.errors import DataError, DataNotFound
from smartrec.data import kept, load
from smartrec.data.kept import load_kept


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """Count how often files are really read."""
    calls = []
    monkeypatch.setattr(kept, "load", lambda *arguments: calls.append(arguments) or load(*arguments))
    return calls


def a_folder(tmp_path, ratings="3,5,0.5,999999999\n4,7,5.0,1000000001\n"):
    folder = tmp_path / "log"
    folder.mkdir(exist_ok=True)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + ratings)
    (folder / "movies.csv").write_text('movieId,title,genres\n5,"Ä, B (1990)",Drama|War\n7,C (1991),Drama\n')
    return folder


def same(one, other):
    assert one.digest() == other.digest()
    assert (one.name, one.source, one.positive) == (other.name, other.source, other.positive)
    for side in ("users", "items"):
        mine, theirs = getattr(one, side), getattr(other, side)
        assert mine.labels == theirs.labels
        assert mine.feature_names == theirs.feature_names
        assert mine.ids.ids.dtype == theirs.ids.ids.dtype
    for name in ("users", "items", "ratings", "timestamps"):
        mine, theirs = getattr(one.interactions, name), getattr(other.interactions, name)
        assert (mine is None) == (theirs is None)
        assert mine is None or mine.dtype == theirs.dtype


def test_a_folder_is_read_once(tmp_path, cache, reads):
    folder = a_folder(tmp_path)
    first, second = load_kept(folder), load_kept(folder)
    assert len(reads) == 1
    same(first, second)
    same(second, load(folder))
    assert len(list(cache.iterdir())) == 1


def test_a_table_with_strings_and_without_times(tmp_path, cache, reads):
    path = tmp_path / "own.csv"
    path.write_text("reader,item,rating\nanna,x,1\nbo,ÿ,0\n")
    first, second = (load_kept(path, {"user": "reader"}, 0.5) for _ in range(2))
    assert len(reads) == 1
    same(first, second)
    load_kept(path, {"user": "item", "item": "reader"}, 0.5)
    load_kept(path, {"user": "reader"}, 1.0)
    assert len(reads) == 3


def test_changed_files_are_read_again(tmp_path, cache, reads):
    folder = a_folder(tmp_path)
    load_kept(folder)
    a_folder(tmp_path, "3,5,1.5,999999999\n4,7,5.0,1000000001\n")  # the same size
    os.utime(folder / "ratings.csv", ns=(1, 1))
    assert load_kept(folder).interactions.ratings[0] == 1.5
    a_folder(tmp_path, "3,5,1.5,999999999\n")
    assert len(load_kept(folder).interactions) == 1
    assert len(reads) == 3


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_what_is_damaged_is_made_again(tmp_path, cache, reads, damage):
    folder = a_folder(tmp_path)
    load_kept(folder)
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:700] if damage is None else damage)
    same(load_kept(folder), load(folder))
    assert len(reads) == 2
    load_kept(folder)
    assert len(reads) == 2


def test_where_nothing_can_be_kept(tmp_path, cache, reads, capsys):
    cache.write_text("a file in the way")
    folder = a_folder(tmp_path)
    same(load_kept(folder), load(folder))
    assert "log is not kept for the next time: " in capsys.readouterr().err


def test_errors_are_those_of_load(tmp_path, cache):
    with pytest.raises(DataNotFound, match=r"nowhere\.csv is not there"):
        load_kept(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"line 3: rating is 9\.5"):
        load_kept(a_folder(tmp_path, "3,5,0.5,999999999\n4,7,9.5,1000000001\n"))
    assert not cache.exists()


@pytest.mark.data
@pytest.mark.parametrize("name", ["ml-100k", "ml-latest-small"])
def test_named_data_sets(name, cache, reads):
    first, second = load_kept(name), load_kept(name)
    assert len(reads) == 1
    same(first, second)
