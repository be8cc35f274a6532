import json

import numpy as np
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput
from smartrec.data import Catalogue, Dataset, Interactions, Vocabulary
from smartrec.data.embeddings import BLOCKS, CategoryBlock, FactorBlock, ItemEmbedder, ItemTable, TextBlock, embed
from smartrec.data.embeddings.embedder import table_for

CONTENT = ("text", "categories", "numbers")
SEA, AIR = ("harbour", "island", "sailor", "storm"), ("pilot", "cloud", "rocket", "wings")


def make(n=40, ids=None, users=30, seed=0):
    """Half of the items are about the sea, half about the air, in every column, and each user likes one half."""
    rng = np.random.default_rng(seed)
    half = np.arange(n) % 2
    words = [" ".join(rng.choice(AIR if side else SEA, 3)) for side in half]
    years = rng.normal(0, 1, n) + half
    features = np.column_stack([half == 0, half == 1, years]).astype(np.float32)
    vocabulary = Vocabulary(range(100, 100 + n) if ids is None else ids)
    catalogue = Catalogue(vocabulary, tuple(words), ("kind_sea", "kind_air", "year"), features)
    likes = (half[None] == (np.arange(users) % 2)[:, None]) & (rng.random((users, n)) < 0.6)
    user, item = np.nonzero(likes)
    people = Vocabulary(range(users))
    log = Interactions(user, item, rng.integers(1, 6, len(user)), None, people, vocabulary)
    return Dataset("sea-and-air", log, Catalogue.without_features(people), catalogue, "made", 4.0)


def test_the_axes_are_those_of_a_principal_component_analysis():
    from sklearn.decomposition import PCA

    dataset = make()
    embedder = ItemEmbedder(size=6).fit(dataset)
    table, before = table_for(dataset, None), np.empty((40, 0))
    for block in embedder.blocks[:3]:
        before = np.hstack([before, block.scaled(block.transform(table, before))])
    factors = FactorBlock()
    raw = factors.fit(table, dataset.interactions, before, np.random.default_rng(0))
    oracle = PCA(6).fit(np.hstack([before, factors.settle(raw, 1.0)]))
    np.testing.assert_allclose(embedder.explained, oracle.explained_variance_ratio_, rtol=1e-6)
    assert (np.diff(embedder.explained) <= 0).all()
    assert np.square(embedder.vectors).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(embedder.vectors.mean(axis=0), 0, atol=1e-5)
    spread = embedder.vectors.var(axis=0)
    np.testing.assert_allclose(spread / spread[0], embedder.explained / embedder.explained[0], rtol=1e-4)


def test_each_block_brings_its_share_of_variance_whatever_its_unit():
    dataset = make()
    table = table_for(dataset, None)
    far = ItemTable(table.ids, table.texts, table.categories, {"year": table.numbers["year"] * 1000 + 5})
    embedder = ItemEmbedder(CONTENT, size=99)
    one, other = (embedder.fit_table(t, dataset.interactions).vectors for t in (table, far))
    np.testing.assert_allclose(one, other, atol=1e-4)
    for block, share in zip(embedder.blocks, (1, 1, 0.25), strict=True):
        columns = block.scaled(block.transform(far, np.empty((40, 0))))
        assert columns.var(axis=0).sum() == pytest.approx(share)


def test_what_was_in_the_fit_gets_its_row_again():
    dataset = make()
    embedder = ItemEmbedder(CONTENT).fit(dataset)
    table = table_for(dataset, None)
    np.testing.assert_allclose(embedder.transform(table), embedder.vectors, atol=1e-5)
    one = table.rows(Vocabulary([117]))
    np.testing.assert_allclose(embedder.transform(one), embedder.vectors[[17]], atol=1e-5)


