"""Vectors on Spark are NumPy's, and ids stay with their rows."""

import numpy as np
import pandas as pd
import pytest

from smartrec.core.errors import InvalidInput
from smartrec.core.spark import clear_errors
from smartrec.data.embeddings import Autoencoder
from smartrec.envs.spark.embeddings import embed_frame

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, 500)
    return pd.DataFrame(
        {
            "age": age,
            "user_idx": [f"u{n}" for n in rng.permutation(500)],
            "visits": rng.poisson(age / 4),
            "old": age > 40,
        }
    )


@pytest.fixture(scope="module")
def fitted(people):
    return Autoencoder(["visits", "age"], size=2, hidden=8, epochs=3).fit(people)


def test_spark_is_numpy_and_ids_stay(spark, people, fitted):
    found = embed_frame(spark.createDataFrame(people).repartition(3), fitted)
    assert [(name, kind) for name, kind in found.dtypes] == [
        ("user_idx", "string"), ("old", "boolean"), ("code_0", "float"), ("code_1", "float")
    ]  # fmt: skip
    got = found.toArrow().to_pandas().set_index("user_idx").loc[people.user_idx].reset_index()
    pd.testing.assert_frame_equal(got, fitted.transform(people), rtol=1e-6, atol=1e-6)


def test_bad_frames_are_refused(spark, people, fitted):
    frame = spark.createDataFrame(people)
    with pytest.raises(InvalidInput, match="no column 'age'"):
        embed_frame(frame.drop("age"), fitted)
    with pytest.raises(InvalidInput, match="column 'age' of the table is of type string"):
        embed_frame(frame.withColumn("age", frame.age.cast("string")), fitted)
    with pytest.raises(InvalidInput, match="'code_0' already"):
        embed_frame(frame.withColumn("code_0", frame.age), fitted)
    with pytest.raises(InvalidInput, match="not fitted"):
        embed_frame(frame, Autoencoder(["age"]))
    with pytest.raises(InvalidInput, match="finite numbers"), clear_errors():
        embed_frame(frame.selectExpr("user_idx", "age", "nullif(visits, 10) visits"), fitted).toArrow()
