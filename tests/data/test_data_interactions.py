import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smartrec.core.errors import InvalidInput
from smartrec.data import Catalogue, Dataset, Interactions, Vocabulary


def log_of(users, items, ratings, times=None):
    return Interactions(
        np.array(users, int), np.array(items, int), np.array(ratings, float),
        None if times is None else np.array(times), Vocabulary(range(3)), Vocabulary("abcd"),
    )  # fmt: skip


def dataset_of(log, positive=4.0):
    users, items = (Catalogue.without_features(ids) for ids in (log.user_ids, log.item_ids))
    return Dataset("tiny", log, users, items, "by hand", positive)


INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), unique=True)
STRINGS = st.lists(st.text(), unique=True)


@given(ids=st.one_of(INTEGERS, STRINGS), data=st.data())
def test_vocabulary_round_trip(ids, data):
    vocabulary = Vocabulary(ids)
    assert vocabulary.numbers(ids).tolist() == list(range(len(ids)))
    assert vocabulary.id(np.arange(len(ids))).tolist() == ids
    if ids:
        asked = data.draw(st.lists(st.sampled_from(ids), min_size=1))
        assert vocabulary.id(vocabulary.numbers(asked)).tolist() == asked
        number = data.draw(st.integers(0, len(ids) - 1))
        assert vocabulary.id(number) == ids[number]


@given(ids=INTEGERS, other=st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_vocabulary_finds_what_it_has_and_nothing_else(ids, other):
    place = {name: number for number, name in enumerate(ids)}
    assert Vocabulary(ids).find(other).tolist() == [place.get(name, -1) for name in other]


@given(
    ids=st.lists(st.integers(-5, 30), unique=True),
    other=st.lists(st.integers(-40, 60), min_size=40),
)
def test_vocabulary_finds_many_rows_of_few_ids(ids, other):
    place = {name: number for number, name in enumerate(ids)}
    assert Vocabulary(ids).find(other).tolist() == [place.get(name, -1) for name in other]


def test_vocabulary_survives_pickle():
    copy = pickle.loads(pickle.dumps(Vocabulary(["x", "y"])))
    assert copy.numbers(["y", "x"]).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("ids", "fragment"),
    [
        ([1, 2, 1], "id 1 occurs twice"),
        (["a", "b", "a"], "id 'a' occurs twice"),
        ([1, "a"], "all integers or all strings"),
        ([1.5, 2.0], "type float64"),
        ([True, False], "type bool"),
        (np.zeros((2, 2), int), "shape (2, 2)"),
    ],
)
def test_bad_ids(ids, fragment):
    with pytest.raises(InvalidInput) as caught:
        Vocabulary(ids)
    assert fragment in str(caught.value)


def test_unknown_ids_are_named_and_counted():
    with pytest.raises(InvalidInput, match=r"id 9 is unknown, one of 2 unknown among 3 ids; there are 2"):
        Vocabulary([7, 8]).numbers([8, 9, 10])
    with pytest.raises(InvalidInput, match=r"id 7 is unknown.*as strings"):
        Vocabulary(["7", "8"]).numbers([7])
    with pytest.raises(InvalidInput, match=r"number 2 has no id; allowed: 0..1"):
        Vocabulary([7, 8]).id([0, 2])


@pytest.mark.parametrize(
    ("users", "items", "ratings", "times", "fragment"),
    [
        ([0, 3], [0, 1], [1, 1], None, "users has number 3; allowed: 0..2"),
        ([0, 1], [0, -1], [1, 1], None, "items has number -1; allowed: 0..3"),
        ([0, 1], [0], [1, 1], None, "items is int64 (1,); allowed: integers of shape (2,)"),
        ([0, 1], [0, 1], [1], None, "ratings has shape (1,)"),
        ([0, 1], [0, 1], [1, np.nan], None, "ratings[1] is nan"),
        ([0, 1], [0, 1], [1, np.inf], None, "ratings[1] is inf"),
        ([0, 1], [0, 1], [1, 1], [5.0, np.nan], "timestamps[1] is nan"),
        ([0, 1], [0, 1], [1, 1], [5], "timestamps has shape (1,)"),
    ],
)
def test_bad_interactions(users, items, ratings, times, fragment):
    with pytest.raises(InvalidInput) as caught:
        log_of(users, items, ratings, times)
    assert fragment in str(caught.value)


def test_columns_have_their_types():
    log = log_of([0, 1], [2, 3], [1, 0], [10, 20])
    types = [array.dtype for array in (log.users, log.items, log.ratings, log.timestamps)]
    assert types == [np.int32, np.int32, np.float32, np.int64]
    assert (len(log), log.n_users, log.n_items) == (2, 3, 4)


def test_positive_takes_the_threshold_in():
    assert log_of([0, 1, 2], [0, 0, 0], [3.5, 4, 4.5]).positive(4).tolist() == [False, True, True]


def test_repeats_and_the_last_of_each_pair_by_time():
    log = log_of([0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 2, 3, 4, 5], [30, 10, 20, 5, 10])
    assert log.repeats() == 2
    last = log.last_of_pairs()
    # Pair (0, 0): the row of time 30 though it stands first; pair (1, 0): equal times, so the later row.
    assert last.ratings.tolist() == [1, 4, 5]
    assert last.repeats() == 0


def test_the_last_of_each_pair_by_file_order():
    assert log_of([0, 0, 0], [1, 2, 1], [1, 2, 3]).last_of_pairs().ratings.tolist() == [2, 3]
    assert len(log_of([], [], []).last_of_pairs()) == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)), max_size=30))
