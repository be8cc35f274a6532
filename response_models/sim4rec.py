"""Stages of sim4rec, or any others of Spark, as the response model of an environment."""

from typing import Any

import numpy as np

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.spark import clear_errors, require_columns, require_session
from smartrec.response_models.spark import SparkResponse
from smartrec.response_models.table import Table

MOST_PAIRS = 50_000_000
"""Largest table of users times items that is worked out, 400 MB."""


class Sim4RecResponse(Table):
    """``p(click | user, item)`` as a Spark pipeline works it out, once for all pairs.

    The pipeline gets every user with every item, with the columns of both, and its column of probabilities becomes
    a table: from then on no Spark is needed. So what its stages draw, as sim4rec's ``NoiseResponse`` does, is drawn
    once and for all clocks. Dice are the environment's matter: leave a last ``BernoulliResponse`` out, or name the
    column before it.

    Args:
        pipeline: A ``PipelineModel`` or one stage: anything with ``transform``.
        users: DataFrame, one row a user, numbered 0 .. U-1 in the column ``user``, with the columns that stages need.
        items: DataFrame, one row an item, likewise 0 .. I-1.
        probability: Column that the pipeline adds, of numbers 0..1.
        user: Name of the column.
        item: Name of the column.

    Raises:
        InvalidInput: A column is missing or of another type, a number is missing or comes twice, or a probability is
            outside [0, 1] or missing.
        InvalidConfig: The column holds dice, or there are more pairs than ``MOST_PAIRS``.
        SparkUnusable: The session of ``users`` does not fit.
    """

    def __init__(
        self,
        pipeline: Any,
        users: Any,
        items: Any,
        *,
        probability: str = "response",
        user: str = "user_idx",
        item: str = "item_idx",
    ) -> None:
        require_session(users.sparkSession)
        _refuse_dice(pipeline, probability)
        require_columns(users, {user: "whole"}, "users")
        require_columns(items, {item: "whole"}, "items")
        sizes = _numbered(users, user), _numbered(items, item)
        if sizes[0] * sizes[1] > MOST_PAIRS:
            raise InvalidConfig(
                f"{sizes[0]} users x {sizes[1]} items; allowed: at most {MOST_PAIRS:,} pairs. Take fewer users, or let "
                "the pipeline answer in smartrec.envs.spark.Simulator"
            )
        answers = pipeline.transform(users.crossJoin(items))
        require_columns(answers, {probability: "number", user: "whole", item: "whole"}, "what the pipeline returns")
        with clear_errors():
            found = answers.select(user, item, probability).toArrow()
        table = np.full(sizes, np.nan)
        rows = [found.column(name).to_numpy() for name in (user, item, probability)]
        table[rows[0], rows[1]] = rows[2]
        super().__init__(table)


def _refuse_dice(stage: Any, probability: str) -> None:
    """Raise if a stage, or one inside it where it is a pipeline, rolls the dice of the column ``probability``."""
    for part in getattr(stage, "stages", ()):
        _refuse_dice(part, probability)
    name = type(stage).__name__
    rolled, dice = "", ""
    if name == "BernoulliResponse":
        rolled, dice = stage.getInputCol(), stage.getOutputCol()
    elif isinstance(stage, SparkResponse):
        *_, rolled, dice = stage.columns
    if dice == probability:
        raise InvalidConfig(
            f"probability = {probability!r} holds the dice of {name}; allowed: the column that they are rolled for, "
            f"{rolled!r}. The environment rolls its own"
        )


def _numbered(frame: Any, column: str) -> int:
    """Return how many rows a frame has.

    Raises:
        InvalidInput: They are not numbered 0, 1, 2, ... without a gap or a repeat.
    """
    numbers = np.sort(frame.select(column).toArrow().column(column).to_numpy())
    if not len(numbers) or not np.array_equal(numbers, np.arange(len(numbers))):
        raise InvalidInput(
            f"{len(numbers)} rows with {column} from {numbers[:1]} to {numbers[-1:]}; allowed: 0, 1, 2, ... each once. "
            "Number the rows anew"
        )
    return len(numbers)
