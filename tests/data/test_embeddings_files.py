import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.data import Vocabulary, load_table
from smartrec.data.embeddings import ItemEmbedder, ItemTable, embed, read_items, read_vectors, write_vectors

ITEMS = """sku;name;genres;price;pages;used;shelf
007;The first book about sailors;sea|war;9.5;100;True;A
8;A book of pilots;air|war;;300;False;B
x;Sailors again;sea;12;;True;A
"""


def write(folder, name="items.csv", text=ITEMS):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_columns_are_taken_by_what_they_hold(tmp_path):
    table = read_items(write(tmp_path), item="sku", categories=["genres"])
    assert table.ids.ids.tolist() == ["007", "8", "x"]
    assert table.texts[1] == "A book of pilots B"  # a shelf with few rows is taken for text, unless named
    assert table.categories == {
        "genres": (("sea", "war"), ("air", "war"), ("sea",)),
        "used": (("True",), ("False",), ("True",)),
    }
    np.testing.assert_array_equal(table.numbers["price"], [9.5, np.nan, 12])
    np.testing.assert_array_equal(table.numbers["pages"], [100, 300, np.nan])
    assert set(table.numbers) == {"price", "pages"}


def test_named_columns_are_taken_as_named(tmp_path):
    table = read_items(write(tmp_path), "sku", texts=["genres"], categories=["shelf", "pages"], numbers=["price"])
    assert table.texts[0] == "The first book about sailors sea|war"
    assert table.categories["shelf"] == (("A",), ("B",), ("A",))
    assert table.categories["pages"] == (("100.0",), ("300.0",), ())


def test_values_that_repeat_are_categories(tmp_path):
    rows = [f"{k},{'red' if k % 2 else 'blue'},{'a|b' if k % 3 else 'b|c'},word{k}" for k in range(60)]
    table = read_items(write(tmp_path, text="item_id,colour,tags,name\n" + "\n".join(rows)))
    assert table.ids.ids.dtype == np.int64
    assert set(table.categories) == {"colour", "tags"}
    assert table.categories["tags"][:2] == (("b", "c"), ("a", "b"))
    assert table.texts[7] == "word7"


def test_lists_of_a_parquet_file_are_categories(tmp_path):
    pd.DataFrame({"id": [3, 4], "tags": [["a", "b"], []], "n": [1.0, None]}).to_parquet(tmp_path / "items.parquet")
    table = read_items(tmp_path / "items.parquet")
    assert table.ids.ids.tolist() == [3, 4]
    assert table.categories == {"tags": (("a", "b"), ())}
    np.testing.assert_array_equal(table.numbers["n"], [1, np.nan])


def test_a_log_and_a_table_of_ones_own_make_vectors_by_one_call(tmp_path):
    rng = np.random.default_rng(0)
    kinds = np.arange(30) % 3
    names = [("harbour island", "pilot cloud", "tea garden")[kind] for kind in kinds]
    pd.DataFrame({"item": range(30), "name": names, "size": rng.normal(size=30)}).to_csv(tmp_path / "items.csv")
    user, item = np.nonzero(rng.random((50, 30)) < 0.3)
    pd.DataFrame({"user": user, "item": item}).to_csv(tmp_path / "log.csv")
    assert set(read_items(tmp_path / "items.csv").numbers) == {"size"}  # not the index, which has no name
    made = embed(tmp_path / "log.csv", 16, items=tmp_path / "items.csv", blocks=("categories", "numbers"))
    assert made.used["categories"] == 2  # three names that repeat are three values
    nearest = np.linalg.norm(made.vectors[:, None] - made.vectors[None], axis=-1) + 1e9 * np.eye(30)
    assert (kinds[nearest.argmin(axis=1)] == kinds).mean() > 0.9


