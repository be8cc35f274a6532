"""Response models as stages of Spark's machine learning pipelines: the same numbers from the same NumPy kernels.

A stage asks its response model for each row's probability in vectorised functions on Spark's workers, to which the
model is broadcast, and rolls dice that are a function of (seed, key of the tick, user, item). So a row gets the same
probability as in NumPy, noise included, and the same response whatever the partitions, and however often Spark
computes it. It mixes with Spark's own stages and with those of ``sim4rec.response`` in one ``PipelineModel``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from smartrec.core.arrays import IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.core.optional import optional
from smartrec.core.spark import require_columns, require_session
from smartrec.response_models.base import ResponseModel, State
from smartrec.response_models.counters import uniforms

_Transformer: Any = optional("pyspark.ml", "spark", "SparkResponse").Transformer
_param = optional("pyspark.ml.param", "spark", "SparkResponse")

USER, ITEM = "user_idx", "item_idx"
"""Sim4Rec's and RePlay's names of the columns of users and items."""


class SparkResponse(_Transformer):  # type: ignore[misc]
    """Adds the probability of a response, and the response, to rows of users and items.

    ``probability = model.probability(user, item) at the clock``, ``response = 1 if uniform < probability else 0``.
    A stage has no memory: ``transform`` at the same clock repeats itself. Move the clock by ``at``, or for a
    whole pipeline by ``pipeline.transform(frame, {stage.clock: 7})``. A user and an item that come twice in a tick
    get the same dice.

    Args:
        model: What users do; it is broadcast to the workers, once for the stage and its copies at other clocks.
        seed: Of the dice, 0 .. 2**63 - 1.
        user: Name of the column of users, whole numbers 0 .. U-1.
        item: Name of the column of items, whole numbers 0 .. I-1.
        probability: Name of the column that is added, float64.
        response: Name of the column that is added, int32 0 or 1; "" rolls no dice.

    Attributes:
        clock: Param: number of the iteration, >= 1.
        seed: Param: as given.

    Raises:
        InvalidConfig: ``seed`` is out of range.
    """

    def __init__(
        self,
        model: ResponseModel,
        seed: int = 0,
        *,
        user: str = USER,
        item: str = ITEM,
        probability: str = "probability",
        response: str = "response",
    ) -> None:
        super().__init__()
        require(isinstance(seed, int) and 0 <= seed < 2**63, "seed", seed, "a whole number, 0 to 2**63 - 1")
        self.model, self.columns = model, (user, item, probability, response)
        self._sent: dict[str, Any] = {}  # the broadcast by Spark's application; copies of the stage share it
        whole = _param.TypeConverters.toInt
        self.clock = _param.Param(self, "clock", "number of the iteration, >= 1", whole)
        self.seed = _param.Param(self, "seed", "of the dice", whole)
        self._setDefault(clock=1, seed=seed)

    def at(self, clock: int) -> "SparkResponse":
        """Return the same stage at another clock, >= 1."""
        stage: SparkResponse = self.copy({self.clock: clock})
        return stage

    def _transform(self, frame: Any) -> Any:
        """Return ``frame`` with the new columns; rows are worked out when Spark needs them.

        Raises:
            InvalidInput: A column is missing or of another type, or a new one is there already. A user or item that
                the model does not know raises it in the worker.
        """
        functions = optional("pyspark.sql.functions", "spark", "SparkResponse")
        user, item, probability, response = self.columns
        require_columns(frame, {user: "whole", item: "whole"}, "the frame")
        for name in filter(None, (probability, response)):
            if name in frame.columns:
                raise InvalidInput(f"the frame has a column {name!r} already; drop it, or name the new one otherwise")
        clock = self.getOrDefault(self.clock)
        require(clock >= 1, "clock", clock, "a whole number >= 1")
        answers = _answers(self._broadcast(frame.sparkSession), self.model.at(clock), self.getOrDefault(self.seed))
        # Asked for once, for both columns: Spark would otherwise call the function for each of them.
        with_answers = frame.withColumn("__answer", answers(functions.col(user), functions.col(item)))
        if probability:
            with_answers = with_answers.withColumn(probability, functions.col("__answer.probability"))
        if response:
            with_answers = with_answers.withColumn(response, functions.col("__answer.response"))
        return with_answers.drop("__answer")

    def _broadcast(self, spark: Any) -> Any:
        application = require_session(spark).sparkContext.applicationId
        if application not in self._sent:
            self._sent.clear()
            self._sent[application] = spark.sparkContext.broadcast(self.model)
        return self._sent[application]


def known(values: IntArray, count: int | None, name: str) -> IntArray:
    """Return numbers of users or items as int64 if all are known.

    Raises:
        InvalidInput: One is below 0, or not below ``count``.
    """
    wrong = (values < 0) | (values >= (np.inf if count is None else count))
    if wrong.any():
        most = "any number from 0 on" if count is None else f"0 to {count - 1}"
        raise InvalidInput(
            f"{name} {values[wrong][0]} is unknown ({int(wrong.sum())} of {len(values)} rows are); allowed: {most}"
        )
    return values.astype(np.int64, copy=False)


def _answers(model: Any, state: State, seed: int) -> Any:
    """Return the function of Arrow columns that workers call."""
    functions = optional("pyspark.sql.functions", "spark", "SparkResponse")

    def answers(batches: Iterator[tuple[pa.Array, pa.Array]]) -> Iterator[pa.Array]:
        known_model: ResponseModel = model.value
        for users, items in batches:
            if users.null_count or items.null_count:
                raise InvalidInput(f"{users.null_count} users and {items.null_count} items are null; allowed: none")
            u = known(users.to_numpy(), known_model.n_users, "user")
            i = known(items.to_numpy(), known_model.n_items, "item")
            p = known_model.probability(u, i[:, None], state)[:, 0].astype(np.float64)
            clicks = uniforms(seed, state.key, u, i) < p
            yield pa.StructArray.from_arrays([pa.array(p), pa.array(clicks.astype(np.int32))], _FIELDS)

    return functions.arrow_udf(answers, "probability double, response int")


_FIELDS = ["probability", "response"]
