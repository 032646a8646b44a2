"""TensorBoard: an event file for each run, written by TensorBoard's own writer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from undergrowth.exports.account import happened, in_words, one_by_one
from undergrowth.exports.format import OfRuns, library
from undergrowth.exports.trackers import Spread, as_file_name, group_of, shown
from undergrowth.store import Run
from undergrowth.store.listing import Listed

EVENT_FILE = "tensorboard.summary.writer.event_file_writer"
PLUGINS = "tensorboard.plugins"
WAITING = 1000
"""Events that may wait for the thread that writes them."""


def write(runs: Sequence[Run], readings: Sequence[str], folder: Path) -> None:
    """Write ARM/seed-N-ID/events.out.tfevents... for each run; `tensorboard --logdir FOLDER` shows them.

    Curves at their steps; distributions of readings of more than 16 numbers a step; every event as text,
    and its step as the number `events/NAME`; the spec as text, and its settings as hyper-parameters.
    A store does not say when a step was made: all is dated to when the run began.
    """
    files = library(EVENT_FILE, "tensorboard")
    event = library("tensorboard.compat.proto.event_pb2", "tensorboard").Event
    for run, row in one_by_one(runs, readings):
        place = folder / as_file_name(group_of(row)) / f"seed-{row.seed}-{row.id}"
        writer = files.EventFileWriter(str(place), max_queue_size=WAITING)
        try:
            for step, summary in _summaries(run, row, readings):
                writer.add_event(event(step=step, wall_time=run.began, summary=summary))
        finally:
            writer.close()


def _summaries(run: Run, row: Listed, readings: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """(step, summary) of all that is told of a run."""
    text, histogram, hparams = (
        library(f"{PLUGINS}.{plugin}.summary_v2", "tensorboard")
        for plugin in ("text", "histogram", "hparams")
    )
    settings = {name: _as_parameter(value) for name, value in row.settings.items()}
    yield 0, hparams.hparams_pb(settings, trial_id=row.id, start_time_secs=run.began)
    yield 0, text.text_pb("spec", f"{run.spec.describe()}\n\n```toml\n{run.spec.to_toml()}\n```")
    numbers: dict[int, list[tuple[str, float]]] = {}
    for each in happened(run, row):
        yield each.step, text.text_pb("events", in_words(each))
        numbers.setdefault(each.step, []).append((f"events/{each.kind}", each.step))
    for reading in shown(run, readings):
        for step, values in zip(reading.steps.tolist(), reading.values, strict=True):
            if not isinstance(reading, Spread):
                numbers.setdefault(step, []).append((reading.tag, float(values)))
            elif (known := values[np.isfinite(values)]).size:
                yield step, histogram.histogram_pb(reading.tag, known)
    summary = library("tensorboard.compat.proto.summary_pb2", "tensorboard").Summary
    for step, told in sorted(numbers.items()):
        yield step, summary(value=[summary.Value(tag=tag, simple_value=x) for tag, x in told])


def _as_parameter(value: Any) -> Any:
    """A setting as TensorBoard takes it: a number, a truth value or text."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


FORMAT = OfRuns("an event file for each run; needs tensorboard", write)
