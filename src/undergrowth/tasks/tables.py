"""Tasks of the user's own: an operation or a list of examples, given as CSV."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, field_validator, model_validator

from undergrowth.tasks.cells import HEADER, cells_of, numbered_labels
from undergrowth.tasks.csv_text import Sheet, file_text, is_number, written
from undergrowth.tasks.task import UNDEFINED, Examples, Features, Operation, Task

Title = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\P{Cc}+$")]


class CsvTask(Task):
    """A task held as CSV text, so that a run is complete without the file that it came from.

    On input `path` may stand in place of `csv`: the file is read then and there (a relative path is
    seen from the working directory), and its name without the ending is the title where none is given.
    Equal content is an equal run, however it was written and whatever it is called: neither the title
    nor names are part of a run's id. label_names: what the file calls the labels 0, 1, ..; empty where
    it calls them just that.
    """

    names_only: ClassVar[frozenset[str]] = frozenset({"title", "operand_names", "label_names"})

    csv: str
    title: Title
    label_names: tuple[str, ...] = ()

    @classmethod
    @abstractmethod
    def normal(cls, csv: str) -> str:
        """The same content in the one way to write it; raises ValueError for bad content."""

    @classmethod
    @abstractmethod
    def names(cls, csv: str) -> dict[str, tuple[str, ...]]:
        """What the content calls its numbers, by field; raises ValueError for bad content."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, fields: Any) -> Any:
        fields = cls._from_file(fields)
        if not isinstance(fields, Mapping) or not isinstance(fields.get("csv"), str):
            return fields
        try:
            names = cls.names(fields["csv"])
        except ValueError:  # the check of csv says what is wrong
            return fields
        return {**{field: found for field, found in names.items() if found}, **fields}

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
            found = {field: names for field, names in cls.names(text).items() if names}
            return {"title": _title_of(path), **found, **others, "csv": cls.normal(text)}
        except ValueError as error:
            raise ValueError(f"{Path(path).name}: {error}") from None

    @model_validator(mode="after")
    def _has_a_name_for_each_number(self) -> CsvTask:
        for field, n in self.named().items():
            names = getattr(self, field)
            if names and (len(names) != n or len(set(names)) != n):
                raise ValueError(
                    f"{field} are {len(set(names))} different names, but there are {n} to name: give "
                    "one for each, or omit them"
                )
        return self

    def named(self) -> dict[str, int]:
        """How many numbers each field of names has to name."""
        return {"label_names": self.n_labels}

    @field_validator("csv", mode="after")
    @classmethod
    def _is_normal(cls, csv: str) -> str:
        return cls.normal(csv)

    def describe(self) -> str:
        return self.title


class Table(CsvTask, Operation):
    """A binary operation given by its cells: CSV with the columns x,y,label, one row per defined cell,
    or a square Cayley table; see `cells.cells_of` for how it is read.

    Operands are 0 .. the largest in the table (at most 1023), labels 0 .. the largest (at most 9999);
    what has no row is undefined. operand_names: the file's names of the operands 0, 1, ..; empty if
    they are just these numbers.
    """

    name: Literal["table"] = "table"
    title: Title = "table"
    operand_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: ArrayLike, title: str = "table") -> Table:
        """From an integer array [x, y] of labels, with -1 where the operation is undefined.

        Raises ValueError for anything else.
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
        cells = cells_of(csv)
        return _cells_as_csv(cells.x, cells.y, cells.label)

    @classmethod
    def names(cls, csv: str) -> dict[str, tuple[str, ...]]:
        cells = cells_of(csv)
        return {"operand_names": cells.operands, "label_names": cells.labels}

    @property
    def n_operands(self) -> int:
        cells = cells_of(self.csv)
        return int(max(cells.x.max(), cells.y.max())) + 1

    @property
    def n_labels(self) -> int:
        return int(cells_of(self.csv).label.max()) + 1

    def named(self) -> dict[str, int]:
        return {**super().named(), "operand_names": self.n_operands}

    def table(self) -> np.ndarray:
        cells = cells_of(self.csv)
        table = np.full((self.n_operands, self.n_operands), UNDEFINED, np.int32)
        table[cells.x, cells.y] = cells.label
        return table


class FeatureTable(CsvTask):
    """Examples given as numbers: CSV with a header, one row per example, its label in the last column.

    Inputs are the other columns as float32, in the file's order; labels are 0 .. the largest (at most
    9999), or words, numbered in alphabetical order. There may be 1,000,000 numbers in all.
    """

    name: Literal["feature_table"] = "feature_table"
    title: Title = "feature table"

    @classmethod
    def of(cls, inputs: ArrayLike, labels: ArrayLike, title: str = "feature table") -> FeatureTable:
        """From real inputs [example, feature] and integer labels [example].

        Raises ValueError for anything else.
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
        header, examples, _ = _examples(csv)
        rows = zip(examples.inputs.astype(str).tolist(), examples.labels.tolist(), strict=True)
        return written(header, ([*row, answer] for row, answer in rows))

    @classmethod
    def names(cls, csv: str) -> dict[str, tuple[str, ...]]:
        return {"label_names": _examples(csv)[2]}

    @property
    def input_space(self) -> Features:
        return Features(_examples(self.csv)[1].inputs.shape[1])

    @property
    def n_labels(self) -> int:
        return int(_examples(self.csv)[1].labels.max()) + 1

    def examples(self) -> Examples:
        return _examples(self.csv)[1]


def _cells_as_csv(x: np.ndarray, y: np.ndarray, label: np.ndarray) -> str:
    return written(HEADER, np.stack([x, y, label], axis=1).tolist())


@lru_cache(maxsize=8)
def _examples(csv: str) -> tuple[tuple[str, ...], Examples, tuple[str, ...]]:
    """The names of the columns; the examples, read-only; and the names of the labels, if any."""
    sheet = Sheet.of(csv)
    if len(sheet.header) < 2 or all(map(is_number, sheet.header)):
        raise ValueError(
            f"row 1 is {','.join(sheet.header)[:40]!r}: it must be the header, which names one column "
            "of numbers or more and then the label's, such as x1,x2,label"
        )
    labels, names = numbered_labels(sheet, len(sheet.header) - 1)
    examples = Examples(sheet.numbers(range(len(sheet.header) - 1)), labels.astype(np.int32))
    examples.inputs.setflags(write=False)
    examples.labels.setflags(write=False)
    return sheet.header, examples, names


def _title_of(path: str) -> str:
    """The name of a file without its ending, as a title can have it."""
    plain = "".join(c for c in Path(path).stem if c.isprintable())[:80]
    return plain or "table"
