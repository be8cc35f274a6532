import re

import numpy as np
import pandas as pd
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.data import load_table

HEAD = "user_id,item_id,rating,timestamp\n"


def csv_of(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows_of(dataset):
    log = dataset.interactions
    times = [None] * len(log) if log.timestamps is None else log.timestamps.tolist()
    ids = log.user_ids.id(log.users).tolist(), log.item_ids.id(log.items).tolist()
    return list(zip(*ids, log.ratings.tolist(), times, strict=True))


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        (HEAD + "3,b,5,10\n1,a,4.5,20\n", None, [(3, "b", 5, 10), (1, "a", 4.5, 20)]),
        ("Time,userId,MOVIEID,Rating\n10,3,7,5\n", None, [(3, 7, 5, 10)]),
        ("user,item,relevance,x\n3,7,0.5,9\n", None, [(3, 7, 0.5, None)]),
        ("user,item\n3,7\n4,7\n", None, [(3, 7, 1, None), (4, 7, 1, None)]),
        (
            "reader,book,stars,when\nann,7,2,2024-05-31\n",
            {"user": "reader", "item": "book", "rating": "stars", "timestamp": "when"},
            [("ann", 7, 2, 1717113600)],
        ),
        ("user;item;rating\n1;2;3\n", None, [(1, 2, 3, None)]),
        ("user\titem\trating\n1\t2\t3\n", None, [(1, 2, 3, None)]),
        ("\ufeffuser,item\r\n1,2\r\n", None, [(1, 2, 1, None)]),
        ('user,"item, its name",title\n1,2,"a ""b"",\nc"\n4,5,x\n', {"item": "item, its name"},
         [(1, 2, 1, None), (4, 5, 1, None)]),
        ("user,item\n007,1\n7,1\n", None, [("007", 1, 1, None), ("7", 1, 1, None)]),
        ("user,item,time\n1,2,1e9\n1,3,10.9\n", None, [(1, 2, 1, 10**9), (1, 3, 1, 10)]),
        ("user,item,time\n1,2,2024-05-31T00:00:10Z\n1,3,2024-05-31 02:00:00+02:00\n", None,
         [(1, 2, 1, 1717113610), (1, 3, 1, 1717113600)]),
        ("rating,user_id,user,item\n3,5,6,7\n", None, [(5, 7, 3, None)]),
    ],
)  # fmt: skip
def test_csv(tmp_path, text, columns, rows):
    assert rows_of(load_table(csv_of(tmp_path, text), columns)) == rows


BAD_CSV = [
    ("", "is empty"),
    (HEAD, "has no rows"),
    ("\n", "is empty"),
    ("196,242,3\n1,2,3\n", "line 1: no column for user (looked for user_id, userid, user); there are 196, "
     "242, 3. Map it: columns={'user': '196'}"),
    ("user,film\n1,2\n", "line 1: no column for item"),
    ("user,item,user\n1,2,3\n", "line 1: column 'user' occurs 2 times"),
    (HEAD + "1,2,3,4\n1,2,3\n", "line 3: expected 4 comma-separated fields (user_id, item_id, rating, "
     "timestamp), found 3: '1,2,3'. Correct or remove that line."),
    (HEAD + "1,2,3,4\n1,2,3,4,5\n", "line 3: expected 4 comma-separated fields"),
    (HEAD + "1,2,3,4\n\n1,2,good,4\n", "line 4: rating is 'good'; allowed: finite numbers"),
    (HEAD + "1,2,,4\n", "line 2: rating is empty"),
    (HEAD + "1,2,NaN,4\n", "line 2: rating is 'NaN'"),
    (HEAD + "1,2,inf,4\n", "line 2: rating is 'inf'"),
    (HEAD + "1,2,1e300,4\n", "line 2: rating is '1e300'; allowed: finite numbers"),
    (HEAD + "1,2,3,4\n,2,3,4\n", "line 3: user is empty; an id is wanted"),
    (HEAD + "1,nan,3,4\n", "line 2: item is 'nan'; an id is wanted"),
    (HEAD + "1,2,3,\n", "line 2: timestamp is empty"),
    (HEAD + "1,2,3,4\n1,2,3,soon\n", "line 3: timestamp is 'soon'"),
    (HEAD + "1,2,3,2024-05-31\n1,2,3,2024-13-31\n", "line 3: timestamp is '2024-13-31'; allowed: Unix"),
    (HEAD + "1,2,3,1717113600000\n", "line 2: timestamp is '1717113600000'; allowed: Unix seconds. Divide"),
    (HEAD + '1,"2\n3",3,4\n1,2,x,4\n', "line 4: rating is 'x'"),
    (HEAD + '1,"2,3,4\n', "line 2: cannot be split into cells"),
    (HEAD.encode() + b"1,2,3,4\n1,caf\xe9,3,4\n", "line 3: byte 0xe9 is not utf-8 text"),
    (b"us\xe9r,item\n1,2\n", "line 1: is not utf-8 text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fragment"), BAD_CSV)
def test_bad_csv(tmp_path, text, fragment):
    path = csv_of(tmp_path, text)
    with pytest.raises(DataError) as caught:
        load_table(path)
    assert str(caught.value).startswith(str(path))
    assert fragment in str(caught.value)


def test_mapping_that_fails(tmp_path):
    path = csv_of(tmp_path, "a,b\n1,2\n")
    with pytest.raises(DataError, match=r"line 1: no column 'c'; there are a, b\. Map it: columns=\{'item': 'a'\}"):
        load_table(path, {"user": "a", "item": "c"})
    with pytest.raises(InvalidInput, match="columns maps 'book'; allowed: user, item, rating, timestamp"):
        load_table(path, {"book": "a"})