@pytest.mark.parametrize(
    ("text", "options", "kind", "message"),
    [
        ("a,b\n1,2\n", {}, DataError, "no column of ids .looked for item_id"),
        ("a,b\n1,2\n", {"item": "c"}, DataError, "no column 'c'; there are a, b"),
        ("id,b\n1,2\n1,3\n", {}, DataError, "has id '1' twice"),
        ("id,b\n1,2\n,3\n", {}, DataError, "row 2: id is empty"),
        ("id,b\n1,2\n", {"texts": ["c"]}, InvalidInput, "no column 'c'"),
        ("id,b\n1,2\n2,many\n", {"numbers": ["b"]}, DataError, "row 2: b is 'many'"),
        ("id,b\n1,2\n2,3,4\n", {}, DataError, "cannot be read as a table"),
        ("", {}, DataError, "is empty"),
    ],
)
def test_bad_tables(tmp_path, text, options, kind, message):
    with pytest.raises(kind, match=message):
        read_items(write(tmp_path, text=text), **options)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DataNotFound, match="is not there"):
        read_items(tmp_path / "items.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_items(tmp_path / "bad.parquet")


@pytest.mark.parametrize("ids", [[5, 1, 20], ["b/1", "file", "007"]])
def test_vectors_come_back_bit_by_bit(tmp_path, ids):
    vectors = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
    write_vectors(tmp_path / "vectors.npz", Vocabulary(ids), vectors)
    again = read_vectors(tmp_path / "vectors.npz")
    assert again.ids.ids.tolist() == ids
    np.testing.assert_array_equal(again.vectors, vectors)
    np.testing.assert_array_equal(again.of(Vocabulary(ids[::-1])), vectors[::-1])


def test_numpy_reads_what_is_written_as_a_mapping(tmp_path):
    write_vectors(tmp_path / "vectors.npz", Vocabulary([5, 1]), np.eye(2, dtype=np.float32))
    with np.load(tmp_path / "vectors.npz") as mapping:
        assert {key: mapping[key].tolist() for key in mapping} == {"5": [1, 0], "1": [0, 1]}


def test_a_mapping_that_numpy_wrote_is_read(tmp_path):
    np.savez(tmp_path / "vectors.npz", **{"296": np.array([1.0, 2]), "1": np.array([[3.0, 4]])})
    found = read_vectors(tmp_path / "vectors.npz")
    assert (found.ids.ids.tolist(), found.vectors.tolist()) == ([296, 1], [[1, 2], [3, 4]])


def test_the_file_of_an_embedder_holds_vectors_as_well(tmp_path):
    table = ItemTable(Vocabulary([7, 8, 9]), ("",) * 3, {}, {"a": np.array([0.0, 1, 5]), "b": np.array([2.0, 0, 1])})
    log = load_table(write(tmp_path, "log.csv", "user,item\n1,7\n1,8\n1,9\n")).interactions
    embedder = ItemEmbedder(("numbers",)).fit_table(table, log)
    embedder.save(tmp_path / "items.npz")
    found = read_vectors(tmp_path / "items.npz")
    np.testing.assert_array_equal(found.of(Vocabulary([8])), embedder.vectors[[1]])


def test_a_torch_file_of_tensors_is_read_without_running_code(tmp_path):
    import torch

    torch.save({1: torch.tensor([1.0, 2]), 296: torch.tensor([3.0, 4], dtype=torch.float64)}, tmp_path / "v.pt")
    found = read_vectors(tmp_path / "v.pt")
    assert (found.ids.ids.tolist(), found.vectors.tolist()) == ([1, 296], [[1, 2], [3, 4]])


class Bomb:
    def __reduce__(self):
        return (open, ("/nowhere/at/all", "w"))


@pytest.mark.parametrize("name", ["items.pkl", "items.pt", "items.npz", "items.pickle"])
def test_pickles_are_refused_and_run_nothing(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps({1: Bomb()}))
    with pytest.raises(DataError, match="pickle"):
        read_vectors(tmp_path / name)


def test_arrays_of_objects_are_refused(tmp_path):
    np.savez(tmp_path / "v.npz", **{"1": np.array([Bomb()], object)})
    with pytest.raises(DataError, match="without pickle"):
        read_vectors(tmp_path / "v.npz")


def test_bad_vectors(tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, **{"1": np.zeros(2), "2": np.zeros(3)})
    with pytest.raises(DataError, match=r"lengths \[2, 3\]"):
        read_vectors(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(DataError, match="one or more"):
        read_vectors(path)
    with pytest.raises(DataNotFound, match="is not there"):
        read_vectors(tmp_path / "none.npz")
    with pytest.raises(InvalidInput, match="vector of item 8 has NaN"):
        write_vectors(tmp_path / "new.npz", Vocabulary([7, 8]), np.array([[1], [np.nan]], np.float32))
    with pytest.raises(InvalidInput, match="one row an id"):
        write_vectors(tmp_path / "new.npz", Vocabulary([7, 8]), np.ones((3, 2), np.float32))
    assert not (tmp_path / "new.npz").exists()


def test_an_item_without_a_vector_is_named(tmp_path):
    write_vectors(tmp_path / "v.npz", Vocabulary([7, 8]), np.ones((2, 2), np.float32))
    with pytest.raises(InvalidInput, match="item 9 has no vector, one of 2 of 3 items"):
        read_vectors(tmp_path / "v.npz").of(Vocabulary([7, 9, 10]))
