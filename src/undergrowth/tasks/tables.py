"""Tasks of the user's own: an operation or a list of examples, given as CSV."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, field_validator, model_validator

from undergrowth.tasks.csv_text import Sheet, file_text, is_number, written
from undergrowth.tasks.task import UNDEFINED, Examples, Features, Operation, Task

MOST_OPERANDS = 1024
MOST_LABELS = 10_000

Title = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\P{Cc}+$")]


class CsvTask(Task):
    """A task held as CSV text, so that a run is complete without the file that it came from.

    On input `path` may stand in place of `csv`: the file is read then and there (a relative path is
    seen from the working directory), and its name without the ending is the title where none is given.
    Equal content is an equal task, however it was written.
    """

    csv: str
    title: Title

    @classmethod
    @abstractmethod
    def normal(cls, csv: str) -> str:
        """The same content in the one way to write it; raises ValueError for bad content."""

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping) or ("csv" in fields and "path" not in fields):
            return fields
        if "csv" in fields or not isinstance(fields.get("path"), str | PathLike):
            raise ValueError(
                f"a {cls.model_fields['name'].default} needs either csv, its text, or path, a file's "
                "name: give one of them"
            )
        others = {key: value for key, value in fields.items() if key != "path"}
        path = fspath(fields["path"])
        text = file_text(path)
        try:
            return {"title": Path(path).stem, **others, "csv": cls.normal(text)}
        except ValueError as error:
            raise ValueError(f"{Path(path).name}: {error}") from None

    @field_validator("csv", mode="after")
    @classmethod
    def _is_normal(cls, csv: str) -> str:
        return cls.normal(csv)

    def describe(self) -> str:
        return self.title


class Table(CsvTask, Operation):
    """A binary operation given by its cells: CSV with the columns x,y,label, one row a defined cell.

    Operands are 0 .. the largest in the table (at most 1023), labels 0 .. the largest (at most 9999);
    what has no row is undefined. There may be 1,000,000 numbers in all.
    """

    name: Literal["table"] = "table"
    title: Title = "table"

    @classmethod
    def of(cls, table: ArrayLike, title: str = "table") -> Table:
        """From an integer array [x, y] of labels, with -1 where the operation is undefined.

        Raises ValueError where it is not one.
        """
        cells = np.asarray(table)
        if cells.ndim != 2 or cells.dtype.kind not in "iu":
            raise ValueError(
                f"table has shape {cells.shape} and type {cells.dtype}: give an integer array [x, y]"
            )
        x, y = np.nonzero(cells != UNDEFINED)
        return cls(csv=_cells_as_csv(x, y, cells[x, y]), title=title)

    @classmethod
    def normal(cls, csv: str) -> str:
        return _cells_as_csv(*_cells(csv))

    @property
    def n_operands(self) -> int:
        x, y, _ = _cells(self.csv)
        return int(max(x.max(), y.max())) + 1

    @property
    def n_labels(self) -> int:
        return int(_cells(self.csv)[2].max()) + 1

    def table(self) -> np.ndarray:
        x, y, label = _cells(self.csv)
        table = np.full((self.n_operands, self.n_operands), UNDEFINED, np.int32)
        table[x, y] = label
        return table


class FeatureTable(CsvTask):
    """Examples given by their numbers: CSV with a header, a row an example, its label at the end.

    Inputs are the other columns as float32, in the file's order; labels are 0 .. the largest (at most
    9999). There may be 1,000,000 numbers in all.
    """

    name: Literal["feature_table"] = "feature_table"
    title: Title = "feature table"

    @classmethod
    def of(cls, inputs: ArrayLike, labels: ArrayLike, title: str = "feature table") -> FeatureTable:
        """From real inputs [example, feature] and integer labels [example].

        Raises ValueError where they are not such.
        """
        features, label = np.asarray(inputs), np.asarray(labels)
        kinds_fit = features.dtype.kind in "biuf" and label.dtype.kind in "iu"
        if not kinds_fit or features.ndim != 2 or label.shape != features.shape[:1]:
            raise ValueError(
                f"inputs have shape {features.shape} and type {features.dtype}, labels {label.shape} "
                f"and {label.dtype}: give numbers [example, feature] and integers [example]"
            )
        header = [*(f"x{i + 1}" for i in range(features.shape[1])), "label"]
        rows = zip(features.astype(float).tolist(), label.tolist(), strict=True)
        return cls(csv=written(header, ([*row, answer] for row, answer in rows)), title=title)

    @classmethod
    def normal(cls, csv: str) -> str:
        header, examples = _examples(csv)
        rows = zip(examples.inputs.astype(str).tolist(), examples.labels.tolist(), strict=True)
        return written(header, ([*row, answer] for row, answer in rows))

    @property
    def input_space(self) -> Features:
        return Features(_examples(self.csv)[1].inputs.shape[1])

    @property
    def n_labels(self) -> int:
        return int(_examples(self.csv)[1].labels.max()) + 1

    def examples(self) -> Examples:
        return _examples(self.csv)[1]


def _cells_as_csv(x: np.ndarray, y: np.ndarray, label: np.ndarray) -> str:
    return written(["x", "y", "label"], np.stack([x, y, label], axis=1).tolist())


@lru_cache(maxsize=8)
def _cells(csv: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and label of the defined cells, int64 [cell] each, in row-major order; read-only."""
    sheet = Sheet.of(csv)
    if sheet.header != ("x", "y", "label"):
        raise ValueError(
            f"row 1 is {','.join(sheet.header)[:40]!r}: it must be the header, which is x,y,label"
        )
    x, y = (sheet.whole_numbers(column, MOST_OPERANDS - 1) for column in (0, 1))
    label = _labels(sheet)
    order = np.lexsort((y, x))
    _refuse_twice(sheet, x, y, order)
    cells = (x[order], y[order], label[order])
    for column in cells:
        column.setflags(write=False)
    return cells


@lru_cache(maxsize=8)
def _examples(csv: str) -> tuple[tuple[str, ...], Examples]:
    """The names of the columns, and the examples, read-only."""
    sheet = Sheet.of(csv)
    if len(sheet.header) < 2 or all(map(is_number, sheet.header)):
        raise ValueError(
            f"row 1 is {','.join(sheet.header)[:40]!r}: it must be the header, which names one column "
            "of numbers or more and then the label's, such as x1,x2,label"
        )
    labels = _labels(sheet).astype(np.int32)
    examples = Examples(sheet.numbers(range(len(sheet.header) - 1)), labels)
    examples.inputs.setflags(write=False)
    examples.labels.setflags(write=False)
    return sheet.header, examples


def _labels(sheet: Sheet) -> np.ndarray:
    labels = sheet.whole_numbers(len(sheet.header) - 1, MOST_LABELS - 1)
    if (labels == labels[0]).all():
        raise ValueError(
            f"every row has label {labels[0]}: there is nothing to learn with fewer than two labels, so "
            "add rows with another"
        )
    return labels


def _refuse_twice(sheet: Sheet, x: np.ndarray, y: np.ndarray, order: np.ndarray) -> None:
    again = np.flatnonzero((np.diff(x[order]) == 0) & (np.diff(y[order]) == 0))
    if len(again):
        one, other = order[again[0]], order[again[0] + 1]
        raise ValueError(
            f"row {sheet.lines[other]} gives x = {x[one]}, y = {y[one]} a label again, after row "
            f"{sheet.lines[one]}: a cell has one label, so keep one of the rows"
        )
