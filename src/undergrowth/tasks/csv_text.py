"""CSV text as columns of numbers: whatever is wrong is told in one line with the row and the rule."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from undergrowth.plain_text import in_one_line

MOST_NUMBERS = 1_000_000
MOST_BYTES = 64_000_000
Row = tuple[int, tuple[str, ...]]
"""The number of a row in its text, from 1, and its cells."""

TOO_LARGE = 2.0**128 - 2.0**103
"""From here on float32 rounds to infinity."""


@dataclass(frozen=True)
class Sheet:
    """A header and at least one row, all of the same length.

    header: the names of the columns; rows: their cells, stripped; lines: the number of each row in the
    text, where the header is row 1 and empty rows count.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    @classmethod
    def of(cls, text: str, most: int = MOST_NUMBERS) -> Sheet:
        """Read CSV text; see `filled_rows`.

        Raises ValueError, in one line, where there is no row below the header, a row is shorter or
        longer than the header, or there are more than `most` cells.
        """
        return cls.of_rows(filled_rows(text, most))

    @classmethod
    def of_rows(cls, found: Sequence[Row]) -> Sheet:
        """The first row as the header; raises ValueError as `of` does."""
        header, *rows = found or [(1, ())]
        if not rows:
            raise ValueError(
                "there is no row below the header: write a header, such as x,y,label, and below it a "
                "row for each example"
            )
        width = len(header[1])
        for line, row in rows:
            if len(row) != width:
                raise ValueError(
                    f"row {line} has {_cells(len(row))}, and the header {width}: every row needs as "
                    "many, all separated by commas, semicolons or tabs"
                )
        return cls(header[1], tuple(row for _, row in rows), tuple(line for line, _ in rows))

    def whole_numbers(self, column: int, most: int) -> np.ndarray:
        """int64 [row]: a column of whole numbers from 0 to `most`; raises ValueError for others."""
        number = {cell: _whole(cell, most) for cell in {row[column] for row in self.rows}}
        for line, row in zip(self.lines, self.rows, strict=True):
            cell = row[column]
            if number[cell] < 0:
                raise ValueError(
                    f"row {line}, column {_shown(self.header[column])} is {_shown(cell)}: it must be a "
                    f"whole number from 0 to {most}, or all must be words, so correct it or leave out "
                    "the row"
                )
        return np.array([number[row[column]] for row in self.rows])

    def words(self, columns: Sequence[int]) -> bool:
        """Whether all cells of some columns are names, none of them a number and none empty."""
        return all(row[c] and not is_number(row[c]) for row in self.rows for c in columns)

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """float32 [row, column]: some columns of finite numbers; raises ValueError for others."""
        found = [
            [self._number(line, row[column], column) for column in columns]
            for line, row in zip(self.lines, self.rows, strict=True)
        ]
        return np.array(found, np.float32)

    def _number(self, line: int, cell: str, column: int) -> float:
        number = float(cell) if is_number(cell) else np.inf
        if abs(number) >= TOO_LARGE:
            raise ValueError(
                f"row {line}, column {_shown(self.header[column])} is {_shown(cell)}: it must be a "
                "number that float32 can hold, with a point for decimals, so correct it or leave out "
                "the row"
            )
        return number


def _whole(cell: str, most: int) -> int:
    """The whole number from 0 to `most` that a cell is, or -1."""
    number = int(cell) if re.fullmatch(r"\+?[0-9]{1,18}", cell) else -1
    return number if number <= most else -1


def is_number(cell: str) -> bool:
    """Whether a cell is a decimal number, such as -1.5e3; words such as nan are none."""
    return re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", cell) is not None


def written(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """CSV text, one line a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def file_text(path: str) -> str:
    """The text of a CSV file; raises ValueError, in one line, where it cannot be read."""
    told = path if len(path) <= 120 else f"...{path[-117:]}"
    file = Path(path)
    try:
        is_file = file.is_file()
    except (OSError, ValueError):  # a name that no file system takes
        is_file = False
    if not is_file:
        where = str(Path.cwd())[-100:]
        raise ValueError(f"path = {told!r} is not a file (relative to {where!r}): correct it")
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"path = {told!r} has more than {MOST_BYTES} bytes: use a smaller file")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", "unreadable")
        raise ValueError(
            f"path = {told!r} cannot be read as UTF-8 text ({reason}): save it as UTF-8"
        ) from None


def filled_rows(text: str, most: int = MOST_NUMBERS) -> list[Row]:
    """The number and the stripped cells of each row that is not empty.

    Cells are set apart by what stands most often in the first such row: commas, semicolons or tabs.
    Raises ValueError, in one line, where it is no CSV, or has more than `most` cells
    below the first row.
    """
    text = text.removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    found: list[Row] = []
    n_cells = 0
    try:
        for row in reader:
            cells = tuple(cell.strip() for cell in row)
            if any(cells):
                found.append((reader.line_num, cells))
                n_cells += len(cells)
            if n_cells > most + len(found[0][1] if found else ()):
                raise ValueError(f"there are more than {most} numbers: use fewer rows or columns")
    except csv.Error as error:
        told = in_one_line(str(error))
        raise ValueError(
            f"row {reader.line_num} is not CSV ({told}): write one row per line, and put a cell with a "
            "quote or a comma in quotes"
        ) from None
    return found


def _delimiter(text: str) -> str:
    first = re.sub('"[^"]*"', "", next((line for line in text.splitlines() if line.strip()), ""))
    return max(",;\t", key=first.count)


def _cells(n: int) -> str:
    return "1 cell" if n == 1 else f"{n} cells"


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 20 else f"{cell[:17]}...")