def test_the_last_of_pairs_is_what_a_dictionary_keeps(rows):
    log = log_of(*([row[k] for row in rows] for k in (0, 1)), range(len(rows)), [row[2] for row in rows])
    kept = {}
    for number, (user, item, _) in sorted(enumerate(rows), key=lambda row: row[1][2]):
        kept[user, item] = number
    assert log.last_of_pairs().ratings.tolist() == sorted(kept.values())


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.floats(0.05, 0.95))
def test_split_by_time_keeps_the_past_before_the_cut(times, share):
    log = log_of([0] * len(times), [0] * len(times), range(len(times)), times)
    try:
        train, test = log.split_by_time(share)
    except InvalidInput as error:
        assume("leaves nothing" not in str(error))
        raise
    assert train.timestamps.max() < test.timestamps.min()
    assert sorted([*train.ratings, *test.ratings]) == list(range(len(times)))
    assert len(test) >= round(share * len(times))


def test_split_by_time_exact():
    train, test = log_of([0] * 5, [0, 1, 2, 3, 0], range(5), [50, 10, 40, 20, 30]).split_by_time(0.4)
    assert (train.ratings.tolist(), test.ratings.tolist()) == ([1, 3, 4], [0, 2])
    assert train.item_ids is test.item_ids


@pytest.mark.parametrize(
    ("times", "share", "fragment"),
    [
        (None, 0.5, "needs timestamps"),
        ([1, 2], 0.0, "test_share = 0.0; allowed"),
        ([1, 2], 1.0, "test_share = 1.0; allowed"),
        ([1, 2], 0.1, "leaves nothing in test"),
        ([7, 7], 0.5, "leaves nothing in train"),
    ],
)
def test_bad_splits(times, share, fragment):
    with pytest.raises(InvalidInput) as caught:
        log_of([0, 1], [0, 1], [1, 1], times).split_by_time(share)
    assert fragment in str(caught.value)


def test_most_rated_breaks_ties_by_number():
    log = log_of([0, 1, 2, 0, 1, 2], [3, 3, 1, 0, 2, 2], [1] * 6)
    assert log.most_rated(4).tolist() == [2, 3, 0, 1]
    with pytest.raises(InvalidInput, match=r"n = 5 items asked for; allowed: 1\.\.4"):
        log.most_rated(5)


@pytest.mark.parametrize(
    ("labels", "names", "features", "fragment"),
    [
        (("x",), (), np.empty((2, 0)), "1 labels for 2 ids"),
        (("x", "y"), ("a", "a"), np.zeros((2, 2)), "feature name 'a' occurs twice"),
        (("x", "y"), ("a",), np.zeros((2, 2)), "features has shape (2, 2)"),
        (("x", "y"), ("a",), np.array([[0], [np.nan]]), "features[1, 0] is nan"),
    ],
)
def test_bad_catalogues(labels, names, features, fragment):
    with pytest.raises(InvalidInput) as caught:
        Catalogue(Vocabulary([1, 2]), labels, names, features)
    assert fragment in str(caught.value)


def test_a_dataset_wants_catalogues_on_its_own_ids():
    log = log_of([0], [0], [1])
    other = Catalogue.without_features(Vocabulary([2, 1, 0]))
    with pytest.raises(InvalidInput, match="catalogue of users"):
        Dataset("x", log, other, Catalogue.without_features(log.item_ids), "by hand", 4.0)


def test_describe():
    rows = dict(dataset_of(log_of([0, 0, 1], [0, 0, 1], [3, 4.5, 4.5], [0, 86400, 5])).describe())
    assert rows["users"] == "3 (2 with ratings)"
    assert rows["items"] == "4 (2 with ratings)"
    assert rows["density"] == "25.00%"
    assert rows["pairs that repeat"] == "1"
    assert rows["time span"] == "1970-01-01 to 1970-01-02"
    assert (rows["rating 3"], rows["rating 4.5"]) == ("1", "2")
    assert rows["clicks (rating >= 4)"] == "66.7%"
    assert rows["user features"] == "none"


def test_describe_lists_quartiles_where_values_are_many():
    log = log_of([0] * 101, [0] * 101, range(101))
    marks = [what for what, _ in dataset_of(log).describe() if what.startswith("rating ")]
    assert marks == ["rating 0", "rating 25", "rating 50", "rating 75", "rating 100"]


def test_digest_changes_with_every_part_and_with_nothing_else():
    base = log_of([0, 1], [0, 1], [1, 5], [10, 20])
    same = log_of([0, 1], [0, 1], [1, 5], [10, 20])
    changed = [
        dataset_of(log_of([0, 2], [0, 1], [1, 5], [10, 20])),
        dataset_of(log_of([0, 1], [0, 2], [1, 5], [10, 20])),
        dataset_of(log_of([0, 1], [0, 1], [1, 4], [10, 20])),
        dataset_of(log_of([0, 1], [0, 1], [1, 5], [10, 21])),
        dataset_of(log_of([0, 1], [0, 1], [1, 5])),
        dataset_of(base, positive=5.0),
    ]
    digest = dataset_of(base).digest()
    assert dataset_of(same).digest() == digest
    assert len(digest) == 12
    assert len({digest, *(dataset.digest() for dataset in changed)}) == len(changed) + 1


def test_digest_is_the_same_on_every_machine():
    assert dataset_of(log_of([0, 1], [0, 1], [1, 5], [10, 20])).digest() == "d164f7a1debf"
