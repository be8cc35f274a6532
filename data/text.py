"""Text files in columns: read fast, and where that fails, read again slowly to name the first bad line."""

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal, NoReturn

import numpy as np

from smartrec.core.arrays import Array
from smartrec.core.errors import DataError
from smartrec.data.files import Source

if TYPE_CHECKING:
    import pyarrow as pa

FETCH_AGAIN = "The file is damaged or truncated; fetch it again."
_SEPARATORS = {"\t": "tab-separated", ",": "comma-separated", "|": "'|'-separated", "::": "'::'-separated"}
_INTEGER = re.compile(r"\s*-?\d{1,18}\s*")


@dataclass(frozen=True)
class Column:
    """What one column holds.

    Attributes:
        name: As used in messages, and as key of what is read.
        kind: ``"int"`` and ``"float"`` refuse empty cells and NaN; ``"text"`` takes anything.
        low: The smallest number allowed.
        high: The largest number allowed.
        choices: The texts allowed; all if empty.
    """

    name: str
    kind: Literal["int", "float", "text"]
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def fault(self, cell: str) -> str | None:
        """Return what is wrong with a cell, None if nothing is."""
        if self.kind == "text":
            wrong = self.choices and cell not in self.choices
            return f"{self.name} is {cell!r}; allowed: {', '.join(self.choices)}" if wrong else None
        if not cell.strip():
            return f"{self.name} is empty; a number is wanted"
        value = _number(cell, self.kind)
        if value is None:
            return f"{self.name} is {cell!r}; allowed: {'whole' if self.kind == 'int' else 'finite'} numbers"
        if not self.low <= value <= self.high:
            return f"{self.name} is {cell}; allowed: {self.low:.12g} to {self.high:.12g}"
        return None


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out.

    Attributes:
        columns: All of them, in order.
        separator: Between the cells of a line.
        encoding: Of the text.
        header: The first line, word for word; empty where there is none.
        quoted: Whether cells may be quoted, as CSV does.
        remedy: What to do about a bad line.
        lines: Reads all lines below the header faster, an array a column; None where a line is of another form.
    """

    columns: tuple[Column, ...]
    separator: str = ","
    encoding: str = "utf-8"
    header: str = ""
    quoted: bool = False
    remedy: str = FETCH_AGAIN
    lines: Callable[[IO[bytes]], Sequence[Array] | None] | None = None

    def fault(self, cells: list[str]) -> str | None:
        """Return what is wrong with the cells of a line, None if nothing is."""
        if len(cells) != len(self.columns):
            names = ", ".join(column.name for column in self.columns)
            how = _SEPARATORS.get(self.separator, f"{self.separator!r}-separated")
            line = self.separator.join(cells)
            shown = line if len(line) <= 120 else line[:117] + "..."
            return f"expected {len(self.columns)} {how} fields ({names}), found {len(cells)}: {shown!r}"
        found = (column.fault(cell) for column, cell in zip(self.columns, cells, strict=True))
        return next((fault for fault in found if fault), None)


def read_columns(source: Source, layout: Layout) -> dict[str, Array]:
    """Read a large file: integer, float and object arrays [R] by column name.

    Raises:
        DataError: With the line of the first fault.
    """
    arrays = _read_lines(source, layout)
    if arrays is None:
        table = read_arrow(source, layout)
        arrays = {column.name: table[column.name].to_numpy() for column in layout.columns}
    if not all(_within(column, arrays[column.name]) for column in layout.columns):
        _raise_first_fault(source, layout, "values out of range")
    return arrays


def read_arrow(source: Source, layout: Layout) -> "pa.Table":
    """Read a large file as an Arrow table, its values not yet held against their ranges.

    Raises:
        DataError: There are no rows, or a line has too few or too many fields, or no number where one is due.
    """
    import pyarrow as pa

    with source.open() as stream:
        next(_rows(stream, source, layout), None)  # sees to the header, which the fast way passes over unread
    try:
        with source.open() as stream:
            table = _read_fast(stream, layout)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        _raise_first_fault(source, layout, str(error))
    if not table.num_rows:
        raise DataError(f"{source} has no rows. {layout.remedy}")
    return table


def read_rows(source: Source, layout: Layout) -> list[list[str]]:
    """Read a small file whose first column is a key: the checked cells of each line.

    Raises:
        DataError: With the line of the first fault, or of a key that occurs again.
    """
    rows, seen = [], set()
    for line, cells in scan(source, layout):
        if cells[0] in seen:
            raise fault_at(source, line, f"{layout.columns[0].name} {cells[0]!r} occurs a second time", layout)
        seen.add(cells[0])
        rows.append(cells)
    if not rows:
        raise DataError(f"{source} has no rows. {layout.remedy}")
    return rows


def scan(source: Source, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Walk the lines below the header: (line number from 1, cells). Empty lines are passed over.

    Raises:
        DataError: At the first line with a fault.
    """
    with source.open() as stream:
        for line, cells in _rows(stream, source, layout):
            fault = layout.fault(cells)
            if fault:
                raise fault_at(source, line, fault, layout)
            yield line, cells


