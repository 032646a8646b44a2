"""Stores of runs that were never trained: their accuracies step up where a test says they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from undergrowth.engine.facts import Diverged, Measured
from undergrowth.measures import scalar
from undergrowth.spec import RunSpec
from undergrowth.store import Store
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.writer import Writer

STEPS = (0, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Evaluations of a planted run, up to its last."""


@dataclass(frozen=True)
class Course:
    """What happens in a run: at which evaluation each accuracy steps from 0 to 1, None for never; its
    last evaluation; how it ends ('' is left under way); its last validation loss.
    """

    memorised: int | None = 10
    grokked: int | None = 200
    last: int = 1000
    status: str = "done"
    val_loss: float = 0.5


def planted(root: Path, courses: Mapping[RunSpec, Course]) -> Store:
    """A store in which each run went as told, written by the package's own writer."""
    create(root)
    with writing(root):
        writer = Writer(root, "worker-0")
        for spec, course in courses.items():
            writer.announce(spec)
            for step in (step for step in STEPS if step <= course.last):
                seen = {
                    "train_accuracy": _from(course.memorised, step),
                    "val_accuracy": _from(course.grokked, step),
                    "train_loss": 1.0,
                    "val_loss": course.val_loss if step == course.last else 9.0,
                }
                writer.write(spec, Measured(step, {name: scalar(x) for name, x in seen.items()}))
            if course.status == "failed":
                writer.write(spec, Diverged(course.last))
            if course.status:
                writer.end(spec, course.status)
        writer.close()
    return Store(root)


def _from(step: int | None, at: int) -> float:
    return 0.0 if step is None or at < step else 1.0
