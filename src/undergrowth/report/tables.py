"""The runs behind a page: what happened in each, their specs, where they were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from undergrowth.analysis import Event, Rules, events
from undergrowth.naming import arms_told_apart
from undergrowth.report.groups import RULES
from undergrowth.store import Run
from undergrowth.store.outcomes import in_words


@dataclass(frozen=True)
class RunRow:
    """A run as a row of text."""

    id: str
    task: str
    labels: str
    seeds: str
    status: str
    events: tuple[str, ...]
    train_accuracy: str
    val_accuracy: str
    seconds: str


@dataclass(frozen=True)
class SpecBlock:
    """Runs with one spec but for the seeds: that of the first as TOML."""

    describe: str
    seeds: str
    toml: str


def run_rows(
    runs: Sequence[Run], rules: Rules = RULES, damaged: Mapping[str, str] = MappingProxyType({})
) -> tuple[RunRow, ...]:
    """A row for each run; steps have thousands separators, censored times are '> last step'.

    damaged: by run id, why its readings cannot be read; its row says so in their place.
    """
    names = {run.id: run.called for run in runs}
    arms = arms_told_apart([run.spec.replace(labels="true") for run in runs])
    called = {run.id: arms[run.spec.replace(labels="true").id] for run in runs}
    return tuple(
        _row(run, ": ".join([*names[run.id], called[run.id]]), rules, damaged.get(run.id, ""))
        for run in runs
    )


def _row(run: Run, called: str, rules: Rules, damage: str) -> RunRow:
    has_curves = not damage and {"train_accuracy", "val_accuracy"} <= set(run.names)
    said = [f"damaged: {damage}"] if damage else [run.status, *in_words(run)]
    return RunRow(
        id=run.id,
        task=called,
        labels=run.spec.labels,
        seeds=_seeds(run),
        status=": ".join([said[0], "; ".join(said[1:])]) if said[1:] else said[0],
        events=_times(tuple(events(run.curves, rules).values())) if has_curves else ("–",) * 5,
        train_accuracy=_last(run, "train_accuracy") if has_curves else "–",
        val_accuracy=_last(run, "val_accuracy") if has_curves else "–",
        seconds=f"{run.ended - run.began:,.0f} s" if run.ended else "–",
    )


def _last(run: Run, name: str) -> str:
    values = run.curves[name].values
    known = values[~np.isnan(values)][-1:]
    return f"{float(known[0]):.1%}" if known.size else "–"


def _times(found: Sequence[Event]) -> tuple[str, ...]:
    """First and stable step of memorised, the step of onset, first and stable step of grokked."""
    cells: list[str] = []
    for event in found:
        censored = f"> {event.last:,}"
        first = censored if event.first is None else f"{event.first:,}"
        stable = censored if event.stable is None else f"{event.stable:,}"
        cells += [first] if event.name == "onset" else [first, stable]
    return tuple(cells)


def _seeds(run: Run) -> str:
    seeds = run.spec.seeds
    if seeds.model == seeds.data == seeds.noise:
        return str(seeds.model)
    return f"{seeds.model} / {seeds.data} / {seeds.noise}"


def spec_blocks(runs: Sequence[Run]) -> tuple[SpecBlock, ...]:
    """The specs, one for all runs that differ only in their seeds."""
    arms = arms_told_apart([run.spec for run in runs], {run.id: run.called for run in runs})
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(run.spec.without_seeds().id, []).append(run)
    return tuple(
        SpecBlock(
            arms[members[0].id],
            in_ranges([_seeds(run) for run in members]),
            members[0].spec.to_toml(),
        )
        for members in alike.values()
    )


def in_ranges(names: Sequence[str]) -> str:
    """Names in their order, whole numbers that follow one another as a range.

    >>> in_ranges(["2", "0", "1", "5", "3 / 4 / 4"])
    '0-2, 5, 3 / 4 / 4'
    """
    numbers = sorted({int(name) for name in names if name.isdigit()})
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    ranges = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return ", ".join([*ranges, *(name for name in names if not name.isdigit())])


def environments(runs: Sequence[Run]) -> tuple[str, ...]:
    """Versions and machines, each once, as 'name value' lines."""
    lines = {" · ".join(f"{k} {v}" for k, v in run.environment.items()) for run in runs}
    return tuple(sorted(lines))
