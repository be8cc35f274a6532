"""Archives that would do harm, and honest ones."""

import io
import lzma
import stat
import tarfile
import zipfile

import pytest

from smartrec.core.errors import DataError
from smartrec.data.archives import check_zip, read_tar


def a_zip(members):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return target.getvalue()


def linked():
    info = zipfile.ZipInfo("ml/ratings.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return a_zip({info: "/etc/passwd"})


def forged(**values):
    """A zip whose directory lies about its members of 600 bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"ml/{number}.csv", "1,2,3\n" * 100)
            for field, value in values.items():
                setattr(archive.filelist[-1], field, value)
    return target.getvalue()


HOSTILE = {
    "climbs out": (a_zip({"ml/../../x": "1"}), r"member 'ml/\.\./\.\./x' would lie outside"),
    "climbs out, Windows": (a_zip({"ml\\..\\x": "1"}), "would lie outside"),
    "absolute": (a_zip({"/etc/x": "1"}), "member '/etc/x' would lie outside"),
    "absolute, Windows": (a_zip({"\\\\host\\x": "1"}), "would lie outside"),
    "drive": (a_zip({"C:/x": "1"}), "would lie outside"),
    "link": (linked(), "member 'ml/ratings.csv' is a link"),
    "bomb": (a_zip({"ml/ratings.csv": bytes(20 << 20)}), "allowed: 100 times as many"),
    "declares 12 GB": (forged(file_size=0xFFFFFFF0), "unpacks to 12,884,901,840 bytes; allowed: 8,589,934,592"),
    "declares less than it is": (forged(file_size=10), "is no sound zip"),
    "declares more than it is": (forged(file_size=5000), "has 600 bytes and declares 5,000"),
    "encrypted": (forged(flag_bits=1), "is no sound zip"),
    "another sum": (forged(CRC=1), "is no sound zip"),
    "many": (a_zip({f"ml/{k}": "" for k in range(10_001)}), "has 10,001 members; allowed: 10,000"),
    "no zip": (b"<html></html>", "is no sound zip"),
    "empty": (b"", "is no sound zip"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_zips(tmp_path, kind):
    content, message = HOSTILE[kind]
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        check_zip(tmp_path / "x.zip", "https://example.org/x.zip")
    assert str(caught.value).startswith("https://example.org/x.zip is ")


def test_honest_zips(tmp_path):
    members = {"ml/": "", "ml/ratings.csv": "1,2,3\n" * 1000, "ml/a..b.csv": "x", "ml/zeros.csv": "0" * 200_000}
    (tmp_path / "x.zip").write_bytes(a_zip(members))
    check_zip(tmp_path / "x.zip", "x")


DIRECTORY, SYMBOLIC, HARD, FIFO = "5216"


def a_tar(path, members, mode="w:xz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content.encode(), "/etc/passwd"
                archive.addfile(info)
    return path


@pytest.mark.parametrize("kind", ["", ":gz", ":bz2", ":xz"])
def test_members_of_tars(tmp_path, kind):
    members = {"top/a": DIRECTORY, "top/a/x.csv": b"1", "top/ba/x.csv": b"2", "y.csv": b"3"}
    path = a_tar(tmp_path / "x.tar", members, f"w{kind}")
    assert read_tar(path, ["a/x.csv", "y.csv", "z.csv"]) == {"a/x.csv": b"1", "y.csv": b"3"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a/../../x": b"1"}, "would lie outside"),
        ({"/etc/x": b"1"}, "would lie outside"),
        ({"a/x": SYMBOLIC}, "member 'a/x' is a link"),
        ({"a/x": HARD}, "member 'a/x' is a link"),
        ({"a/x": FIFO}, "member 'a/x' is a link"),
        ({"a/x": bytes(20 << 20)}, "allowed: 100 times as many"),
        ({str(k): b"" for k in range(10_001)}, "more than 10,000 members"),
    ],
)
def test_hostile_tars(tmp_path, members, message):
    path = a_tar(tmp_path / "x.tar.xz", members)
    with pytest.raises(DataError, match=message):
        read_tar(path, ["a/x"])


def test_a_tar_that_declares_a_terabyte_is_not_read_on(tmp_path):
    info = tarfile.TarInfo("a/x")
    info.size = 1 << 40
    path = tmp_path / "x.tar.xz"
    path.write_bytes(lzma.compress(info.tobuf() + bytes(1024)))
    with pytest.raises(DataError, match="unpacks to 1,099,511,627,776 bytes"):
        read_tar(path, ["a/x"])


def test_damaged_tars(tmp_path):
    sound = a_tar(tmp_path / "x.tar.xz", {"a/x": bytes(range(256)) * 400}).read_bytes()
    middle = len(sound) // 2
    for content in (b"", b"no tar", sound[:middle], sound[:middle] + b"????" + sound[middle + 4 :]):
        (tmp_path / "x.tar.xz").write_bytes(content)
        with pytest.raises(DataError, match="is no sound tar archive"):
            read_tar(tmp_path / "x.tar.xz", ["a/x"])
