"""Spark sessions, begun here or handed in, examined before anything runs in them.

Nothing here loads pyspark before it is asked for a session.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core import errors
from smartrec.core.errors import InvalidInput, SmartRecError, SparkUnusable
from smartrec.core.optional import optional
from smartrec.version import __version__

JAVA = 17
"""Oldest Java that Spark 4 runs on."""

PYSPARK = (4, 1)
"""Oldest pyspark: the first with Arrow functions."""

_examined: set[str] = set()
"""Applications whose workers were found to be in order."""

_WHOLE = ("byte", "short", "int", "long")
_KINDS = {"whole": _WHOLE, "number": (*_WHOLE, "float", "double"), "text": ("string",)}


def session(master: str = "local[*]", settings: Mapping[str, str] | None = None) -> Any:
    """Begin a Spark session, or return the one that is running.

    Args:
        master: Where Spark runs: ``local[2]``, ``local-cluster[2,1,1024]``, ``spark://host:7077``, ``yarn``, ...
        settings: Further settings of Spark, by name.

    Returns:
        An examined ``pyspark.sql.SparkSession``.

    Raises:
        MissingExtra: pyspark is not installed.
        SparkUnusable: No Java, one that is too old, or another session is running already.
    """
    pyspark_sql = _pyspark()
    _require_java()
    running = running_session()
    if running is not None:
        return _same(require_session(running), master, settings or {})
    builder = pyspark_sql.SparkSession.builder.master(master).appName("smartrec")
    for name, value in {**_defaults(master), **(settings or {})}.items():
        builder = builder.config(name, value)
    try:
        with _python_of_workers(master):
            return require_session(builder.getOrCreate())
    except SmartRecError:
        raise
    except Exception as error:
        raise SparkUnusable(f"Spark did not start on {master} ({_first_line(error)}); see its output above") from error


def running_session() -> Any:
    """Return this process's session, begun by whichever thread, one over a context that has none, or None."""
    pyspark = optional("pyspark", "spark", "Spark")
    kind = optional("pyspark.sql", "spark", "Spark").SparkSession
    found = kind.getActiveSession() or kind._instantiatedSession
    if found is not None and getattr(getattr(found, "_sc", None), "_jsc", found) is not None:
        return found
    context = pyspark.SparkContext._active_spark_context
    return None if context is None else kind(context)


def require_session(spark: Any) -> Any:
    """Return ``spark`` if SmartRec can run in it; each session is examined once.

    Raises:
        SparkUnusable: No classic session, one that has been stopped, or its workers have another SmartRec or NumPy.
    """
    context = getattr(spark, "_sc", None)
    if context is None or not hasattr(spark, "_jvm"):
        raise SparkUnusable(
            f"spark is {type(spark).__module__}.{type(spark).__name__}; allowed: a classic session of "
            "pyspark.sql.SparkSession. Spark Connect has no broadcast: run the driver beside the cluster"
        )
    if context._jsc is None:
        raise SparkUnusable("this Spark session was stopped; begin another with smartrec.core.spark.session(master)")
    _require_workers(spark)
    return spark


def require_columns(frame: Any, columns: Mapping[str, str], what: str) -> None:
    """Raise unless a DataFrame has columns of the right kinds.

    Args:
        frame: DataFrame.
        columns: Name to "whole", "number", "text" or "" for any.
        what: The frame's name, for the message.

    Raises:
        InvalidInput: A column is missing or of another type.
    """
    types = {field.name: field.dataType.typeName() for field in frame.schema.fields}
    for name, kind in columns.items():
        if name not in types:
            raise InvalidInput(f"{what} has no column {name!r}. {errors.did_you_mean(name, types)}")
        found = {"integer": "int", "bigint": "long"}.get(types[name], types[name])
        if kind and found not in _KINDS[kind]:
            raise InvalidInput(
                f"column {name!r} of {what} is of type {types[name]}; allowed: {', '.join(_KINDS[kind])}. Cast it"
            )