def test_a_new_item_lies_where_it_would_have_been_in_the_fit():
    """Leave one out, compared by distances, since axes turn when an item is added."""
    dataset = make()
    table, log = table_for(dataset, None), dataset.interactions
    whole = ItemEmbedder(CONTENT).fit(dataset).vectors
    distances = np.linalg.norm(whole - whole[7], axis=1)
    others = np.delete(np.arange(40), 7)
    ids = Vocabulary(dataset.items.ids.ids[others])
    rows = log.items != 7
    items = np.searchsorted(others, log.items[rows])
    rest = Interactions(log.users[rows], items, log.ratings[rows], None, log.user_ids, ids)
    without = ItemEmbedder(CONTENT).fit_table(table.rows(ids), rest)
    new = without.transform(table.rows(Vocabulary([107])))
    assert np.corrcoef(np.linalg.norm(without.vectors - new, axis=1), distances[others])[0, 1] > 0.99


def test_factors_of_a_new_item_are_predicted_and_so_it_differs_from_its_row():
    dataset = make()
    embedder = ItemEmbedder().fit(dataset)
    found = embedder.transform(table_for(dataset, None))
    assert not np.allclose(found, embedder.vectors, atol=1e-3)
    cosine = (found * embedder.vectors).sum(axis=1)
    cosine /= np.linalg.norm(found, axis=1) * np.linalg.norm(embedder.vectors, axis=1)
    assert np.median(cosine) > 0.6
    half = np.arange(40) % 2
    nearest = np.linalg.norm(found[:, None] - embedder.vectors[None], axis=-1) + 1e9 * np.eye(40)
    assert (half[nearest.argmin(axis=1)] == half).mean() > 0.95


def test_a_small_catalogue_has_shorter_vectors():
    embedder = ItemEmbedder(("categories", "numbers"), size=128).fit(make())
    assert embedder.vectors.shape == (40, 2)  # two kinds are one axis, the year another
    assert embedder.explained.sum() == pytest.approx(1)
    assert embedder.used == {"categories": 1, "numbers": 1}


@pytest.mark.parametrize("ids", [None, [f"film {k}" for k in range(40)]])
def test_saved_and_loaded_it_is_the_same(tmp_path, ids):
    dataset = make(ids=ids)
    embedder = ItemEmbedder((TextBlock(size=3), CategoryBlock(min_count=2), "numbers", "factors"), 7, 3).fit(dataset)
    embedder.save(tmp_path / "items.npz")
    again = ItemEmbedder.load(tmp_path / "items.npz")
    assert again.config() == embedder.config()
    assert again.ids.ids.tolist() == dataset.items.ids.ids.tolist()
    assert again.used == embedder.used
    np.testing.assert_array_equal(again.vectors, embedder.vectors)
    np.testing.assert_array_equal(again.explained, embedder.explained)
    new = ItemTable(Vocabulary([1]), ("a pilot in a storm",), {"kind": (("air",),)}, {"year": np.array([np.nan])})
    np.testing.assert_array_equal(again.transform(new), embedder.transform(new))
    embedder.save(tmp_path / "items.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "items.npy", allow_pickle=False), embedder.vectors)


def test_the_same_seed_gives_the_same_vectors():
    one, other = (ItemEmbedder(seed=5).fit(make()).vectors for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_embed_fits_once_and_again_where_anything_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path))
    dataset = make()
    first, again = embed(dataset, 5), embed(dataset, 5)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    np.testing.assert_array_equal(first.transform(table_for(dataset, None)), again.transform(table_for(dataset, None)))
    assert capsys.readouterr().err == f"fitting item vectors of sea-and-air (once; kept in {tmp_path})\n"
    titles = Catalogue(dataset.items.ids, ("x y",) * 40, dataset.items.feature_names, dataset.items.features)
    other = Dataset("sea-and-air", dataset.interactions, dataset.users, titles, "made", 4.0)
    for change in (lambda: embed(other, 5), lambda: embed(dataset, 4), lambda: embed(dataset, 5, blocks=CONTENT)):
        change()
        assert "fitting" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 4


def test_more_about_the_items_is_joined_to_the_catalogue():
    dataset = make(4)
    more = ItemTable(
        Vocabulary([103, 7]), ("deep", "x"), {"kind": (("air", "night"), ())}, {"year": np.array([9, 1.0])}
    )
    table = table_for(dataset, more)
    assert table.texts[0] == dataset.items.labels[0]
    assert table.texts[3] == f"{dataset.items.labels[3]} deep"
    assert table.categories["kind"] == (("sea",), ("air",), ("sea",), ("air", "night"))
    np.testing.assert_array_equal(table.numbers["year"], [*dataset.items.features[:3, 2], 9])


