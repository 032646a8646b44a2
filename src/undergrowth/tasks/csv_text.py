"""CSV text as columns of numbers: whatever is wrong is told in one line with the row and the rule."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MOST_NUMBERS = 1_000_000
MOST_BYTES = 64_000_000
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
    def of(cls, text: str) -> Sheet:
        """Read CSV text with commas; empty rows are passed over.

        Raises ValueError, in one line, where there is no row below the header, a row is shorter or
        longer than the header, or there are more than 1,000,000 cells.
        """
        header, *rows = _filled_rows(text) or [(1, ())]
        if not rows:
            raise ValueError(
                "there is no row below the header: a header and a row per example are needed"
            )
        width = len(header[1])
        for line, row in rows:
            if len(row) != width:
                raise ValueError(
                    f"row {line} has {_cells(len(row))}, and the header {width}: every row needs as "
                    "many, set apart by commas"
                )
        return cls(header[1], tuple(row for _, row in rows), tuple(line for line, _ in rows))

    def whole_numbers(self, column: int, most: int) -> np.ndarray:
        """int64 [row]: a column of whole numbers from 0 to `most`; raises ValueError for others."""
        for line, row in zip(self.lines, self.rows, strict=True):
            cell = row[column]
            if not re.fullmatch(r"\+?[0-9]{1,18}", cell) or int(cell) > most:
                raise ValueError(
                    f"row {line}, column {self.header[column]!r} is {_shown(cell)}: it must be a whole "
                    f"number from 0 to {most}, so correct it or leave the row out"
                )
        return np.array([int(row[column]) for row in self.rows])

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
                f"row {line}, column {self.header[column]!r} is {_shown(cell)}: it must be a number "
                "that float32 can hold, so correct it or leave the row out"
            )
        return number


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
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"path = {path!r} is not a file, seen from {str(Path.cwd())!r}: correct it")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"path = {path!r} has more than {MOST_BYTES} bytes: take a smaller file")
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"path = {path!r} cannot be read as UTF-8 text: {error}") from None


def _filled_rows(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """The number and the stripped cells of each row that is not empty."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    found: list[tuple[int, tuple[str, ...]]] = []
    n_cells = 0
    try:
        for row in reader:
            cells = tuple(cell.strip() for cell in row)
            if any(cells):
                found.append((reader.line_num, cells))
                n_cells += len(cells)
            if n_cells > MOST_NUMBERS + len(found[0][1] if found else ()):
                raise ValueError(
                    f"there are more than {MOST_NUMBERS} numbers: take fewer rows or columns"
                )
    except csv.Error as error:
        raise ValueError(f"row {reader.line_num} is not CSV: {error}") from None
    return found


def _cells(n: int) -> str:
    return "1 cell" if n == 1 else f"{n} cells"


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 20 else f"{cell[:17]}...")
