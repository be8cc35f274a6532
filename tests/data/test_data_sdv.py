"""The adapter of SDV, against a stand-in with the calls and the habits of sdv 1.38: SDV itself is not installed."""

import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from smartrec.core.errors import InvalidConfig, InvalidInput, MissingExtra
from smartrec.data.generators import CompositeGenerator, RealGenerator
from smartrec.data.sdv import SYNTHESIZERS, SdvGenerator


class Metadata:
    """Of one table or more, each a dict of columns."""

    def __init__(self):
        self.tables = {}

    @classmethod
    def load_from_dict(cls, metadata_dict, single_table_name=None):
        assert "tables" not in metadata_dict
        made = cls()
        made.tables[single_table_name] = metadata_dict["columns"]
        return made


class Synthesizer:
    """Draws each column from its own rows; like SDV, by a fixed sequence that ``reset_sampling`` begins anew."""

    def __init__(self, metadata, enforce_min_max_values=True, enforce_rounding=True, locales=None):
        self.metadata, self.enforce_rounding = metadata, enforce_rounding

    def fit(self, data):
        (columns,) = self.metadata.tables.values()
        assert isinstance(data, pd.DataFrame)
        assert set(columns) == set(data.columns)
        assert not any(kind == "category" for kind in data.dtypes)  # networks refuse them
        np.random.random()  # noqa: NPY002 - SDV draws from the global generator
        self.data = data
        self.reset_sampling()

    def reset_sampling(self):
        self.rng = np.random.default_rng(73251)

    def sample(self, num_rows, max_tries_per_batch=100, batch_size=None, output_file_path=None):
        drawn = {
            name: self.data[name].to_numpy()[self.rng.integers(len(self.data), size=num_rows)] for name in self.data
        }
        return pd.DataFrame(drawn)


def stand_in(monkeypatch, version):
    names = ("sdv", "sdv.metadata", "sdv.single_table")
    sdv, metadata, single_table = (ModuleType(name) for name in names)
    sdv.__version__, metadata.Metadata = version, Metadata
    for name in SYNTHESIZERS.values():
        setattr(single_table, name, type(name, (Synthesizer,), {}))
    for name, module in zip(names, (sdv, metadata, single_table), strict=True):
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def sdv(monkeypatch):
    stand_in(monkeypatch, "1.24.1")


def people(rows=400):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, rows),
            "user_idx": [f"u{n}" for n in range(rows)],
            "sex": rng.choice(["f", "m"], rows),
            "visits": rng.integers(9, size=rows),
            "premium": rng.random(rows) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(900, size=rows), unit="D"),
        }
    )


@pytest.mark.usefixtures("sdv")
def test_rows_ids_and_what_sdv_is_told():
    made = SdvGenerator("tvae", {"enforce_rounding": False}, id_column="user_idx", label="new").fit(people())
    kinds = {name: told["sdtype"] for name, told in made._fitted.metadata.tables["table"].items()}
    assert kinds == {
        "age": "numerical", "sex": "categorical", "visits": "numerical", "premium": "boolean", "since": "datetime"
    }  # fmt: skip
    assert type(made._fitted).__name__ == "TVAESynthesizer"
    assert made._fitted.enforce_rounding is False
    found = made.generate(1000)
    assert list(found.columns) == list(people().columns)
    assert list(found.user_idx) == [f"new_{k}" for k in range(1000)]
    assert set(found.age) <= set(people().age)
    assert made.size == 400
    assert 400 < len(made.sample(0.5)) < 600


@pytest.mark.usefixtures("sdv")
def test_calls_differ_and_begin_anew():
    made = SdvGenerator(id_column="user_idx").fit(people())
    first, second = made.generate(50), made.generate(50)
    assert not first.equals(second)
    made.reseed(3)
    pd.testing.assert_frame_equal(made.generate(50), first)


@pytest.mark.usefixtures("sdv")
def test_categories_stay_categories_and_global_generators_where_they_are():
    table = people().assign(job=pd.Categorical(["clerk", "artist"] * 200))
    before = np.random.get_state()[1:3]  # noqa: NPY002
    made = SdvGenerator("ctgan", id_column="user_idx").fit(table)
    assert made.generate(9).dtypes.equals(table.dtypes)
    for old, new in zip(before, np.random.get_state()[1:3], strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("sdv")
def test_a_part_of_a_composite():
    parts = [RealGenerator().fit(people()), SdvGenerator(id_column="user_idx").fit(people())]
    found = CompositeGenerator(parts, [0.3, 0.7]).generate(1000)
    assert found.user_idx.str.startswith("synthetic_").sum() == 700


@pytest.mark.usefixtures("sdv")
def test_bad_input_is_refused():
    with pytest.raises(InvalidConfig, match="synthesizer = 'gan'; allowed: gaussiancopula, ctgan, copulagan, tvae"):
        SdvGenerator("gan")
    with pytest.raises(InvalidConfig, match=r"options = \{'epochz': 3\}; allowed: arguments of SDV's class"):
        SdvGenerator(options={"epochz": 3}).fit(people())
    with pytest.raises(InvalidInput, match="type ndarray; allowed: a pandas DataFrame"):
        SdvGenerator().fit(np.zeros((3, 2)))
    with pytest.raises(InvalidInput, match="id_column = 'user'; allowed: None or one of"):
        SdvGenerator(id_column="user").fit(people())
    with pytest.raises(InvalidInput, match="no column beside 'user_idx'"):
        SdvGenerator(id_column="user_idx").fit(people()[["user_idx"]])
    with pytest.raises(InvalidInput, match="SdvGenerator has no source yet"):
        SdvGenerator().generate(3)
    with pytest.raises(InvalidInput, match="n = 0 rows"):
        SdvGenerator().fit(people()).generate(0)


def test_without_sdv_the_licence_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sdv", None)
    with pytest.raises(MissingExtra, match=r'needs sdv.*Business Source License.*pip install "sdv>=1.18,<2"'):
        SdvGenerator().fit(people())


@pytest.mark.parametrize("version", ["0.15.0", "1.9.0", "2.0.0"])
def test_other_versions_are_refused(monkeypatch, version):
    stand_in(monkeypatch, version)
    with pytest.raises(MissingExtra, match=f"sdv {version} is installed"):
        SdvGenerator().fit(people())