def test_labels_that_are_ids_say_nothing_and_years_are_no_words():
    ids = Vocabulary([1, 2])
    table = ItemTable.of_catalogue(Catalogue(ids, ("1", "Alien (1979)"), (), np.empty((2, 0))))
    assert table.texts == ("", "Alien")


def test_columns_of_a_catalogue_are_taken_by_kind():
    names, features = ("is_new", "kind_a", "kind_b", "size_cm"), [[1, 1, 0, 7], [0, 1, 1, 9]]
    catalogue = Catalogue(Vocabulary([1, 2]), ("1", "2"), names, np.array(features, np.float32))
    table = ItemTable.of_catalogue(catalogue)
    assert table.categories == {"kind": (("a",), ("a", "b"))}
    assert {name: values.tolist() for name, values in table.numbers.items()} == {"is_new": [1, 0], "size_cm": [7, 9]}


def test_no_new_items_are_no_vectors():
    embedder = ItemEmbedder(size=5).fit(make())
    assert embedder.transform(table_for(make(), None).rows(Vocabulary([]))).shape == (0, 5)


def test_a_log_alone_gives_factors():
    dataset = make()
    bare = Dataset("bare", dataset.interactions, dataset.users, Catalogue.without_features(dataset.items.ids), "", 4.0)
    embedder = embed(bare, 8)
    assert embedder.used == {"text": 0, "categories": 0, "numbers": 0, "factors": 30}
    half = np.arange(40) % 2
    nearest = np.linalg.norm(embedder.vectors[:, None] - embedder.vectors[None], axis=-1) + 1e9 * np.eye(40)
    assert (half[nearest.argmin(axis=1)] == half).all()


def nothing():
    dataset = make()
    bare = Catalogue.without_features(dataset.items.ids)
    log = dataset.interactions.select(np.zeros(len(dataset.interactions), bool))
    return Dataset("bare", log, dataset.users, bare, "", 4.0)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda: ItemEmbedder(("txt",)), InvalidConfig, "Did you mean 'text'"),
        (lambda: ItemEmbedder(("text", TextBlock())), InvalidConfig, "each once"),
        (lambda: ItemEmbedder(()), InvalidConfig, "one or more of"),
        (lambda: ItemEmbedder(size=0), InvalidConfig, "size = 0"),
        (lambda: ItemEmbedder(seed=-1).fit(make()), InvalidConfig, "seed = -1"),
        (lambda: ItemEmbedder().fit(nothing()), InvalidInput, "found anything in which items differ"),
        (lambda: ItemEmbedder().transform(table_for(make(), None)), InvalidInput, "not fitted"),
        (lambda: embed(make(), items=table_for(make(ids=range(900, 940)), None)), InvalidInput, "none of the 40 items"),
        (lambda: ItemEmbedder().fit_table(table_for(make(4), None), make().interactions), InvalidInput, "a table of 4"),
        (lambda: ItemTable(Vocabulary([1]), ("a", "b"), {}, {}), InvalidInput, "texts has 2 rows for 1 ids"),
        (lambda: ItemTable(Vocabulary([1]), ("a",), {}, {"x": np.array([np.inf])}), InvalidInput, r"x\[0\] is inf"),
    ],
)
def test_bad_input(wrong, kind, message):
    with pytest.raises(kind, match=message):
        wrong()


def test_files_that_hold_no_embedder(tmp_path):
    with pytest.raises(DataNotFound, match="is not there"):
        ItemEmbedder.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match="no item embedder"):
        ItemEmbedder.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", config=np.array(json.dumps({"blocks": []})))
    with pytest.raises(DataError, match="holds no item embedder"):
        ItemEmbedder.load(tmp_path / "other.npz")
    with pytest.raises(InvalidInput, match=r"ends in '\.csv'"):
        ItemEmbedder(CONTENT).fit(make()).save(tmp_path / "vectors.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.npz", "other.npz"]


def test_every_block_is_listed_by_its_name():
    assert set(BLOCKS) == {"text", "sentences", "categories", "numbers", "factors"}
