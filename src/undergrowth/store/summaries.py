"""What a run came to, in one row that is kept when it ends: so a list of many runs reads no curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import from_json

from undergrowth.store import lineage, rows
from undergrowth.store.events import DEFAULT_RULES, Curve, Rules, events_between
from undergrowth.store.outcomes import not_among, of_kind, told
from undergrowth.store.stored import Happened

if TYPE_CHECKING:  # runs are listed without JAX
    from undergrowth.spec import RunSpec

VERSION = 1
"""Of what is summed up: a list makes its own of a run whose summary is of another, or by other rules."""

Steps = tuple[int | None, int | None]


@dataclass(frozen=True)
class Summary:
    """A run that has ended, as far as a list tells of it.

    described: `RunSpec.describe` of it; note: what there is to say of how it ended; last_step: the last
    at which anything was read; events: by name the first step and that from which it held to the end;
    ends: by scalar reading the last step at which it is known, and its value there.
    """

    described: str
    note: str
    last_step: int | None = None
    events: dict[str, Steps] = field(default_factory=dict)
    ends: dict[str, tuple[int, float]] = field(default_factory=dict)


def summary_of(root: Path, spec: RunSpec, status: str, message: str) -> Summary:
    """That of a stored run, its trunk's curves included; raises StoreError where these are damaged."""
    points = lineage.curves_of(root, spec)
    curves = {name: _known(its) for name, its in points.items()}
    trunks = lineage.trunks(root, spec)
    happened = lineage.events_of(root, spec.id, trunks)
    note = "; ".join(_in_words(spec, status, message, happened))
    described = spec.describe()
    if not {"train_accuracy", "val_accuracy"} <= curves.keys():
        return Summary(described, note)
    last = max(its[-1][0] for its in points.values())
    found = events_between(curves["train_accuracy"], curves["val_accuracy"], last)
    return Summary(
        described,
        note,
        last,
        {name: (event.first, event.stable) for name, event in found.items()},
        {
            name: (int(curve.steps[-1]), float(curve.values[-1]))
            for name, curve in curves.items()
            if len(curve.steps)
        },
    )


def _known(points: list[tuple[int, float]]) -> Curve:
    steps, values = np.array([step for step, _ in points]), np.array([value for _, value in points])
    is_known = ~np.isnan(values)
    return Curve(steps[is_known], values[is_known])


def _in_words(spec: RunSpec, status: str, message: str, happened: Sequence[Happened]) -> tuple[str, ...]:
    diverged = [step for step, _ in of_kind(happened, "diverged") if status == "failed"]
    stops = [(step, detail["reason"]) for step, detail in of_kind(happened, "stopped") if spec.stop]
    fired = {detail["intervention"] for _, detail in of_kind(happened, "fired")}
    return told(
        message, diverged[-1] if diverged else None, stops[-1] if stops else None, not_among(fired, spec)
    )


def summary_row(run_id: str, summary: Summary, rules: Rules = DEFAULT_RULES) -> tuple[object, ...]:
    """A row of `summaries`."""
    content = {"version": VERSION, "rules": asdict(rules), **asdict(summary)}
    columns = (run_id, json.dumps(content, allow_nan=False))
    return (*columns, rows.digest(*columns))


def summary_in(run_id: str, content: str | None, digest: bytes | None, rules: Rules) -> Summary | None:
    """The summary in a row; None where none is intact, of this version and by these rules."""
    if content is None or digest != rows.digest(run_id, content):
        return None
    try:
        fields = from_json(content)
        if (fields.pop("version"), fields.pop("rules")) != (VERSION, _as_data(rules)):
            return None
        found = Summary(**fields)
        return found if isinstance(found.described, str) and isinstance(found.note, str) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@lru_cache
def _as_data(rules: Rules) -> dict[str, Any]:
    return asdict(rules)
