import numpy as np
import pytest
from scipy.stats import chi2_contingency

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.data import Interactions, Vocabulary
from smartrec.data.embeddings import CategoryBlock, FactorBlock, ItemTable, NumberBlock, TextBlock, blocks
from smartrec.data.embeddings.blocks import leading
from smartrec.data.embeddings.categories import correspondence

SMOKERS = np.array([[4, 2, 3, 2], [4, 3, 7, 4], [25, 10, 12, 4], [18, 24, 33, 13], [10, 6, 7, 2]], float)
"""Staff groups by smoking, the example of Greenacre's book: 193 employees."""


def table(texts=None, categories=None, numbers=None):
    columns = [texts, *(categories or {}).values(), *(numbers or {}).values()]
    n = next(len(column) for column in columns if column is not None)
    numbers = {name: np.asarray(values, float) for name, values in (numbers or {}).items()}
    return ItemTable(Vocabulary(range(n)), tuple(texts or [""] * n), categories or {}, numbers)


def log_of(clicks, ratings=None):
    users, items = np.nonzero(clicks)
    stars = np.full(len(users), 5.0) if ratings is None else np.asarray(ratings)[users, items]
    ids = [Vocabulary(range(n)) for n in np.shape(clicks)]
    return Interactions(users, items, stars, None, *ids)


EMPTY = log_of(np.zeros((1, 1)))


def fit(block, items, log=EMPTY, before=None):
    none = np.empty((len(items), 0))
    return block.fit(items, log, none if before is None else before, np.random.default_rng(0))


def test_correspondence_of_the_textbook_table():
    found = correspondence(SMOKERS)
    np.testing.assert_allclose(found.inertias, [0.074759, 0.010017, 0.000414], atol=5e-7)
    assert found.inertias.sum() == pytest.approx(chi2_contingency(SMOKERS).statistic / SMOKERS.sum())
    rows = [[0.065768, 0.193737], [-0.258958, 0.243305], [0.380595, 0.010660], [-0.232952, -0.057744]]
    np.testing.assert_allclose(np.abs(found.rows[:, :2]), np.abs([*rows, [0.201089, -0.078911]]), atol=1e-6)
    signs = np.sign(found.rows[:, :2] * [*rows, [0.201089, -0.078911]])
    assert (signs == signs[0]).all()  # an axis may be turned round as a whole
    np.testing.assert_allclose(np.abs(found.columns[:, 0]), [0.393308, 0.099456, 0.196321, 0.293776], atol=1e-6)


def test_masses_and_coordinates_agree_as_the_theory_says():
    found = correspondence(SMOKERS)
    rows, columns = SMOKERS.sum(axis=1) / SMOKERS.sum(), SMOKERS.sum(axis=0) / SMOKERS.sum()
    np.testing.assert_allclose(rows @ found.rows, 0, atol=1e-12)
    np.testing.assert_allclose((found.rows.T * rows) @ found.rows, np.diag(found.inertias), atol=1e-12)
    np.testing.assert_allclose((found.columns.T * columns) @ found.columns, np.diag(found.inertias), atol=1e-12)
    # Reconstitution: the coordinates hold the table.
    again = np.outer(rows, columns) * (1 + found.rows @ found.standard.T)
    np.testing.assert_allclose(again * SMOKERS.sum(), SMOKERS, atol=1e-9)


@pytest.mark.parametrize("wrong", [np.array([[1.0, -1.0]]), np.array([[1.0, 0.0]]), np.empty((0, 0))])
def test_a_table_that_has_no_correspondence_is_refused(wrong):
    with pytest.raises(InvalidInput, match="allowed: counts"):
        correspondence(wrong)


def test_items_of_the_same_categories_lie_on_one_point():
    genres = (("Drama",), ("Drama",), ("Comedy", "Drama"), ("Comedy",), (), ("Rare",))
    found = fit(CategoryBlock(min_count=2), table(categories={"genre": genres}))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[2], (found[0] + found[3]) / 2)  # a profile lies between its values
    assert np.isnan(found[4:]).all()  # no value, and one that only it has


def test_words_that_texts_share_bring_them_together():
    texts = ["space war laser", "laser war in space", "love and marriage", "marriage without love", "", "zzz"]
    block = TextBlock(size=2)
    found = fit(block, table(texts))
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert unit[0] @ unit[1] == pytest.approx(1)
    assert unit[2] @ unit[3] == pytest.approx(1)
    assert unit[0] @ unit[2] == pytest.approx(0, abs=1e-9)
    assert np.isnan(found[4:]).all()
    new = block.transform(table(["a war in space, with unheard words", "nothing known"]), np.empty((2, 0)))
    assert (new[0] / np.linalg.norm(new[0])) @ unit[0] > 0.8
    assert np.isnan(new[1]).all()


def test_numbers_are_standardised_and_missing_ones_are_the_mean():
    block = NumberBlock()
    found = fit(
        block, table(numbers={"year": [1.0, 3.0, np.nan, np.nan], "same": [7.0] * 4, "cost": [0, 2, 4, np.nan]})
    )
    year, cost = [-1, 1, 0, 0], (np.array([0, 2, 4]) - 2) / np.sqrt(8 / 3)
    np.testing.assert_allclose(found[:, :2], np.column_stack([year, [*cost, 0]]))
    np.testing.assert_allclose(found[:, 2], [-1, -1, 1, 1])  # year is missing, standardised
    np.testing.assert_allclose(found[:, 3], (np.array([0, 0, 0, 1]) - 0.25) / np.sqrt(3 / 16))
    new = block.transform(table(numbers={"year": [5.0, np.nan], "unheard": [1.0, 1.0]}), np.empty((2, 0)))
    assert new[0, 0] == 3
    assert np.isnan(new[1]).all()  # nothing known at all