def line_of_row(source: Source, layout: Layout, row: int) -> int:
    """Return the line number (from 1) of a row (from 0) as ``read_columns`` counts them."""
    return next(line for number, (line, _) in enumerate(scan(source, layout)) if number == row)


def fault_at(source: Source, line: int, fault: str, layout: Layout) -> DataError:
    """Return the error that names a line."""
    return DataError(f"{source}, line {line}: {fault}. {layout.remedy}")


def first_line(source: Source, encoding: str = "utf-8") -> str:
    """Return the first line, without its end and without a byte-order mark.

    Raises:
        DataError: The file is empty, or not in that encoding.
    """
    with source.open() as stream:
        raw = stream.readline()
    if not raw.strip():
        raise DataError(f"{source} is empty, or its first line is; a header is wanted. Fetch or write it again.")
    try:
        return raw.decode(encoding).removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError:
        raise DataError(f"{source}, line 1: is not {encoding} text. Save it as {encoding}.") from None


def _read_lines(source: Source, layout: Layout) -> dict[str, Array] | None:
    """Return the columns where the layout has a reader of its own and all lines are of its form."""
    if layout.lines is None or first_line(source, layout.encoding).strip() != layout.header:
        return None
    with source.open() as stream:
        stream.readline()
        arrays = layout.lines(stream)
    names = (column.name for column in layout.columns)
    return None if arrays is None else dict(zip(names, arrays, strict=True))


def _read_fast(stream: IO[bytes], layout: Layout) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types = {"int": pa.int64(), "float": pa.float64(), "text": pa.string()}
    columns = {column.name: types[column.kind] for column in layout.columns}
    names = list(columns)
    if len(layout.separator) == 2:
        # Arrow splits at one character; what lies between the two of '::' must be empty: null() sees to it.
        names = [part for name in names for part in (name, f"between {name}")][:-1]
        columns |= {name: pa.null() for name in names if name not in columns}
    table = arrow_csv.read_csv(
        stream,
        arrow_csv.ReadOptions(column_names=names, skip_rows=1 if layout.header else 0, encoding=layout.encoding),
        arrow_csv.ParseOptions(
            delimiter=layout.separator[0],
            quote_char='"' if layout.quoted else False,
            newlines_in_values=layout.quoted,
        ),
        arrow_csv.ConvertOptions(column_types=columns, null_values=[""], strings_can_be_null=False),
    )
    return table


def _within(column: Column, values: Array) -> bool:
    if column.kind == "text":
        return not column.choices or set(values.tolist()) <= set(column.choices)
    # Arrow turns integers with an empty cell into floats with NaN, and NaN fails both comparisons.
    return bool(np.isfinite(values).all() and values.min() >= column.low and values.max() <= column.high)


def _raise_first_fault(source: Source, layout: Layout, otherwise: str) -> NoReturn:
    rows = sum(1 for _ in scan(source, layout))
    raise DataError(f"{source} has no rows. {layout.remedy}" if not rows else f"{source}: {otherwise}. {layout.remedy}")


def _rows(stream: IO[bytes], source: Source, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    rows = _split(_decoded(stream, source, layout), source, layout)
    if layout.header:
        line, cells = next(rows, (1, []))
        if layout.separator.join(cells).strip() != layout.header.strip():
            raise fault_at(source, line, f"the header is {cells}; expected {layout.header!r}", layout)
    yield from rows


def _decoded(stream: IO[bytes], source: Source, layout: Layout) -> Iterator[str]:
    for line, raw in enumerate(stream, start=1):
        try:
            text = raw.decode(layout.encoding)
        except UnicodeDecodeError as error:
            fault = f"byte {raw[error.start]:#04x} is not {layout.encoding} text"
            raise fault_at(source, line, fault, layout) from None
        yield text.removeprefix("\ufeff") if line == 1 else text


def _split(lines: Iterable[str], source: Source, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    if not layout.quoted:
        stripped = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1))
        yield from ((number, line.split(layout.separator)) for number, line in stripped if line)
        return
    reader = csv.reader(lines, delimiter=layout.separator, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise fault_at(source, reader.line_num, f"cannot be split into cells ({error})", layout) from None


def _number(cell: str, kind: str) -> float | None:
    if kind == "int":
        return int(cell) if _INTEGER.fullmatch(cell) else None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None
