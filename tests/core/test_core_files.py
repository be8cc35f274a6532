import os

import pytest

from smartrec.core.errors import OutputError
from smartrec.core.files import atomic_write, ensure_folder


def test_writes_text_and_bytes_and_makes_the_folder(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    with atomic_write(path) as file:
        file.write("größer")
    assert path.read_text("utf-8") == "größer"
    with atomic_write(path, "wb") as file:
        file.write(b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_seen_before_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with atomic_write(path) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_may_be_read_by_whom_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        with atomic_write(tmp_path / "a.txt") as file:
            file.write("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="is a folder; choose another name"), atomic_write(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("folder", ["file", "file/under"])
def test_a_file_in_the_place_of_the_folder(tmp_path, folder):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file, or lies under one; choose a folder"):
        ensure_folder(tmp_path / folder)
    with pytest.raises(OutputError, match="is a file"), atomic_write(tmp_path / folder / "a.txt"):
        pass
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    # Tests may run as root, whom no mode stops, so the refusal is put in by hand.
    monkeypatch.setattr("smartrec.core.files.tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"cannot write to folder .* \(Permission denied\); choose another"):
        ensure_folder(tmp_path)
