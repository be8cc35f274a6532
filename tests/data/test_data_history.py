"""One person's ratings: whatever form they come in, the same history."""

import numpy as np
import pandas as pd
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.data.history import read_history

SCALE = (0.5, 5.0)
ROWS = [(50, 4.0, 300), (7, 0.5, 100), (1193, 5, 200)]
SORTED = (("7", "1193", "50"), [0.5, 5.0, 4.0])


def read(source, **options):
    found = read_history(source, SCALE, **options)
    return found.ids, found.ratings.tolist()


def written(folder, text, name="ratings.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_files_tables_and_lists_say_the_same_oldest_first(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["movieId", "rating", "timestamp"])
    frame.to_parquet(tmp_path / "ratings.parquet")
    frame.to_csv(tmp_path / "ratings.csv", index=False)
    own = frame.rename(columns={"movieId": "book", "rating": "stars", "timestamp": "when"})
    columns = {"item": "book", "rating": "stars", "timestamp": "when"}
    dated = frame.assign(timestamp=pd.to_datetime(frame.timestamp, unit="s"))
    for source in (ROWS, frame, tmp_path / "ratings.parquet", str(tmp_path / "ratings.csv"), dated):
        assert read(source) == SORTED
    assert read(own, columns=columns) == SORTED


def test_without_times_and_at_equal_times_the_order_stays():
    assert read([(3, 1), (1, 2), (2, 3)])[0] == ("3", "1", "2")
    assert read([(3, 1, 9), (1, 2, 5), (2, 3, 9)])[0] == ("1", "3", "2")


def test_ids_are_compared_as_written():
    assert read([(7, 1), ("tt012", 1), ("007", 1)])[0] == ("7", "tt012", "007")
    assert read(pd.DataFrame({"item": [7.0, 8.0], "rating": [1, 2]}))[0] == ("7", "8")
    assert read([(7.0, 1), ("6", 4.5), (np.float32(5), 2)]) == (("7", "6", "5"), [1.0, 4.5, 2.0])


def test_whole_numbers_that_all_have_a_point_are_whole_numbers(tmp_path):
    path = written(tmp_path, "userId,movieId,rating\n1.0,50.0,3\n1.0,172.0,4\n2.0,7.0,5\n")
    assert read(path, user=1) == (("50", "172"), [3.0, 4.0])
    assert read(written(tmp_path, "movieId,rating\n1.0,3\n1.10,4\n"))[0] == ("1.0", "1.10")  # versions, not numbers


def test_columns_may_be_numbered():
    assert read(pd.DataFrame([[1, 5.0]]), columns={"item": "0", "rating": "1"}) == (("1",), [5.0])


def test_one_of_many_users_is_named(tmp_path):
    path = written(tmp_path, "userId,movieId,rating\n1,10,3\n2,20,4\n1,30,5\n2,40,9\n")
    assert read(path, user=1) == (("10", "30"), [3.0, 5.0])  # the rating off the scale is another user's
    with pytest.raises(DataError, match="2 users; name one by user='1'"):
        read(path)
    with pytest.raises(InvalidInput, match="no ratings of user 3; it has those of 2"):
        read(path, user="3")
    with pytest.raises(DataError, match="no column for user"):
        read(ROWS, user=1)


def test_a_rating_off_the_scale_is_named_with_its_row(tmp_path):
    path = written(tmp_path, "item,rating\n10,3\n20,5.5\n30,0\n")
    with pytest.raises(DataError, match=r"ratings\.csv, line 3: rating is '5\.5'; allowed: 0\.5 to 5"):
        read(path)
    with pytest.raises(DataError, match=r"history, row 2: rating is 0; allowed: 0\.5 to 5"):
        read([(10, 3), (20, 0)])


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        ([], InvalidInput, "history is empty"),
        ([(1, 2), (1, 2, 3)], InvalidInput, r"holds \(1, 2\); allowed"),
        ([(1, 2), 5], InvalidInput, "holds 5; allowed"),
        (["ab"], InvalidInput, "holds 'ab'; allowed"),
        ([(1, 2), "ab"], InvalidInput, "holds 'ab'; allowed"),
        ([(1,)], InvalidInput, r"holds \(1,\); allowed"),
        (7, InvalidInput, "holds 7; allowed"),
        ([(1, "good")], DataError, "row 1: rating is 'good'; allowed: finite numbers"),
        ([(1, float("nan"))], DataError, "row 1: rating is empty"),
        ([(1, 2), (None, 3)], DataError, "row 2: item is empty"),
        (pd.DataFrame({"item": [1]}), DataError, "no column for rating"),
        ("nowhere.csv", DataNotFound, "nowhere.csv is not there"),
    ],
)
def test_what_cannot_be_a_history_is_refused(source, error, match):
    with pytest.raises(error, match=match):
        read(source)
