"""The autoencoder: what it gives back, torch as an oracle of its vectors, ids, files without pickle."""

import numpy as np
import pandas as pd
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput, MissingExtra
from smartrec.data.embeddings import Autoencoder

INPUTS = [f"x{d}" for d in range(8)]


def table(rows=600, seed=0):
    """Eight columns of unlike units, turned from two hidden numbers, and ids in no order."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(2, 8))
    values = (rng.normal(size=(rows, 2)) @ mixing + 0.05 * rng.normal(size=(rows, 8))) * 10.0 ** np.arange(8) + 3
    frame = pd.DataFrame(values, columns=INPUTS)
    frame.insert(0, "user_idx", [f"u{n}" for n in rng.permutation(rows)])
    return frame.assign(born=rng.integers(1950, 2010, rows)).set_index(np.arange(rows) + 7)


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(INPUTS, size=2, hidden=32, epochs=60, batch=64, learning_rate=3e-3, unit=False).fit(table())


def variance_left(autoencoder, frame, source):
    rows, scale = frame[INPUTS].to_numpy(), source[INPUTS].std(ddof=0).to_numpy()
    return (((autoencoder.decode(autoencoder.encode(rows)) - rows) / scale) ** 2).mean()


def test_two_numbers_give_back_what_two_numbers_made(fitted):
    source = table()
    assert 1 - fitted.explained == pytest.approx(variance_left(fitted, source, source), abs=1e-9)
    assert fitted.explained > 0.95
    assert variance_left(fitted, table(seed=1), source) < 0.07  # rows that it has not seen; the mean leaves about 1


def test_rows_of_length_one_forget_their_length_and_still_beat_the_mean():
    source = table()
    fitted = Autoencoder(INPUTS, size=2, hidden=32, epochs=40, batch=64, learning_rate=3e-3).fit(source)
    assert 0.5 < fitted.explained < 0.9
    rows, mean = source[INPUTS].to_numpy(), source[INPUTS].mean().to_numpy()
    np.testing.assert_allclose(fitted.encode(mean + 5 * (rows - mean)), fitted.encode(rows), atol=1e-5)


@pytest.mark.parametrize("unit", [True, False])
def test_vectors_are_torchs(unit):
    import torch

    source = table(100)
    own = Autoencoder(INPUTS, size=3, hidden=5, epochs=2, unit=unit).fit(source)
    rows = source[INPUTS].to_numpy()
    layers = {name: torch.from_numpy(np.array(values)).double() for name, values in own._arrays.items()}
    x = (torch.from_numpy(rows) - layers["mean"]) / layers["scale"]
    x = torch.nn.functional.normalize(x) if unit else x
    for half in ("encoder", "decoder"):
        first, second = torch.nn.Linear(x.shape[1], 5).double(), torch.nn.Linear(5, 3).double()
        for k, linear in enumerate((first, second)):
            linear.weight = torch.nn.Parameter(layers[f"{half}/{k}/weight"].T)
            linear.bias = torch.nn.Parameter(layers[f"{half}/{k}/bias"])
        x = torch.nn.Sequential(first, torch.nn.LeakyReLU(0.01), second)(x).detach()
        if half == "encoder":
            np.testing.assert_allclose(own.encode(rows), x.numpy(), rtol=1e-6, atol=1e-6)
            x = torch.from_numpy(own.encode(rows)).double()
    restored = (x * layers["scale"] + layers["mean"]).numpy()
    np.testing.assert_allclose(own.decode(own.encode(rows)), restored, rtol=1e-6, atol=1e-6)


def test_ids_and_all_other_columns_stay(fitted):
    source = table()
    found = fitted.transform(source)
    assert list(found.columns) == ["user_idx", "born", "code_0", "code_1"]
    pd.testing.assert_frame_equal(found[["user_idx", "born"]], source[["user_idx", "born"]])
    np.testing.assert_array_equal(found[["code_0", "code_1"]], fitted.encode(source[INPUTS].to_numpy()))
    order = np.random.default_rng(0).permutation(len(source))
    pd.testing.assert_frame_equal(fitted.transform(source.iloc[order]), found.iloc[order], rtol=1e-6)


def test_the_same_seed_gives_the_same_vectors_and_global_generators_rest():
    import torch

    source, rows = table(100), table(100)[INPUTS].to_numpy()
    before, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (Autoencoder(INPUTS, size=2, epochs=2, seed=s).fit(source).encode(rows) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002


def test_a_file_without_pickle(fitted, tmp_path):
    fitted.save(tmp_path / "people.npz")
    again, rows = Autoencoder.load(tmp_path / "people.npz"), table()[INPUTS].to_numpy()
    np.testing.assert_array_equal(again.encode(rows), fitted.encode(rows))
    assert (again.explained, again.inputs, again.unit) == (fitted.explained, fitted.inputs, False)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "people.npz").read_bytes()[:500])
    with pytest.raises(DataError, match="holds no autoencoder"):
        Autoencoder.load(tmp_path / "torn.npz")
    with pytest.raises(DataNotFound, match="not there"):
        Autoencoder.load(tmp_path / "none.npz")
    with pytest.raises(InvalidInput, match=r"ends in '\.pkl'; allowed: \.npz"):
        fitted.save(tmp_path / "people.pkl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["people.npz", "torn.npz"]


def test_a_column_that_never_moves_does_no_harm():
    still = table(100).assign(x7=4.0)
    fitted = Autoencoder(INPUTS, size=2, epochs=1).fit(still)
    with pytest.raises(InvalidInput, match="every row is the same in x0, x1"):
        Autoencoder(INPUTS).fit(still.iloc[[3, 3]])
    assert np.isfinite(fitted.encode(still[INPUTS].to_numpy())).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": []}, "inputs = .*; allowed: names"),
        ({"inputs": "age"}, "inputs = 'age'"),
        ({"inputs": ["a", "a"]}, "each once"),
        ({"size": 0}, "size = 0; allowed: a whole number >= 1"),
        ({"epochs": 1.5}, "epochs = 1.5"),
        ({"learning_rate": 0}, "learning_rate = 0; allowed"),
        ({"seed": -1}, "seed = -1; allowed"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidConfig, match=message):
        Autoencoder(**{"inputs": INPUTS, **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="x3"), "no column 'x3'"),
        (lambda frame: frame.assign(x3=np.nan), "'x3' has 600 missing or infinite values, the first in row 0"),
        (lambda frame: frame.assign(x3="tall"), "'x3' holds values that are no numbers"),
        (lambda frame: frame.assign(code_1=0), "a column 'code_1' already"),
        (lambda frame: frame.iloc[:1], "1 rows to learn from"),
    ],
)
def test_bad_tables_are_refused(fitted, change, message):
    with pytest.raises(InvalidInput, match=message):
        Autoencoder(INPUTS, size=2, epochs=1).fit(change(table()))
    if "learn" not in message:
        with pytest.raises(InvalidInput, match=message):
            fitted.transform(change(table()))


def test_bad_uses_are_refused(fitted, monkeypatch):
    with pytest.raises(InvalidInput, match="not fitted; call fit"):
        Autoencoder(INPUTS).transform(table())
    with pytest.raises(InvalidInput, match=r"rows have shape \(3, 2\); allowed: \[rows, 8\]"):
        fitted.encode(np.zeros((3, 2)))
    with pytest.raises(InvalidInput, match="lower it"):
        Autoencoder(INPUTS, size=2, epochs=30, learning_rate=1e30).fit(table())
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtra, match=r'needs torch: pip install "smartrec\[deep\]"'):
        Autoencoder(INPUTS).fit(table())
