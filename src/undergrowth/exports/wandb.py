"""Weights & Biases: a run for each run, written by its own library in offline mode."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from undergrowth.exports.account import happened, in_words, one_by_one
from undergrowth.exports.format import OfRuns, library
from undergrowth.exports.trackers import Spread, group_of, name_of, shown
from undergrowth.store import Run
from undergrowth.store.listing import Listed

QUIET = {
    "console": "off",
    "silent": True,
    "disable_git": True,
    "disable_code": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
}
"""Settings: what a run of this library would add tells of the machine that exports, not of the run."""
PROJECT = "undergrowth"


def write(runs: Sequence[Run], readings: Sequence[str], folder: Path) -> None:
    """Write wandb/offline-run-... for each run; `wandb sync FOLDER/wandb/offline-run-*` uploads them.

    Nothing is sent. A run has its id, its arm as group, its studies as tags, and its spec as config; its
    history has its readings at their steps, one of more than 16 numbers a step as a histogram; the
    events are in its history at their steps, and their steps in its summary.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # asked for when it is imported
    wandb = library("wandb", "wandb")
    for run, row in one_by_one(runs, readings):
        written = wandb.init(
            mode="offline",
            dir=str(folder),
            project=PROJECT,
            id=row.id,
            name=name_of(row),
            group=group_of(row),
            tags=[*row.studies, row.status],
            notes=run.spec.describe(),
            config=_config(run, row),
            reinit="create_new",
            settings=wandb.Settings(**QUIET),
        )
        try:
            for step, told in sorted(_history(wandb, run, row, readings).items()):
                written.log(told, step=step)
            written.summary.update(_summary(run, row))
        finally:
            written.finish(exit_code=0 if row.status == "done" else 1)
    _tidy(folder / "wandb")


def _tidy(folder: Path) -> None:
    """Remove what is not uploaded: logs of the export, and links to the last run."""
    for left in folder.iterdir():
        if left.is_symlink():
            left.unlink()
            continue
        for name in ("logs", "tmp"):
            shutil.rmtree(left / name, ignore_errors=True)


def _config(run: Run, row: Listed) -> dict[str, Any]:
    began = datetime.datetime.fromtimestamp(run.began, datetime.UTC).isoformat()
    parts = {"arms": list(row.arms), "studies": list(row.studies)}
    return {**run.spec.model_dump(mode="json"), "seed": row.seed, "began": began, **parts}


def _history(wandb: Any, run: Run, row: Listed, readings: Sequence[str]) -> dict[int, dict[str, Any]]:
    """By step all that is told of it."""
    found: dict[int, dict[str, Any]] = {}
    for each in happened(run, row):
        at = found.setdefault(each.step, {})
        at[f"events/{each.kind}"] = each.step
        at["event"] = "; ".join(filter(None, (at.get("event"), in_words(each))))
    for reading in shown(run, readings):
        for step, values in zip(reading.steps.tolist(), reading.values, strict=True):
            if not isinstance(reading, Spread):
                found.setdefault(step, {})[reading.tag] = values.item()
            elif (known := values[np.isfinite(values)]).size:
                found.setdefault(step, {})[reading.tag] = wandb.Histogram(known)
    return found


def _summary(run: Run, row: Listed) -> dict[str, Any]:
    events = {name: value for name, value in row.events.items() if value is not None}
    return {**events, "status": row.status, "last_step": row.last_step, **row.readings}


FORMAT = OfRuns("a run for each run, offline, to be synced later; needs wandb", write)
