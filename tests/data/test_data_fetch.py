"""Fetching, against servers on this machine that cut, lie, refuse and stall."""

import io
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidInput, OutputError, UnknownName
from smartrec.data import DATASETS, PUBLISHED, download, fetch, load

NAME = "ml-latest-small"
ROWS = 20_000


def an_archive(rows=ROWS, prefix=f"{NAME}/"):
    rng = np.random.default_rng(0)
    head = "userId,movieId,rating,timestamp\n"
    lines = (f"{1 + k % 50},1,{half / 2},{second}\n" for k, (half, second) in enumerate(
        zip(rng.integers(1, 11, rows), rng.integers(800_000_000, 1_500_000_000, rows), strict=True)))  # fmt: skip
    return a_zip({f"{prefix}ratings.csv": head + "".join(lines), f"{prefix}movies.csv": FILMS})


FILMS = "movieId,title,genres\n1,Toy Story (1995),Comedy\n"


def a_zip(members):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return target.getvalue()


ARCHIVE = an_archive()


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SMARTREC_DATA", str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_load_finds_what_was_fetched(serve, folder, capsys):
    site = serve(ARCHIVE)
    path = fetch(NAME, url=site.url)
    assert path == folder / f"{NAME}.zip"
    assert path.read_bytes() == ARCHIVE
    assert names(folder) == [path.name]
    dataset = load(NAME)
    assert len(dataset.interactions) == ROWS
    assert "20,000 rows, where the publisher counts 100,836" in dataset.source
    notes = capsys.readouterr()
    assert notes.err == f"fetching MovieLens latest-small; its terms of use: {PUBLISHED[NAME].terms}\n"
    assert notes.out == ""


def test_a_second_fetch_says_that_it_is_there(serve, folder, capsys):
    site = serve(ARCHIVE)
    path = fetch(NAME, url=site.url)
    asked = len(site.asked)
    capsys.readouterr()
    assert fetch(NAME, url=site.url) == path
    assert f"is there already: {path}" in capsys.readouterr().err
    assert len(site.asked) == asked


def test_without_the_variable_it_goes_to_the_cache(serve, tmp_path, monkeypatch):
    monkeypatch.delenv("SMARTREC_DATA")
    monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path / "cache"))
    path = fetch(NAME, url=serve(ARCHIVE).url)
    assert path == tmp_path / "cache" / "data" / f"{NAME}.zip"
    assert len(load(NAME).interactions) == ROWS


def test_a_folder_of_ones_own_is_told_how_to_be_found(serve, tmp_path, capsys):
    path = fetch(NAME, tmp_path / "elsewhere", serve(ARCHIVE).url)
    assert path.parent == tmp_path / "elsewhere"
    assert f"SMARTREC_DATA={path.parent}" in capsys.readouterr().err
    assert len(load(path).interactions) == ROWS


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_connections_are_resumed(serve, folder, ranges):
    site = serve(ARCHIVE)
    site.ranges = ranges
    site.cuts = [1000, 2000, 0, 0, 5000]
    assert fetch(NAME, url=site.url).read_bytes() == ARCHIVE
    if ranges:
        assert site.ranges_asked() == [None, *(f"bytes={n}-" for n in (1000, 3000, 3000, 3000, 8000))]
    assert names(folder) == [f"{NAME}.zip"]


def test_a_part_of_an_earlier_call_is_resumed(serve, folder):
    folder.mkdir()
    (folder / f"{NAME}.zip.part").write_bytes(ARCHIVE[:7000])
    site = serve(ARCHIVE)
    assert fetch(NAME, url=site.url).read_bytes() == ARCHIVE
    assert site.ranges_asked() == ["bytes=7000-"]


def test_a_part_that_is_all_there_is_taken_and_one_too_long_begun_again(serve, folder):
    for part in (ARCHIVE, ARCHIVE + b"more"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / f"{NAME}.zip.part").write_bytes(part)
        assert fetch(NAME, url=serve(ARCHIVE).url).read_bytes() == ARCHIVE


def test_busy_servers_are_asked_again(serve, folder):
    site = serve(ARCHIVE)
    site.failures = [503, 500, 429]
    assert fetch(NAME, url=site.url).read_bytes() == ARCHIVE
    site.failures = [503] * 50
    shutil.rmtree(folder)
    with pytest.raises(DataNotFound, match=r"HTTP 503 \(Service Unavailable\); tried 5 times"):
        fetch(NAME, url=site.url)
    assert names(folder) == []


@pytest.mark.parametrize("name", [NAME, "ml-20m"])
def test_a_wrong_checksum_leaves_nothing(serve, folder, name):
    site = serve(ARCHIVE)
    site.files[f"/{NAME}.zip.md5"] = b"0" * 32 + f"  {NAME}.zip\n".encode()
    with pytest.raises(DataError, match=r"the MD5 checksum of what arrived is [0-9a-f]{32}, and should be") as caught:
        fetch(name, url=site.url)
    wanted = "0" * 32 if name == NAME else PUBLISHED[name].checksum.removeprefix("md5:")
    assert f"should be {wanted}" in str(caught.value)
    assert names(folder) == []


def test_a_length_that_is_too_short(serve, folder):
    for checksum in (True, False):
        site = serve(ARCHIVE, checksum=checksum)
        site.lie = -100
        with pytest.raises(DataError, match="checksum" if checksum else "is no sound zip"):
            fetch(NAME, url=site.url)
        assert names(folder) == []