@contextmanager
def clear_errors() -> Iterator[None]:
    """Raise what SmartRec raised in a worker as if it had been raised here, without Spark's traces."""
    pyspark_errors = optional("pyspark.errors", "spark", "Spark")
    try:
        yield
    except pyspark_errors.PySparkException as error:
        found = re.search(r"smartrec\.core\.errors\.(\w+): (.+?)(?:\n|$)", str(error))
        kind = getattr(errors, found[1], None) if found else None
        if found is None or kind is None:
            raise
        raise kind(found[2]) from None


def _same(running: Any, master: str, settings: Mapping[str, str]) -> Any:
    """Return the running session if it is as asked for.

    Raises:
        SparkUnusable: It has another master or other settings.
    """
    theirs = running.sparkContext.getConf()
    wanted = {"spark.master": master, **settings}
    other = {name: theirs.get(name) for name, value in wanted.items() if theirs.get(name) != value}
    if other:
        text = ", ".join(f"{name} = {value}, not {wanted[name]}" for name, value in other.items())
        raise SparkUnusable(
            f"a Spark session is running with {text}; hand that session over as it is, or stop it first (spark.stop())"
        )
    return running


def _pyspark() -> Any:
    found = optional("pyspark", "spark", "Spark")
    version = tuple(int(part) for part in found.__version__.split(".")[:2])
    if version < PYSPARK:
        raise SparkUnusable(
            f'pyspark {found.__version__}; allowed: {PYSPARK[0]}.{PYSPARK[1]} or newer: pip install "smartrec[spark]"'
        )
    return optional("pyspark.sql", "spark", "Spark")


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    try:
        done = subprocess.run([java or "java", "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        where = f"JAVA_HOME = {home}" if home else "the search path"
        raise SparkUnusable(
            f"Spark needs Java {JAVA} or newer, and there is none by {where}; install a JDK, or set JAVA_HOME"
        ) from None
    version = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    if version is None or int(version[1]) < JAVA:
        said = version[1] if version else (done.stderr or "no version").strip().splitlines()[0]
        raise SparkUnusable(f"Java {said} at {java}; allowed: {JAVA} or newer. Set JAVA_HOME to another one")


@contextmanager
def _python_of_workers(master: str) -> Iterator[None]:
    """Let workers on this machine run the Python that runs here, unless PYSPARK_PYTHON says otherwise."""
    name = "PYSPARK_PYTHON"
    if name in os.environ or not master.startswith("local"):
        yield
        return
    os.environ[name] = sys.executable
    try:
        yield
    finally:
        del os.environ[name]


def _defaults(master: str) -> dict[str, str]:
    """Return settings that make a small machine quick and quiet; on a cluster of others only what workers need."""
    above = Path(__file__).resolve().parent.parent  # a checkout, or the installed package
    ours = str(above if (above / "smartrec").is_dir() else above.parent)
    settings = {"spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    if master.startswith("local"):
        settings |= {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": "2",
            "spark.executorEnv.PYTHONPATH": ours,
            "spark.sql.session.timeZone": "UTC",
        }
    return settings


def _require_workers(spark: Any) -> None:
    application, here = spark.sparkContext.applicationId, _versions()
    if application in _examined:
        return

    def there(batches: Any) -> Any:
        import pyarrow as pa

        for _ in batches:
            yield pa.RecordBatch.from_pydict({"found": [_versions()]})

    try:
        (row,) = spark.range(1, numPartitions=1).mapInArrow(there, "found string").collect()
        found = row.found
    except optional("pyspark.errors", "spark", "Spark").PySparkException as error:
        missing = re.search(r"No module named '([^']+)'", str(error))
        if missing is None:
            raise
        found = f"no {missing[1]}"
    if found != here:
        raise SparkUnusable(
            f"Spark's workers have {found}, the driver has {here}; allowed: the same on both. Install SmartRec "
            "on the workers, send an environment along (spark.archives), or set PYSPARK_PYTHON="
            f"{sys.executable} before the session begins"
        )
    _examined.add(application)


def _versions() -> str:
    import smartrec

    python = ".".join(map(str, sys.version_info[:2]))
    assert smartrec.__version__ == __version__
    return f"Python {python}, SmartRec {__version__}, NumPy {np.__version__}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