def parquet_of(tmp_path, **columns):
    path = tmp_path / "log.parquet"
    pd.DataFrame(columns).to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ({"user": [3, 1], "item": ["b", "a"], "rating": [1.5, 2]}, [(3, "b", 1.5, None), (1, "a", 2, None)]),
        ({"user": ["12", "7"], "item": [1, 2]}, [(12, 1, 1, None), (7, 2, 1, None)]),
        ({"user": [1.0, 2.0], "item": [1, 2]}, [(1, 1, 1, None), (2, 2, 1, None)]),
        ({"user": pd.Categorical(["x", "y"]), "item": [1, 2]}, [("x", 1, 1, None), ("y", 2, 1, None)]),
        ({"user": [1], "item": [2], "response": [True]}, [(1, 2, 1, None)]),
        ({"user": [1], "item": [2], "time": pd.to_datetime(["2024-05-31 00:00:10"])},
         [(1, 2, 1, 1717113610)]),
        ({"user": [1], "item": [2], "time": pd.DatetimeIndex(["2024-05-31 02:00"], tz="Europe/Berlin")},
         [(1, 2, 1, 1717113600)]),
        ({"user": [1], "item": [2], "time": ["2024-05-31"]}, [(1, 2, 1, 1717113600)]),
    ],
)  # fmt: skip
def test_parquet(tmp_path, columns, rows):
    assert rows_of(load_table(parquet_of(tmp_path, **columns))) == rows


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ({"user": [1, None], "item": [1, 2]}, "row 2: user is empty; an id is wanted"),
        ({"user": [1, 2], "item": ["a", None]}, "row 2: item is empty"),
        ({"user": [1, 1.5], "item": [1, 2]}, "row 2: user is 1.5; an id is wanted: an integer or a string"),
        ({"user": [1], "item": [1], "rating": [np.nan]}, "row 1: rating is empty; allowed: finite numbers"),
        ({"user": [1], "item": [1], "rating": ["x"]}, "row 1: rating is 'x'"),
        ({"user": [1], "film": [1]}, "no column for item (looked for item_id"),
        ({"user": [], "item": []}, "has no rows"),
        (
            {"user": [1, 2], "item": [1, 2], "time": pd.to_datetime(["2024-05-31", None])},
            "row 2: timestamp is empty",
        ),
    ],
)
def test_bad_parquet(tmp_path, columns, fragment):
    path = parquet_of(tmp_path, **columns)
    with pytest.raises(DataError) as caught:
        load_table(path)
    assert str(caught.value).startswith(str(path))
    assert fragment in str(caught.value)


def test_broken_parquet(tmp_path):
    path = parquet_of(tmp_path, user=list(range(1000)), item=list(range(1000)))
    sound = path.read_bytes()
    for content in (b"", b"PAR1", sound[: len(sound) // 2], sound[100:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no sound Parquet file") as caught:
            load_table(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("ratings", "positive", "threshold", "how"),
    [
        ((0, 1), None, 1, "chosen by the range of the ratings"),
        ((0, 5), None, 4, "chosen by the range of the ratings"),
        ((-1, 1), None, 4, "chosen by the range of the ratings"),
        ((0, 1), 0.5, 0.5, "set by the caller"),
    ],
)
def test_what_counts_as_a_click(tmp_path, ratings, positive, threshold, how):
    text = "user,item,rating\n" + "".join(f"1,{k},{rating}\n" for k, rating in enumerate(ratings))
    dataset = load_table(csv_of(tmp_path, text), positive=positive)
    assert dataset.positive == threshold
    assert f"a rating >= {threshold:g} counts as a click ({how})" in dataset.source


def test_numbers_follow_the_sorted_ids_and_not_the_order_of_rows(tmp_path):
    forth = load_table(csv_of(tmp_path, "user,item\n10,b\n9,a\n"))
    back = load_table(csv_of(tmp_path, "user,item\n9,a\n10,b\n"))
    assert forth.interactions.user_ids.ids.tolist() == back.interactions.user_ids.ids.tolist() == [9, 10]
    assert forth.items.labels == ("a", "b")


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataNotFound, match=r"nowhere\.csv is not there"):
        load_table(tmp_path / "nowhere.csv")
    (tmp_path / "log.xlsx").write_text("x")
    with pytest.raises(DataError, match=re.escape("ends in '.xlsx'; allowed: .csv, .parquet")):
        load_table(tmp_path / "log.xlsx")


def test_csv_and_parquet_agree_on_many_rows(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "user": rng.integers(0, 300, 5000), "item": rng.choice(["x", "yy", "z 1", "ä"], 5000),
            "rating": rng.random(5000).round(3), "time": rng.integers(0, 10**9, 5000),
        }
    )  # fmt: skip
    table.to_csv(tmp_path / "log.csv", index=False)
    table.to_parquet(tmp_path / "log.parquet")
    one, other = (load_table(tmp_path / name) for name in ("log.csv", "log.parquet"))
    assert one.digest() == other.digest()
    assert rows_of(one)[:50] == [(u, i, pytest.approx(r), t) for u, i, r, t in table[:50].itertuples(index=False)]


def test_a_column_cannot_stand_for_two(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("reader,book\n1,2\n")
    with pytest.raises(InvalidInput, match="maps two of ours to 'reader'"):
        load_table(path, {"user": "reader", "item": "reader"})
