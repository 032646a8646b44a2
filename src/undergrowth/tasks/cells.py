"""The cells of a binary operation, from a list of them or from a square Cayley table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from undergrowth.tasks.csv_text import Row, Sheet, filled_rows, is_number

MOST_OPERANDS = 1024
MOST_LABELS = 10_000
MOST_NUMBERS = 3 * MOST_OPERANDS**2
HEADER = ("x", "y", "label")
FIRST_LINE = "x,y,label\n"
NORMAL = re.compile(r"x,y,label\n(?:[0-9]{1,4},[0-9]{1,4},[0-9]{1,4}\n)+")
"""What `Table` writes itself: read at once, without a look at each cell."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The defined cells in row-major order: x, y and label, int64 [cell] each, read-only.

    operands, labels: what the text calls the numbers 0, 1, ..; empty where it calls them just that.
    """

    x: np.ndarray
    y: np.ndarray
    label: np.ndarray
    operands: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@lru_cache(maxsize=8)
def cells_of(csv: str) -> Cells:
    """Read CSV text: a row a cell under the header x,y,label; or a square table of labels, with or
    without the operands above and beside it, where an empty cell is undefined.

    Whole numbers are what they are; but where none is 0 and one is 1, they count from 1, and 1 becomes
    0. Words are numbered: operands as a square's header has them, else in alphabetical order; labels as
    the operands where each is one, else in alphabetical order.

    Raises ValueError, in one line, for anything else.
    """
    if NORMAL.fullmatch(csv):
        numbers = csv[len(FIRST_LINE) :].replace("\n", ",").split(",")[:-1]
        x, y, label = np.array(numbers, np.int64).reshape(-1, 3).T
        if max(x.max(), y.max()) < MOST_OPERANDS and _is_in_order(x, y) and 0 in label:
            _refuse_one_label(label)
            return _read_only(Cells(x, y, label)) if 0 in x or 0 in y else _numbered(_sheet(csv), ())
    rows = filled_rows(csv, MOST_NUMBERS)
    if rows and tuple(cell.lower() for cell in rows[0][1]) == HEADER:
        return _numbered(Sheet.of_rows([(rows[0][0], HEADER), *rows[1:]]), ())
    return _numbered(*_squared(rows))


def _sheet(csv: str) -> Sheet:
    return Sheet.of(csv, MOST_NUMBERS)


def counted_from_0(numbers: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers that count from 1, none of them 0, counted from 0; and what each was called before."""
    if numbers.min() != 1:
        return numbers, ()
    return numbers - 1, tuple(map(str, range(1, int(numbers.max()) + 1)))


def numbered_labels(
    sheet: Sheet, column: int, operands: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """int64 [row]: the labels in a column; and what they are called. Raises ValueError where they are
    neither whole numbers nor words, or all the same.
    """
    if sheet.words([column]):
        given = [row[column] for row in sheet.rows]
        names = tuple(operands if set(given) <= set(operands) else sorted(set(given)))
        if len(names) > MOST_LABELS:
            raise ValueError(f"there are {len(names)} labels: use at most {MOST_LABELS}")
        labels = _places(given, names)
    else:
        labels, names = counted_from_0(sheet.whole_numbers(column, MOST_LABELS - 1))
    _refuse_one_label(labels, sheet.rows[0][column])
    return labels, names


def _squared(rows: Sequence[Row]) -> tuple[Sheet, tuple[str, ...]]:
    """A square table as a list of its cells; and its operands in order, where they stand above it."""
    n = len(rows)
    if n and (n < 2 or any(len(row) != n for _, row in rows)):
        raise ValueError(
            f"row {rows[0][0]} is {','.join(rows[0][1])[:40]!r}: it must be the header, which is x,y,"
            "label with one row per cell below; or use a square table of labels, with as many "
            "rows as columns"
        )
    if not n:
        return Sheet.of_rows(rows), ()
    above = rows[0][1][1:]
    body = [(line, row[1:]) for line, row in rows[1:]]
    is_named = _is_header(rows[0][1][0], above, [row[0] for _, row in rows[1:]], body)
    if not is_named:
        above, body = tuple(map(str, range(n))), list(rows)
    cells = [
        (line, (x, y, label))
        for x, (line, row) in zip(above, body, strict=True)
        for y, label in zip(above, row, strict=True)
        if label
    ]
    return Sheet.of_rows([(rows[0][0], HEADER), *cells]), above if is_named else ()


def _is_header(corner: str, above: Sequence[str], beside: Sequence[str], body: Sequence[Row]) -> bool:
    """Whether operands stand above and beside: the same, each once, and the corner is no label."""
    inside = {*above, *(cell for _, row in body for cell in row)}
    is_apart = corner not in inside and not (is_number(corner) and all(map(is_number, above)))
    return (
        len(above) > 1
        and (not corner or is_apart)
        and list(above) == list(beside)
        and len(set(above)) == len(above)
    )


def _numbered(sheet: Sheet, order: Sequence[str]) -> Cells:
    if sheet.words([0, 1]):
        given = [[row[column] for row in sheet.rows] for column in (0, 1)]
        operands = tuple(order or sorted({*given[0], *given[1]}))
        if len(operands) > MOST_OPERANDS:
            raise ValueError(f"there are {len(operands)} operands: use at most {MOST_OPERANDS}")
        x, y = (_places(names, operands) for names in given)
    else:
        both = np.stack([sheet.whole_numbers(column, MOST_OPERANDS - 1) for column in (0, 1)])
        (x, y), operands = counted_from_0(both)
    label, labels = numbered_labels(sheet, 2, operands)
    order_of = np.lexsort((y, x))
    _refuse_twice(sheet, x, y, order_of)
    return _read_only(Cells(x[order_of], y[order_of], label[order_of], operands, labels))


def _places(given: Sequence[str], names: Sequence[str]) -> np.ndarray:
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[name] for name in given], np.int64)


def _is_in_order(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether cells ascend in row-major order, each there once."""
    return bool((np.diff(x * MOST_OPERANDS + y) > 0).all())


def _read_only(cells: Cells) -> Cells:
    for column in (cells.x, cells.y, cells.label):
        column.setflags(write=False)
    return cells


def _refuse_one_label(labels: np.ndarray, told: str | None = None) -> None:
    if (labels == labels[0]).all():
        called = str(labels[0]) if told is None else told[:40]
        raise ValueError(
            f"every row has label {called}: there is nothing to learn with fewer than two labels, so "
            "add rows with another"
        )


def _refuse_twice(sheet: Sheet, x: np.ndarray, y: np.ndarray, order: np.ndarray) -> None:
    again = np.flatnonzero((np.diff(x[order]) == 0) & (np.diff(y[order]) == 0))
    if len(again):
        one, other = order[again[0]], order[again[0] + 1]
        of_x, of_y = (cell[:20] for cell in sheet.rows[one][:2])
        raise ValueError(
            f"row {sheet.lines[other]} gives x = {of_x}, y = {of_y} a label again, after row "
            f"{sheet.lines[one]}: a cell has one label, so keep one of the rows"
        )
