"""A format that runs, a checkpoint or published results can be written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from undergrowth.published.reading import Published
from undergrowth.store import Run


class ExportError(Exception):
    """An export that cannot be made as asked; one line with the value, the rule and the remedy."""


@dataclass(frozen=True)
class OfRuns:
    """Writes runs, one after the other, into an empty folder: write(runs, readings, folder).

    readings: the names of those to write; without any, all but the loss of every update.
    """

    says: str
    write: Callable[[Sequence[Run], Sequence[str], Path], None]


@dataclass(frozen=True)
class OfCheckpoint:
    """Writes the model of a run at a step into an empty folder: write(run, step, folder)."""

    says: str
    write: Callable[[Run, int, Path], None]


@dataclass(frozen=True)
class OfResults:
    """Writes published results into a folder, which may be the one that they lie in."""

    says: str
    write: Callable[[Published, Path], None]


Format = OfRuns | OfCheckpoint | OfResults


def library(module: str, extra: str) -> Any:
    """A module of a library that the package does without.

    extra: of which extra of the package it is. Raises ExportError where it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ExportError(
            f"{name} cannot be imported ({error}), and this export needs it: "
            f"pip install 'undergrowth[{extra}]'"
        ) from None
