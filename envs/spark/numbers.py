"""Numbers 0, 1, 2, ... for the keys of a DataFrame, and what tells two sets of keys apart."""

from itertools import accumulate
from typing import Any

from smartrec.core.optional import optional

_PLACE_BITS = 33
"""Of ``monotonically_increasing_id``: the place in the partition; the partition stands in those above."""

_WHOLE = ("byte", "short", "integer", "long")


def numbered(frame: Any, key: str, name: str) -> Any:
    """Return the keys of a DataFrame with their numbers, in ascending order of the keys.

    Whole numbers that are 0, 1, 2, ... without a gap are numbers already. Others are sorted by Spark, which keeps what
    comes out; the sizes of its partitions are all that comes to the driver.

    Args:
        frame: DataFrame whose keys differ and are not null.
        key: Column of the keys.
        name: Of the new column, of type long.

    Returns:
        DataFrame of the two columns.
    """
    functions = optional("pyspark.sql.functions", "spark", "Simulator")
    keys, column = frame.select(key), functions.col(key)
    if keys.schema[0].dataType.typeName() in _WHOLE:
        first, last, rows = keys.agg(functions.min(key), functions.max(key), functions.count(key)).first()
        if (first, last) == (0, rows - 1):
            return keys.withColumn(name, column.cast("long"))
    # Kept: sorted anew, rows could be cut into other partitions, and the sizes would not fit them.
    ordered = keys.orderBy(key).withColumn(name, functions.monotonically_increasing_id()).persist()
    part = functions.shiftright(name, _PLACE_BITS).cast("int")
    sizes = dict(map(tuple, ordered.groupBy(part).count().collect()))
    starts = accumulate((sizes.get(number, 0) for number in range(max(sizes))), initial=0)
    start = functions.element_at(functions.array(*map(functions.lit, starts)), part + 1)
    place = functions.col(name).bitwiseAND(functions.lit(2**_PLACE_BITS - 1))
    return ordered.withColumn(name, start + place)


def digest_of(frame: Any, key: str) -> tuple[int, str]:
    """Return how many rows a DataFrame has, and a text that differs where their keys do, whatever their order."""
    functions = optional("pyspark.sql.functions", "spark", "Simulator")
    total = functions.sum(functions.xxhash64(key).cast("decimal(38,0)"))
    rows, digest = frame.agg(functions.count(key), total).first()
    return rows, str(digest)
