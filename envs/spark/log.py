"""A log of iterations on any file system that Spark knows, each iteration written exactly once.

Layout, as Sim4Rec's: ``<folder>/log.parquet/__iter=<n>/*.parquet``. An iteration is written under another name, which
readers pass over, and then renamed: it is there as a whole, or not at all.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput, OutputError
from smartrec.core.optional import optional
from smartrec.core.spark import clear_errors, require_session

LOG, HEADER = "log.parquet", "run.json"
ITERATION = "__iter"
_UNFINISHED = "_unfinished-"


class IterationLog:
    """Iterations of rows, numbered from 1; number 0 is what was there before the first.

    One driver writes at a time. The rename is atomic on HDFS and on disks; on an object store it is not, and an
    iteration interrupted there has to be looked at.

    Args:
        spark: Session.
        folder: Path or URL; made with the first thing that is written. A relative path on a disk starts at Python's
            current folder.
        resume: Whether it may hold iterations already, to go on from.

    Raises:
        OutputError: It holds iterations, and ``resume`` is False, or other files.
        SparkUnusable: The session does not fit.
    """

    def __init__(self, spark: Any, folder: str, *, resume: bool = False) -> None:
        self.spark = require_session(spark)
        self.folder = str(folder).rstrip("/")
        self._fields: Any = None  # of the rows; looking them up takes a Spark job
        self._path = spark._jvm.org.apache.hadoop.fs.Path
        self._files = self._path(self.folder).getFileSystem(spark._jsc.hadoopConfiguration())
        if self.on_disk and not self._path(self.folder).isAbsolute():  # Java's and the workers' folders are others
            self.folder = os.path.abspath(self.folder)
        names = self._names(self.folder)
        if names and not resume:
            raise OutputError(
                f"{self.folder} holds {', '.join(names[:3])}; choose a new folder, or go on by resume=True"
            )
        if names and not set(names) & {LOG, HEADER}:
            raise OutputError(f"{self.folder} holds other files and no {LOG} to go on from; choose a new folder")
        for name in self._names(f"{self.folder}/{LOG}"):
            if name.startswith(_UNFINISHED):  # its writer died; the iteration is written again as a whole
                self._files.delete(self._path(f"{self.folder}/{LOG}/{name}"), True)

    @property
    def iterations(self) -> list[int]:
        """The iterations that are there, ascending."""
        names = [name for name in self._names(f"{self.folder}/{LOG}") if name.startswith(f"{ITERATION}=")]
        return sorted(int(name.partition("=")[2]) for name in names)

    def write(self, frame: Any, iteration: int, *, rows: int | None = None) -> None:
        """Write an iteration, all or nothing.

        Args:
            frame: DataFrame, of the same names and types as the iterations before, in any order.
            iteration: Number, >= 0, of one that is not there yet.
            rows: How many rows the frame has to have, or None for any number.

        Raises:
            InvalidConfig: ``iteration`` is there already, or below 0.
            InvalidInput: Other columns or types, a column ``__iter``, or another number of rows.
        """
        frame = self._fitting(frame)
        with self._whole(iteration) as unfinished, clear_errors():
            frame.write.parquet(unfinished)
            there = rows if rows is None else self.spark.read.parquet(unfinished).count()
            if there != rows:
                raise InvalidInput(
                    f"iteration {iteration} has {there} rows; allowed: {rows}. A pipeline answers each pair once: look "
                    "for a join with keys that repeat or are missing"
                )

    def require_columns(self, columns: str) -> None:
        """Raise unless rows of these columns fit the log.

        Args:
            columns: Names and types, as Spark's SQL says them: ``user_idx long, item_idx int``.

        Raises:
            InvalidInput: The log has other columns or types.
        """
        types = optional("pyspark.sql.types", "spark", "IterationLog")
        self._require_fit(types.StructType.fromDDL(columns), f"a row ({columns})")

    @property
    def on_disk(self) -> bool:
        """Whether the log is on a disk, so that workers can write files of their own."""
        return str(self._files.getScheme()) == "file"

    def write_pieces(self, job: Callable[[str], list[str]], iteration: int) -> None:
        """Write an iteration whose files the workers write, all or nothing; only where the log is ``on_disk``.

        Args:
            job: Called with the folder to write Parquet files to; returns their names.
            iteration: As for ``write``.

        Raises:
            InvalidConfig: ``iteration`` is there already, or below 0.
            OutputError: A file did not come: not all workers reach the folder.
        """
        with self._whole(iteration) as unfinished:
            self._files.mkdirs(self._path(unfinished))
            with clear_errors():
                names = job(self._path(unfinished).toUri().getPath())
            there = {*self._names(unfinished)}
            missing = sorted({*names} - there)
            if missing:
                raise OutputError(
                    f"{', '.join(missing[:3])} of iteration {iteration} did not come to {self.folder}; choose a folder "
                    "that all workers reach under the same path, or a URL such as hdfs://..."
                )
            for name in there - {*names}:  # of tasks that were tried again
                self._files.delete(self._path(f"{unfinished}/{name}"), True)

    @contextmanager
    def _whole(self, iteration: int) -> Iterator[str]:
        """Give the name of a folder that becomes the iteration when the block ends well, and vanishes otherwise."""
        if iteration < 0 or iteration in self.iterations:
            raise InvalidConfig(f"iteration = {iteration}; allowed: 0 or more, and none of {self.iterations}")
        self._make()
        unfinished = f"{self.folder}/{LOG}/{_UNFINISHED}{iteration}-{secrets.token_hex(6)}"
        target = self._path(self._place(iteration))
        try:
            yield unfinished
            if self._files.exists(target) or not self._files.rename(self._path(unfinished), target):
                raise OutputError(f"iteration {iteration} of {self.folder} was written by another driver; use one")
        except BaseException:
            self._files.delete(self._path(unfinished), True)
            raise

    def read(self, *iterations: int) -> Any:
        """Return rows as a DataFrame with the iteration in the column ``__iter``.

        Args:
            *iterations: Which; none for all.

        Raises:
            DataNotFound: There are none, or not all of those asked for.
        """
        there = self.iterations
        wanted = list(iterations) or there
        missing = [number for number in wanted if number not in there]
        if missing or not wanted:
            raise DataNotFound(f"{self.folder} has iterations {there}, not {missing or 'any'}")
        schema = self._schema(there[0]).add(ITERATION, "integer")
        reader = self.spark.read.schema(schema).option("basePath", f"{self.folder}/{LOG}")
        return reader.parquet(*map(self._place, wanted))

    def write_header(self, text: str) -> None:
        """Write down what the log is of; kept as it is where it is there already.

        Raises:
            DataError: Another header is there, or iterations without one: this is another log.
        """
        path = self._path(f"{self.folder}/{HEADER}")
        if self._files.exists(path):
            found = "\n".join(row.value for row in self.spark.read.text(path.toString()).collect())
            if found != text:
                raise DataError(
                    f"{self.folder} holds another run, {found}, and this one is {text}; choose another folder, or go "
                    "on with the run that is there"
                )
            return
        if any(self.iterations):  # 0 is what was there before
            raise DataError(f"{self.folder} holds iterations without {HEADER}: another log; choose another folder")
        self._make()
        unfinished = self._path(f"{self.folder}/.{HEADER}-{secrets.token_hex(6)}")
        stream = self._files.create(unfinished, False)
        stream.write(bytearray(text, "utf-8"))
        stream.close()
        self._files.rename(unfinished, path)

    def _make(self) -> None:
        try:
            made = self._files.mkdirs(self._path(f"{self.folder}/{LOG}"))
        except Exception as error:  # what the file system raises is Java's
            raise OutputError(f"{self.folder}/{LOG} cannot be made ({type(error).__name__}); choose another") from error
        if not made:
            raise OutputError(f"{self.folder}/{LOG} cannot be made; choose a folder that can be written")

    def _fitting(self, frame: Any) -> Any:
        """Return ``frame`` with its columns in the log's order."""
        if ITERATION in frame.columns:
            raise InvalidInput(f"the frame has a column {ITERATION!r}, which the log adds by itself; drop it")
        names = self._require_fit(frame.schema, "the frame")
        return frame.select(*names) if names else frame

    def _require_fit(self, schema: Any, what: str) -> list[str]:
        """Return the log's columns, none where it has no rows yet; raise unless ``schema`` has the same ones.

        Raises:
            InvalidInput: With all that differ.
        """
        there = self.iterations
        if not there:
            return []
        schemas = self._schema(there[0]), schema
        old, new = ({f.name: f.dataType.simpleString() for f in s.fields} for s in schemas)
        if old != new:
            wrong = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            text = ", ".join(f"{name}: {new.get(name, 'none')}, not {old.get(name, 'none')}" for name in wrong)
            raise InvalidInput(f"{what} does not fit the log in {self.folder} ({text}); cast, rename or drop columns")
        return list(old)

    def _schema(self, iteration: int) -> Any:
        types = optional("pyspark.sql.types", "spark", "IterationLog")
        if self._fields is None:
            self._fields = self.spark.read.parquet(self._place(iteration)).schema.fields
        return types.StructType(list(self._fields))

    def _place(self, iteration: int) -> str:
        return f"{self.folder}/{LOG}/{ITERATION}={iteration}"

    def _names(self, folder: str) -> list[str]:
        path = self._path(folder)
        if not self._files.exists(path):
            return []
        if not self._files.getFileStatus(path).isDirectory():
            raise OutputError(f"{folder} is a file; choose a folder")
        return sorted(status.getPath().getName() for status in self._files.listStatus(path))
