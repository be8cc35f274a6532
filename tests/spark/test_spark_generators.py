"""Generators on DataFrames: the laws of the columns, ids, parts, the same rows whenever they are made."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from smartrec.core.errors import InvalidInput
from smartrec.data.copula import CopulaGenerator
from smartrec.data.generators import CompositeGenerator, RealGenerator
from smartrec.data.sdv import SdvGenerator
from smartrec.envs.spark import generators
from smartrec.envs.spark.generators import FrameGenerator

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def people(rows=2000):
    rng = np.random.default_rng(0)
    age = rng.gamma(4.0, 9.0, rows)
    return pd.DataFrame(
        {"user_idx": [f"u{n}" for n in range(rows)], "age": age, "income": age * 2 + rng.normal(size=rows) * 10,
         "sex": rng.choice(["f", "m"], rows, p=[0.3, 0.7])}
    )  # fmt: skip


def test_a_copula_on_the_workers(spark):
    source = people()
    copula = CopulaGenerator("user_idx", "new").fit(source)
    maker = FrameGenerator(spark, copula, seed=1)
    frame = maker.generate(120_000)
    found = frame.toArrow().to_pandas()
    assert len(found) == found.user_idx.nunique() == 120_000
    assert set(found.user_idx) == {f"new_{k}" for k in range(120_000)}
    for name in ("age", "income"):
        assert ks_2samp(found[name], source[name]).statistic < 0.01 + 1 / len(source)
    wanted = np.corrcoef(source.age, source.income)[0, 1]
    assert abs(np.corrcoef(found.age, found.income)[0, 1] - wanted) < 0.02
    assert abs((found.sex == "f").mean() - (source.sex == "f").mean()) < 0.01
    again = frame.repartition(3).toArrow().to_pandas()
    key = ["user_idx"]
    pd.testing.assert_frame_equal(found.sort_values(key, ignore_index=True), again.sort_values(key, ignore_index=True))
    assert not found.age.equals(maker.generate(120_000).toArrow().to_pandas().age)
    assert found.age.equals(FrameGenerator(spark, copula, seed=1).generate(120_000).toArrow().to_pandas().age)
    assert generators.ROWS < 120_000


def test_a_composite(spark):
    source = people()
    parts = CompositeGenerator([RealGenerator().fit(source), CopulaGenerator("user_idx").fit(source)], [0.25, 0.75])
    found = FrameGenerator(spark, parts).generate(1000).toArrow().to_pandas()
    assert found.user_idx.str.startswith("u").sum() == 250
    assert found.user_idx.str.startswith("synthetic_").sum() == 750
    assert set(found[found.user_idx.str.startswith("u")].user_idx) <= set(source.user_idx)
    with pytest.raises(InvalidInput, match="n = 2500 rows without replacement of a table of 2000"):
        FrameGenerator(spark, parts).generate(10_000)
    with pytest.raises(InvalidInput, match="n = 0 rows"):
        FrameGenerator(spark, parts).generate(0)
    with pytest.raises(InvalidInput, match="fitted to an array"):
        FrameGenerator(spark, CopulaGenerator().fit(np.random.default_rng(0).random((9, 2))))


def test_the_seed_alone_decides_whatever_the_partitions_and_what_was_generated_before(spark, monkeypatch):
    source = people()
    real, copula = RealGenerator(seed=5).fit(source), CopulaGenerator("user_idx").fit(source)
    parts = CompositeGenerator([real, copula], [0.4, 0.6])
    monkeypatch.setattr(generators, "ROWS", 100)
    found = []
    for partitions in (1, 4):
        monkeypatch.setattr(type(spark.sparkContext), "defaultParallelism", partitions)
        spark.conf.set("spark.sql.leafNodeDefaultParallelism", str(partitions))
        maker = FrameGenerator(spark, parts, seed=3)
        frames = [maker.generate(1000) for _ in range(2)]
        assert frames[0].rdd.getNumPartitions() == partitions + min(6, 2 * partitions)
        found.append([frame.toArrow().to_pandas() for frame in frames])
        real.generate(7)
        spark.conf.unset("spark.sql.leafNodeDefaultParallelism")
    for one, other in zip(*found, strict=True):
        pd.testing.assert_frame_equal(one, other)
    first, second = found[0]
    assert not first.user_idx[:400].equals(second.user_idx[:400])
    assert first.user_idx[:400].is_unique
    other = FrameGenerator(spark, parts, seed=4).generate(1000).toArrow().to_pandas()
    assert not other.user_idx[:400].equals(first.user_idx[:400])
    untouched = RealGenerator(seed=5).fit(source)
    untouched.generate(7)
    untouched.generate(7)
    assert real.generate(7).equals(untouched.generate(7))  # its own sequence is where it was


def test_rows_of_sdv_are_made_here(spark):
    source, made = people(50), SdvGenerator(id_column="user_idx")

    class Synthesizer:
        def sample(self, num_rows):
            return source.drop(columns="user_idx").take(np.arange(num_rows) % 50)

    made._fitted, made._layout, made._size, made._categories = Synthesizer(), list(source.columns), len(source), {}
    parts = CompositeGenerator([made, CopulaGenerator("user_idx", "new").fit(source)], [0.2, 0.8])
    found = FrameGenerator(spark, parts).generate(500).toArrow().to_pandas()
    assert list(found.user_idx[:100]) == [f"synthetic_{k}" for k in range(100)]
    assert list(found.age[:50]) == list(source.age)
    assert found.user_idx.str.startswith("new_").sum() == 400