def test_a_skewed_column_is_taken_by_its_logarithm():
    votes = np.array([0.0] * 50 + [10.0] * 5 + [1e6])
    found = fit(NumberBlock(), table(numbers={"votes": votes}))
    logs = np.log1p(votes)
    np.testing.assert_allclose(found[:, 0], (logs - logs.mean()) / logs.std())


CROWDS = np.kron(np.eye(2), np.ones((20, 6)))
"""Two crowds of 20 users with 6 items each."""


@pytest.mark.parametrize("block", [FactorBlock(size=2), FactorBlock(size=8, method="als")])
def test_items_of_one_crowd_lie_together(block):
    found = fit(block, table([""] * 12), log_of(CROWDS))
    found = found - found.mean(axis=0) if block.method == "als" else found
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    likeness = unit @ unit.T
    assert likeness[:6, :6].min() > 0.9
    assert likeness[:6, 6:].max() < 0.1


def test_factors_span_the_leading_singular_vectors_of_the_weighted_table():
    rng = np.random.default_rng(1)
    clicks, ratings = rng.random((60, 30)) < 0.3, rng.integers(1, 6, (60, 30))
    weights = np.where(clicks, np.log1p(ratings), 0)
    weights = weights / (np.outer(clicks.sum(axis=1), clicks.sum(axis=0)) ** 0.25).clip(1)
    _, sizes, right = np.linalg.svd(weights)
    expected = right[:5].T * np.sqrt(sizes[:5])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = fit(FactorBlock(size=5), table([""] * 30), log_of(clicks, ratings))
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)


def test_an_item_without_answers_gets_what_its_other_columns_say():
    clicks = CROWDS.copy()
    clicks[:, [5, 11]] = 0  # the last of each crowd is new
    before = np.repeat([[1.0], [-1.0]], 6, axis=0)
    block = FactorBlock(size=2)
    found = fit(block, table([""] * 12), log_of(clicks), before)
    np.testing.assert_allclose(found[[5, 11]], found[[0, 6]], atol=0.02)
    np.testing.assert_allclose(block.transform(table(["new"]), np.array([[1.0]])), found[[0]], atol=0.02)


def test_ratings_below_zero_need_the_centred_weight():
    log = log_of(CROWDS, CROWDS - 3)
    with pytest.raises(InvalidInput, match="a rating of -2"):
        fit(FactorBlock(), table([""] * 12), log)
    rng = np.random.default_rng(0)
    assert fit(
        FactorBlock(weight="centred", size=2), table([""] * 12), log_of(CROWDS, rng.normal(size=CROWDS.shape))
    ).any()


@pytest.mark.parametrize("shape", [(90, 100), (100, 90)])
@pytest.mark.parametrize("small", [1000, 50])
def test_leading_directions_are_those_of_the_whole_decomposition(shape, small, monkeypatch):
    from scipy.sparse import csr_matrix

    monkeypatch.setattr(blocks, "_SMALL", small)
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(shape[0], 9)) * 2.0 ** -np.arange(9) @ rng.normal(size=(9, shape[1]))
    found = leading(csr_matrix(matrix), 5, np.random.default_rng(1))
    right = np.linalg.svd(matrix, full_matrices=False)[2][:5].T
    np.testing.assert_allclose(np.abs((found * right).sum(axis=0)), 1, atol=1e-6)
    assert (found[np.abs(found).argmax(axis=0), np.arange(5)] > 0).all()
    assert leading(csr_matrix(matrix), 50, np.random.default_rng(1)).shape == (shape[1], 9)  # its rank


@pytest.mark.parametrize("n", [40, 1100])
def test_leading_directions_repeat_even_where_they_tie(n):
    from scipy.sparse import identity

    one, other = (leading(identity(n, format="csr"), 8, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one.T @ one, np.eye(8), atol=1e-12)


@pytest.mark.parametrize(
    ("block", "items"),
    [(TextBlock(), table(["", ""])), (TextBlock(), table(["one", "two"])), (NumberBlock(), table(["", ""])),
     (NumberBlock(), table(numbers={"x": [np.nan, np.nan]})), (CategoryBlock(), table(categories={"c": ((), ("a",))}))],
)  # fmt: skip
def test_where_nothing_is_known_there_are_no_columns(block, items):
    assert fit(block, items).shape == (2, 0)
    assert block.transform(items, np.empty((2, 0))).shape == (2, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextBlock(size=0), "size = 0"),
        (lambda: CategoryBlock(min_count=0), "min_count = 0"),
        (lambda: FactorBlock(method="nmf"), "method = 'nmf'; allowed: 'svd', 'als'"),
        (lambda: FactorBlock(weight="tf"), "weight = 'tf'"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(InvalidConfig, match=message):
        make()


def test_a_block_that_is_not_fitted_says_so():
    with pytest.raises(InvalidInput, match="'text' is not fitted"):
        TextBlock().transform(table(["a"]), np.empty((1, 0)))
