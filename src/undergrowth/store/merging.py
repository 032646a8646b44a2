"""Merging: the runs of several stores in one, each once, every file and row held against its digest.

Of a run that several stores have, one account is kept whole: a finished one before a failed one before
one under way, and of those that stand alike the one that was begun first; so the result does not depend
on the order in which stores are named or merged.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from undergrowth.plain_text import json_text
from undergrowth.store.errors import StoreError
from undergrowth.store.files import content, entries, is_folder, write_whole
from undergrowth.store.gathering import Gathered, Source, copy_measured, digests_in, opened, sync
from undergrowth.store.layout import MARKER, check, create
from undergrowth.store.lock import is_being_written, writing
from undergrowth.store.predicted import stated
from undergrowth.store.staged import put_in_place

STANDS = {"done": 0, "failed": 1, "running": 2}


@dataclass(frozen=True)
class Merged:
    """What a merge came to.

    runs: in the result; new: of these, those that it did not have before, or not finished; several: runs
    that more than one store had; differing: for each of these that was trained to its end twice with
    different readings a line; damaged: runs that are left out, and why; notes: what else is to be said.
    """

    runs: int
    new: int
    several: int
    differing: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def stores_in(path: Path) -> list[Path]:
    """The store at a path, or those within the directory there, in the order of their names.

    Raises StoreError where there is none.
    """
    if (path / MARKER).exists():
        check(path)
        return [path]
    found = [
        store
        for inner in (entries(path) if is_folder(path) else [])
        if not inner.name.startswith(".") and is_folder(inner)
        for store in (stores_in(inner) if _holds_a_store(inner) else [])
    ]
    if not found:
        check(path)
    return found


def _holds_a_store(folder: Path) -> bool:
    if (folder / MARKER).exists():
        return True
    return any(_holds_a_store(f) for f in entries(folder) if not f.name.startswith(".") and is_folder(f))


def merge(sources: Sequence[str | Path], into: str | Path) -> Merged:
    """Put the runs of some stores into the store at `into`, which is made where there is none.

    What is new is made whole beside what is there and then moved into its place: a merge that is killed
    leaves the store as it was, or is finished by whoever writes to it next. To merge again changes
    nothing. Files are given a second name where the file system can, and are copied otherwise; the
    sources are only read.

    Raises StoreError, in one line, where something is no store, is being written, or cannot be read.
    """
    into = Path(os.path.abspath(into))
    roots = {root.resolve(): root for each in sources for root in stores_in(Path(each))}
    roots.pop(into.resolve(), None)
    for root in roots.values():
        if is_being_written(root):
            raise StoreError(f"{root} is being written by another process: wait for it to end")
    into.parent.mkdir(parents=True, exist_ok=True)
    create(into)
    return gather(into, [opened(root) for root in roots.values()])


def gather(into: Path, sources: Sequence[Source], of: Collection[str] | None = None) -> Merged:
    """Put runs of some sources into a store, all of them or those named in `of`."""
    with writing(into):
        return gather_as_writer(into, sources, of)


def gather_as_writer(into: Path, sources: Sequence[Source], of: Collection[str] | None = None) -> Merged:
    """The same for whoever holds the right to write already."""
    had = opened(into)
    every = [had, *sources]
    holders = _holders(every)
    differing, alike = _compared(every, holders)
    gathered = Gathered(into)
    chosen, damaged = _place(every, holders, gathered)
    of_each: list[set[str]] = [set() for _ in every]
    for run_id, number in chosen.items():
        of_each[number].add(run_id)
    named = gathered.called(every, of)
    for source, run_ids in zip(sources, of_each[1:], strict=True):
        gathered.insert(source, run_ids)
    gathered.close()
    for run_id, number in alike:
        of_each[number].add(run_id)
    new = [run_id for run_id, number in chosen.items() if number]
    instead = [run_id for run_id in new if run_id in had.accounts]
    others = list(zip(sources, of_each[1:], strict=True))
    measured = copy_measured(had, instead, others, gathered.stage)
    notes = [note for source in every for note in source.notes]
    predicted = list(_state(every, gathered.stage)) if of is None else []
    if new or named or measured or any((gathered.stage / "predicted").glob("*")):
        sync(gathered.stage)
        put_in_place(into, instead)
        sync(into)
    else:
        shutil.rmtree(gathered.stage)
    return Merged(
        runs=len({*chosen, *had.accounts}),
        new=len(new),
        several=sum(len(its) > 1 for its in holders.values()),
        differing=tuple(differing),
        damaged=tuple(damaged),
        notes=(*notes, *predicted),
    )


def _holders(sources: Sequence[Source]) -> dict[str, list[int]]:
    """Of each run the sources that have it, that whose account is kept first."""
    found: dict[str, list[int]] = {}
    for number, source in enumerate(sources):
        for run_id in source.accounts:
            if source.best(run_id) is not None:
                found.setdefault(run_id, []).append(number)
    for run_id, its in found.items():
        if len(its) > 1:
            its.sort(key=lambda number: _standing(sources[number], run_id, number))
    return found


def _standing(source: Source, run_id: str, number: int) -> tuple[int, float, int]:
    best = source.best(run_id)
    assert best is not None
    return STANDS.get(best.status, len(STANDS)), best.began, number


def _compared(
    sources: Sequence[Source], holders: Mapping[str, list[int]]
) -> tuple[list[str], set[tuple[str, int]]]:
    """A line for each finished run whose readings differ in another store; and which stores have equal
    ones, of which the store that is merged into comes first from now on.
    """
    pairs: dict[tuple[int, int], list[str]] = {}
    for run_id, its in holders.items():
        done = [n for n in its if (best := sources[n].best(run_id)) and best.status == "done"]
        for other in done[1:]:
            pairs.setdefault((done[0], other), []).append(run_id)
    differing: list[str] = []
    alike: set[tuple[str, int]] = set()
    for (first, other), run_ids in sorted(pairs.items()):
        mine, its = (digests_in(sources[number], run_ids) for number in (first, other))
        for run_id in run_ids:
            if mine[run_id] == its[run_id]:
                alike |= {(run_id, first), (run_id, other)}
                if other == 0:
                    holders[run_id].remove(0)
                    holders[run_id].insert(0, 0)
                continue
            names = {*mine[run_id], *its[run_id]}
            apart = [each for each in names if mine[run_id].get(each) != its[run_id].get(each)]
            name, step = min(apart, key=lambda each: (each[1], each[0]))
            differing.append(
                f"run {run_id} was trained to its end in {sources[first].root} and in "
                f"{sources[other].root}, and differs ({name} at step {step}): that of the first, which "
                "began earlier, is kept"
            )
    return differing, alike


def _place(
    sources: Sequence[Source], holders: Mapping[str, list[int]], gathered: Gathered
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Put the files of each run in place, from the first of its holders that has them whole: which that
    was, and of runs that have none what is wrong. What the store that is merged into has stays there
    unlooked at.
    """
    chosen: dict[str, int] = {}
    why: dict[str, str] = {
        run_id: f"{source.root}: {wrong}"
        for source in sources[1:]
        for run_id, wrong in source.wrong.items()
    }
    left = {run_id: list(its) for run_id, its in holders.items()}
    while left:
        by_source: dict[int, list[str]] = {}
        for run_id, its in left.items():
            by_source.setdefault(its.pop(0), []).append(run_id)
        again: dict[str, list[int]] = {}
        for number, run_ids in sorted(by_source.items()):
            wrong = gathered.place_files(sources[number], run_ids) if number else {}
            for run_id in run_ids:
                if run_id not in wrong:
                    chosen[run_id] = number
                    continue
                why[run_id] = f"{sources[number].root}: {wrong[run_id]}"
                if left[run_id]:
                    again[run_id] = left[run_id]
        left = again
    return chosen, [(run_id, told) for run_id, told in sorted(why.items()) if run_id not in chosen]


def _state(sources: Sequence[Source], stage: Path) -> Iterator[str]:
    """Keep of each study's predictions those stated first; a line where others say other numbers."""
    first: dict[str, tuple[float, int, Path, object]] = {}
    for number, source in enumerate(sources):
        for path in entries(source.root / "predicted"):
            study, _, budget = path.stem.rpartition("-")
            found = stated(source.root, study, budget) if path.suffix == ".json" else None
            if found is None:
                continue
            there = first.get(path.name)
            if there and json_text(there[3]) != json_text(found.numbers):
                yield f"{path} predicts other numbers than {there[2]}: those stated first are kept"
            if there is None or found.stated < there[0]:
                first[path.name] = found.stated, number, path, found.numbers
    for name, (_, number, path, _) in first.items():
        if number:
            write_whole(stage / "predicted" / name, content(path))
