"""HetRec 2011 Last.fm: who listened to which artist how often, and who is whose friend.

Published by GroupLens (https://grouplens.org/datasets/hetrec-2011/). There are no timestamps of listening.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smartrec.data.files import files_in, pick
from smartrec.data.interactions import Catalogue, Dataset, Interactions, Vocabulary
from smartrec.data.movielens import numbers_of
from smartrec.data.text import Column, Layout, read_columns, read_rows

POSITIVE = 260.0
"""The count from which an artist counts as a click: the median of the log. Counts have no natural threshold."""

_USER, _ARTIST = Column("user", "int", 1), Column("artist", "int", 1)
_COUNTS = Layout((_USER, _ARTIST, Column("count", "int", 1)), "\t", header="userID\tartistID\tweight")
_TEXTS = tuple(Column(name, "text") for name in ("name", "url", "picture"))
_ARTISTS = Layout((_ARTIST, *_TEXTS), "\t", header="id\tname\turl\tpictureURL")
_FRIENDS = Layout((_USER, Column("friend", "int", 1)), "\t", header="userID\tfriendID")


def load_lastfm(folder_or_zip: str | Path) -> Dataset:
    """Read ``user_artists.dat`` and ``artists.dat``; ratings are listening counts, from 1 to 352,698.

    Users are those who listened to anything, by ascending id; artists keep the order of their file, and
    nothing but their names is known of them (D = 0).

    Raises:
        DataError: A file is missing or damaged.
    """
    where = Path(folder_or_zip)
    counts, names = pick(files_in(where), where, "user_artists.dat", "artists.dat")
    artists = read_rows(names, _ARTISTS)
    item_ids = Vocabulary(int(row[0]) for row in artists)
    columns = read_columns(counts, _COUNTS)
    user_ids = Vocabulary(np.unique(columns["user"]))
    users = user_ids.numbers(columns["user"])
    items = numbers_of(counts, _COUNTS, "artist", columns["artist"], item_ids)
    log = Interactions(users.astype(np.int32), items, columns["count"], None, user_ids, item_ids)
    labels = tuple(row[1] for row in artists)
    item_side = Catalogue(item_ids, labels, (), np.empty((len(artists), 0), np.float32))
    user_side = Catalogue.without_features(user_ids)
    return Dataset("hetrec2011-lastfm", log, user_side, item_side, f"HetRec 2011 Last.fm, {where}", POSITIVE)


def load_lastfm_friends(folder_or_zip: str | Path, users: Vocabulary) -> NDArray[np.int32]:
    """Read ``user_friends.dat``.

    Args:
        folder_or_zip: As for ``load_lastfm``.
        users: ``dataset.interactions.user_ids``.

    Returns:
        int32 [E, 2], user numbers; the file lists each friendship both ways, and so does the array.

    Raises:
        DataError: The file is missing or damaged, or names a user who is not among ``users``.
    """
    where = Path(folder_or_zip)
    (friends,) = pick(files_in(where), where, "user_friends.dat")
    columns = read_columns(friends, _FRIENDS)
    ends = [numbers_of(friends, _FRIENDS, name, columns[name], users) for name in ("user", "friend")]
    return np.stack(ends, axis=1).astype(np.int32)
