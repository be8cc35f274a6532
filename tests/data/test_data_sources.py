import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidInput, UnknownName
from smartrec.data import DATASETS, load

NAMES = ["ml-100k", "ml-1m", "ml-latest-small", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "hetrec2011-lastfm"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_latest(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,1,3.5,964982703\n3,1,5.0,964982703\n")
    (folder / "movies.csv").write_text("movieId,title,genres\n1,Toy Story (1995),Comedy\n")
    return folder


def zip_latest(target):
    folder = write_latest(target.parent / "unpacked")
    with zipfile.ZipFile(target, "w") as archive:
        for name in ("ratings.csv", "movies.csv"):
            archive.write(folder / name, f"{target.stem}/{name}")
            (folder / name).unlink()
    folder.rmdir()


def test_registry():
    assert DATASETS.names() == NAMES
    for name in DATASETS:
        assert callable(DATASETS.get(name))
        assert DATASETS.entry(name).about


@pytest.mark.parametrize("name", ["ml-latest-small", "ml-20m"])
@pytest.mark.parametrize("place", ["folder", "zip", "zip in folder"])
def test_a_name_is_found_in_three_places(root, name, place):
    if place == "folder":
        write_latest(root / name)
    elif place == "zip":
        zip_latest(root / f"{name}.zip")
    else:
        (root / name).mkdir()
        zip_latest(root / name / f"{name}.zip")
    dataset = load(name)
    assert (dataset.name, len(dataset.interactions)) == (name, 2)
    assert str(root) in dataset.source


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_there(root, name, monkeypatch):
    monkeypatch.setattr("smartrec.data.sources.recbole_ml_100k_folder", lambda: None)
    with pytest.raises(DataNotFound) as caught:
        load(name)
    message = str(caught.value)
    for place in (name, f"{name}.zip", f"{name}/{name}.zip"):
        assert str(root / place) in message
    assert "GroupLens site" in message
    assert "$SMARTREC_DATA" in message
    assert ("pip install --no-deps recbole==1.2.1" in message) == (name == "ml-100k")


def test_no_folder_is_set(monkeypatch):
    monkeypatch.delenv("SMARTREC_DATA", raising=False)
    with pytest.raises(DataNotFound, match="environment variable SMARTREC_DATA is not set"):
        load("ml-1m")


def test_an_unknown_name():
    with pytest.raises(UnknownName, match="Did you mean 'ml-100k'"):
        load("ml100k")


def test_paths(root):
    (root / "log.csv").write_text("reader,item\n1,2\n")
    assert len(load("log.csv", {"user": "reader"}).interactions) == 1
    assert load(root / "log.csv", {"user": "reader"}, 0.5).positive == 0.5
    write_latest(root / "mine")
    assert load("mine").name == "mine"
    zip_latest(root / "packed.zip")
    assert load("packed.zip").digest() == load(root / "mine").digest()


def test_positive_may_be_set(root):
    write_latest(root / "ml-20m")
    assert load("ml-20m").positive == 4
    assert load("ml-20m", positive=3.5).positive == 3.5


@pytest.mark.parametrize("path", ["no/such/folder", "nowhere.csv", "nowhere.zip", Path("nowhere")])
def test_paths_that_are_not_there(root, path):
    with pytest.raises(DataNotFound, match="is not there"):
        load(path)


def test_a_folder_in_no_known_layout(root):
    (root / "odd").mkdir()
    (root / "odd" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"no known layout; looked for u\.data.*found notes\.txt"):
        load("odd")


def test_columns_are_for_tables_only(root):
    write_latest(root / "ml-20m")
    with pytest.raises(InvalidInput, match="columns = "):
        load("ml-20m", {"user": "userId"})


def test_a_file_of_another_kind(root):
    (root / "log.txt").write_text("x")
    with pytest.raises(DataError, match=r"ends in '\.txt'"):
        load("log.txt")


def test_importing_the_room_is_light():
    code = "import sys, smartrec.data; print({'pandas', 'pyarrow', 'scipy', 'sklearn'} & {*sys.modules})"
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert heavy.strip() == "set()"


@pytest.mark.data
def test_real_data_by_name_and_by_path():
    root = Path(os.environ["SMARTREC_DATA"])
    for name, rows in (("ml-100k", 100_000), ("ml-latest-small", 100_836)):
        dataset = load(name)
        assert (dataset.name, len(dataset.interactions)) == (name, rows)
    assert load(root / "ml-100k").digest() == load("ml-100k").digest()
