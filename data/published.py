"""The data sets that others publish: where each comes from, what is in it, and where it lies on this machine."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from smartrec.core.files import cache_folder

FOLDER_VARIABLE = "SMARTREC_DATA"
"""The environment variable that names the folder with the data sets."""

_SITE = "https://files.grouplens.org/datasets/"
_LOADERS = "smartrec.data.movielens:load_"


@dataclass(frozen=True)
class Published:
    """One data set as its publisher offers it.

    Attributes:
        name: Ours.
        title: The publisher's.
        loader: Import path of what reads its folder or zip.
        about: What sets it apart from the others, for lists.
        url: Of the archive.
        terms: The page with its terms of use.
        ratings: How many rows the log has.
        users: How many of them have a row.
        items: How many the file of items lists.
        year: In which it was released.
        checksum: Of the archive, ``"md5:..."``; None where the archive may change, or nobody gives one.
        folder: What the archive unpacks to, where that is not ``name``.
    """

    name: str
    title: str
    loader: str
    about: str
    url: str
    terms: str
    ratings: int
    users: int
    items: int
    year: int
    checksum: str | None = None
    folder: str = ""

    def places(self, root: Path) -> list[Path]:
        """Return where under ``root`` it may lie: as a folder, a zip, or a zip in a folder."""
        folders = [root / name for name in dict.fromkeys((self.name, self.folder or self.name))]
        return [*folders, *(parent / zipped for parent in (root, root / self.name) for zipped in self._zips())]

    def find(self, roots: Iterable[Path]) -> Path | None:
        """Return the folder or zip that is there, in the order of ``places``; None where there is none."""
        return next((place for root in roots for place in self.places(root) if self._is_data(place)), None)

    def _zips(self) -> list[str]:
        return [*dict.fromkeys((f"{self.name}.zip", self.url.rpartition("/")[2]))]

    def _is_data(self, place: Path) -> bool:
        if place.suffix == ".zip":
            return place.is_file()
        # A folder that is empty or only wraps the zip is left to the places after it.
        names = {path.name for path in place.iterdir()} if place.is_dir() else set()
        return bool(names) and names.isdisjoint(self._zips())


def data_roots() -> list[Path]:
    """Return where named data sets are looked for: ``$SMARTREC_DATA`` if set, then the cache folder."""
    own = os.environ.get(FOLDER_VARIABLE)
    fetched = cache_folder() / "data"
    return [Path(own), fetched] if own else [fetched]


def _movielens(
    size: str, loader: str, about: str, counts: tuple[int, int, int], year: int, md5: str | None, folder: str = ""
) -> Published:
    name, url = f"ml-{size}", f"{_SITE}movielens/ml-{size}.zip"
    terms = f"{_SITE}movielens/{name}-README.{'txt' if size in ('100k', '1m') else 'html'}"
    title = f"MovieLens {size.upper() if size[0].isdigit() else size}"
    checksum = None if md5 is None else f"md5:{md5}"
    return Published(name, title, _LOADERS + loader, about, url, terms, *counts, year, checksum, folder)


_PEOPLE, _HALF_STARS = "stars, with demographics", "half stars, no demographics"
_ALL = (
    _movielens("100k", "ml_100k", _PEOPLE, (100_000, 943, 1_682), 1998, "0e33842e24a9c977be4e0107933c0723"),
    _movielens("1m", "ml_1m", _PEOPLE, (1_000_209, 6_040, 3_883), 2003, "c4d9eecfca2ab87c1945afe126590906"),
    _movielens("latest-small", "ml_latest", _HALF_STARS, (100_836, 610, 9_742), 2018, None),
    _movielens(
        "10m",
        "ml_10m",
        _HALF_STARS,
        (10_000_054, 69_878, 10_681),
        2009,
        "ce571fd55effeba0271552578f2648bd",
        folder="ml-10M100K",
    ),
    _movielens(
        "20m", "ml_latest", _HALF_STARS, (20_000_263, 138_493, 27_278), 2015, "cd245b17a1ae2cc31bb14903e1204af3"
    ),
    _movielens(
        "25m", "ml_latest", _HALF_STARS, (25_000_095, 162_541, 62_423), 2019, "6b51fb2759a8657d3bfcbfc42b592ada"
    ),
    _movielens(
        "32m", "ml_latest", _HALF_STARS, (32_000_204, 200_948, 87_585), 2024, "d472be332d4daa821edc399621853b57"
    ),
    Published(
        "hetrec2011-lastfm",
        "HetRec 2011 Last.fm",
        "smartrec.data.lastfm:load_lastfm",
        "listening counts of artists, with friends",
        f"{_SITE}hetrec2011/hetrec2011-lastfm-2k.zip",
        "https://grouplens.org/datasets/hetrec-2011/",
        92_834,
        1_892,
        17_632,
        2011,
    ),
)

PUBLISHED = {one.name: one for one in _ALL}
"""Name -> data set; the checksums are those that GroupLens gives beside the archives."""