def test_a_length_that_is_too_long(serve, folder):
    site = serve(ARCHIVE)
    site.ranges, site.lie = False, 100
    size = len(ARCHIVE)
    announced = f"ended after {size:,} of the {size + 100:,} bytes that the server announced"
    with pytest.raises(DataNotFound, match=announced):
        fetch(NAME, url=site.url)
    assert names(folder) == [f"{NAME}.zip.part"]
    with pytest.raises(DataNotFound, match="is not on this machine"):
        load(NAME)
    # With ranges the server itself says, when asked for the rest, that there is none.
    site.ranges = True
    assert fetch(NAME, url=site.url).read_bytes() == ARCHIVE


def test_a_length_beyond_reason_is_refused_before_it_is_read(serve, folder, monkeypatch):
    site = serve(ARCHIVE)
    site.lie = download.MOST_BYTES
    with pytest.raises(DataError, match="allowed: 2,147,483,648"):
        fetch(NAME, url=site.url)
    site.lie = 0
    monkeypatch.setattr(download, "MOST_BYTES", 50_000)
    with pytest.raises(DataError, match="allowed: 50,000"):
        fetch(NAME, url=site.url)
    monkeypatch.undo()
    assert not (folder / f"{NAME}.zip").exists()


def test_a_full_disk(serve, folder, monkeypatch):
    room = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    with pytest.raises(OutputError, match="and the disk has 1,000"):
        fetch(NAME, url=serve(ARCHIVE).url)
    assert names(folder) == []


def test_what_is_not_there(serve, folder):
    site = serve(ARCHIVE)
    with pytest.raises(DataNotFound, match=r"cannot be had: HTTP 404 \(Not Found\)"):
        fetch(NAME, url=site.url.replace(".zip", "-2.zip"))
    assert len(site.asked) == 2  # the checksum and the archive, each once
    assert names(folder) == []


def test_no_connection(serve, folder):
    site = serve(ARCHIVE)
    site.close()
    with pytest.raises(DataNotFound, match=r"Connection refused; tried 5 times\. Check the connection"):
        fetch(NAME, url=site.url)
    assert names(folder) == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/x.zip", "x.zip", "http://", "http://h:x/y", "http://h/a b"]
)
def test_addresses_that_are_none(url, folder):
    with pytest.raises(InvalidInput, match="url = "):
        fetch(NAME, url=url)
    assert not folder.exists()


def test_an_unknown_name():
    with pytest.raises(UnknownName, match="Did you mean 'ml-20m'"):
        fetch("ml20m")


def test_folders_that_cannot_be_written(serve, tmp_path):
    site = serve(ARCHIVE)
    (tmp_path / "file").write_text("x")
    for where in (tmp_path / "file", "/proc/nowhere"):
        with pytest.raises(OutputError, match="choose a"):
            fetch(NAME, where, site.url)
    (tmp_path / "odd" / f"{NAME}.zip.part").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot write"):
        fetch(NAME, tmp_path / "odd", site.url)
    assert site.asked == []


def test_a_checksum_file_without_a_checksum(serve, folder):
    site = serve(ARCHIVE)
    site.files[f"/{NAME}.zip.md5"] = b"<html>maintenance</html>"
    with pytest.raises(DataError, match="holds no MD5 checksum but '<html>"):
        fetch(NAME, url=site.url)
    assert names(folder) == []


def test_where_no_checksum_is_published_the_contents_are_checked(serve, folder, capsys):
    assert fetch(NAME, url=serve(ARCHIVE, checksum=False).url).read_bytes() == ARCHIVE
    assert "no checksum is published" in capsys.readouterr().err
    middle = len(ARCHIVE) // 2
    damaged = ARCHIVE[:middle] + bytes(64) + ARCHIVE[middle + 64 :]
    (folder / f"{NAME}.zip").unlink()
    with pytest.raises(DataError, match="is no sound zip"):
        fetch(NAME, url=serve(damaged, checksum=False).url)
    assert names(folder) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (a_zip({"ml/../../x": "1"}), "would lie outside the folder"),
        (a_zip({"ml/ratings.csv": bytes(20 << 20)}), "allowed: 100 times as many"),
        (b"<html>log in first</html>", "is no sound zip"),
        (b"", "is no sound zip"),
    ],
    ids=["climbs out", "bomb", "no zip", "empty"],
)
def test_hostile_archives_leave_nothing(serve, folder, content, message):
    site = serve(content)
    with pytest.raises(DataError, match=message) as caught:
        fetch(NAME, url=site.url)
    assert site.url in str(caught.value)
    assert names(folder) == []


def test_two_processes_do_not_write_one_file(serve, folder):
    import fcntl

    folder.mkdir()
    with (folder / f"{NAME}.zip.part").open("wb") as other:
        other.write(ARCHIVE[:100])
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="is being written by another process"):
            fetch(NAME, url=serve(ARCHIVE).url)
    assert fetch(NAME, url=serve(ARCHIVE).url).read_bytes() == ARCHIVE


def test_a_bar_on_a_terminal_and_none_in_a_log(serve, folder, monkeypatch):
    for terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda answer=terminal: answer
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        fetch(NAME, folder / str(terminal), serve(ARCHIVE).url)
        assert ("\x1b[" in stream.getvalue()) == terminal
        assert ("━" in stream.getvalue()) == terminal


def test_the_table_agrees_with_the_registry():
    assert DATASETS.names() == list(PUBLISHED)
    for spec in PUBLISHED.values():
        assert spec.url.startswith("https://files.grouplens.org/datasets/")
        assert spec.terms.startswith("https://")
        assert spec.checksum is None or len(spec.checksum) == len("md5:") + 32
    assert [spec.name for spec in PUBLISHED.values() if spec.checksum is None] == [NAME, "hetrec2011-lastfm"]


def test_importing_the_room_loads_no_network():
    code = (
        "import sys, gymnasium; a = {*sys.modules}; import smartrec.data; print('urllib.request' in {*sys.modules} - a)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
