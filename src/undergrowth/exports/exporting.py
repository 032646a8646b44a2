"""Exporting: which formats there are, and how a folder becomes whole or is not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from undergrowth.exports import csv, parquet, pytorch, ro_crate, tensorboard, transformer_lens, wandb
from undergrowth.exports.format import ExportError, Format, OfCheckpoint, OfResults, OfRuns
from undergrowth.published.reading import Published
from undergrowth.store import Run, Store
from undergrowth.store.database import kept_open

FORMATS: dict[str, Format] = {
    "csv": csv.FORMAT,
    "parquet": parquet.FORMAT,
    "pytorch": pytorch.FORMAT,
    "ro-crate": ro_crate.FORMAT,
    "tensorboard": tensorboard.FORMAT,
    "transformer-lens": transformer_lens.FORMAT,
    "wandb": wandb.FORMAT,
}


def export(
    what: Store | Run | Published | Iterable[Run],
    *,
    to: str,
    out: str | Path | None = None,
    step: int | None = None,
    readings: Sequence[str] = (),
) -> Path:
    """Write a store, runs of it, a run's checkpoint or published results for another program.

    to: `csv`, `parquet`, `tensorboard` and `wandb` take runs, `pytorch` and `transformer-lens` one run,
    `ro-crate` published results. out: a folder that is not there yet or is empty; it is written whole or
    not at all. Published results may do without, and the crate is then made of their own folder.
    step: of which checkpoint, by default the last. readings: the names of those to write, by default all
    but `update_loss`, which has a number for every update.

    Returns the folder. Raises ExportError in one line, and StoreError where what is stored is damaged.
    """
    form = FORMATS.get(to)
    if form is None:
        raise ExportError(f"{to!r} is no format: there are {', '.join(FORMATS)}")
    _refuse_what_it_ignores(to, form, step, readings)
    if isinstance(form, OfResults):
        return _export_results(what, to, form, out)
    if isinstance(what, Published):
        raise ExportError(f"{to} takes a store's runs, not published results: those go to ro-crate")
    runs = _runs_of(what)
    if out is None:
        raise ExportError(f"{to} needs a place: give --out, a folder that is not there yet")
    with _whole(Path(out)) as folder, kept_open():
        if isinstance(form, OfRuns):
            form.write(runs, readings, folder)
        else:
            run = _only(runs, to)
            form.write(run, _step_of(run, step), folder)
    return Path(out)


def _refuse_what_it_ignores(to: str, form: Format, step: int | None, readings: Sequence[str]) -> None:
    if step is not None and not isinstance(form, OfCheckpoint):
        raise ExportError(f"step {step}: {to} writes no checkpoint, pytorch and transformer-lens do")
    if readings and not isinstance(form, OfRuns):
        raise ExportError(f"reading {readings[0]}: {to} writes no readings, csv and parquet do")


def _export_results(what: object, to: str, form: OfResults, out: str | Path | None) -> Path:
    if not isinstance(what, Published):
        raise ExportError(
            f"{to} is made of published results: `undergrowth publish STORE --into RESULTS`, then give "
            "RESULTS/STUDY"
        )
    if out is None or Path(out).resolve() == what.where.resolve():
        form.write(what, what.where)
        return what.where
    with _whole(Path(out)) as folder:
        form.write(what, folder)
    return Path(out)


def _runs_of(what: Store | Run | Iterable[Run]) -> tuple[Run, ...]:
    runs = what.runs if isinstance(what, Store) else (what,) if isinstance(what, Run) else tuple(what)
    if not runs:
        where = f"{what.root} has" if isinstance(what, Store) else "there are"
        raise ExportError(f"{where} no runs to export: train some first")
    return runs


def _only(runs: Sequence[Run], to: str) -> Run:
    if len(runs) != 1:
        raise ExportError(
            f"{to} takes the checkpoint of one run, not of {len(runs)}: name one by its id"
        )
    return runs[0]


def _step_of(run: Run, step: int | None) -> int:
    there = run.checkpoints
    if not there:
        raise ExportError(f"run {run.id} has no checkpoint: give checkpoints in its spec, and train it")
    if step is not None and step not in there:
        raise ExportError(
            f"run {run.id} has no checkpoint at step {step}: it has {', '.join(map(str, there))}"
        )
    return there[-1] if step is None else step


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder to write into, which is put in its place in the end, or is gone after an error."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(
            f"{out} is there already: an export replaces nothing, so give a folder that is not there yet"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.{os.getpid()}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
