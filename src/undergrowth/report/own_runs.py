"""The report of runs that belong to no study: their forks, their curves and all that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from undergrowth.analysis import Rules, spikes
from undergrowth.measures.named import kinds
from undergrowth.report.aligned import aligned_figure, in_text, most_runs
from undergrowth.report.arms import Arm, arms_of, courses, telling
from undergrowth.report.charts import Scale
from undergrowth.report.described import said_of, summary
from undergrowth.report.figure import Figure
from undergrowth.report.fork_tree import fork_figure, fork_table
from undergrowth.report.front import Section
from undergrowth.report.groups import RULES, Runs, as_runs, plural
from undergrowth.report.origins import RECORDED, RECORDED_SAYS, origin_table
from undergrowth.report.page import write_page
from undergrowth.report.readings import (
    MOST_BYTES,
    map_figure,
    numbers_figure,
    panels_of,
    readings_of,
    sample,
    sentence,
    shape_of,
    spread_figure,
)
from undergrowth.report.specific import special_figures
from undergrowth.report.spikes import finite_beginning, spikes_by_arm_figure
from undergrowth.store import Run
from undergrowth.store.listing import damage
from undergrowth.store.measured import docstrings, owners, steps_measured
from undergrowth.store.outcomes import in_words, never_fired

OF_CURVES = ("train_accuracy", "val_accuracy", "train_loss", "val_loss", "update_loss")
NATS = tuple(m * 10.0**d for d in range(-10, 3) for m in (1, 3))
"""Where a log axis of losses has its ticks."""
SHORTEST = 10
"""Updates from which on a loss is searched for spikes."""
SPIKED = 3
"""Arms of which the loss of every update is drawn."""
PANELS = 6
"""Panels of numbers in one figure."""
BESIDE = 4
"""Labels of a reading without a long axis up to which each is a panel; more are lines of a heat map."""
RESERVED = (
    "main",
    "runs",
    "reproduce",
    "glossary",
    "theme",
    "config",
    "templates",
    "plotly",
    "hypotheses",
    "claims",
    "bars",
)
"""What the page calls parts of itself."""


def own_report(runs: Runs, out: str | Path, *, title: str = "Runs", rules: Rules = RULES) -> Path:
    """Write a page of one run, some, or all of a store: arms, forks, curves and all that was measured.

    The figures and tables are those of `undergrowth report`; the file is complete or not written at all.
    """
    given = as_runs(runs)
    damaged = {run.id: why for run in given if (why := damage(run))}
    sound = [run for run in given if run.id not in damaged and run.names]
    write_page(
        Path(out),
        title=title,
        sections=tuple(own_sections(sound, rules=rules)),
        runs=given,
        commands=(),
        rules=rules,
        answer=what_happened(sound, rules) if sound else "",
        damaged=damaged,
    )
    return Path(out)


def what_happened(runs: Sequence[Run], rules: Rules = RULES) -> str:
    """How many runs and arms there are, in how many what happened, where interventions never fired."""
    arms, its = arms_of(runs), courses(runs, rules)
    said = [f"{plural(len(runs), 'run')} in {plural(len(arms), 'arm')}."]
    for event in ("memorised", "onset", "grokked"):
        steps = sorted(step for course in its if (step := course.step(event)) is not None)
        when = f" (first at step {steps[0]:,}, last at step {steps[-1]:,})" if steps else ""
        said.append(f"{VERBS[event]} in {len(steps)} of {len(runs)}{when};")
    unfired = sum(bool(never_fired(run)) for run in runs)
    last = f"in {plural(unfired, 'run')} an intervention never fired." if unfired else ""
    return " ".join([*said, last]).removesuffix("; ").removesuffix(";") + ("" if last else ".")


VERBS = {
    "memorised": "The training examples were memorised",
    "onset": "validation accuracy set off",
    "grokked": "and reached the level of grokking",
}


def own_sections(
    runs: Sequence[Run], taken: Iterable[str] = (), rules: Rules = RULES
) -> Iterator[Section]:
    """The sections of a page: the arms, their curves, and one for each measure; none without runs.

    taken: names that other sections of the page have.
    """
    if not runs:
        return
    names = _Names({*taken, *RESERVED})
    arms = arms_of(runs)
    yield Section(
        name=names.free("arms"),
        question="Which runs there are, what each does, and what came of it",
        claims={},
        hypotheses={},
        verdicts=(),
        figures=(fork_figure(runs, rules),),
        notes=tuple(_notes(arms)),
        table=fork_table(runs, rules),
    )
    if origins := origin_table(runs):
        yield Section(
            name=names.free("imported"),
            question="Where the imported runs come from, and what was assumed of them",
            claims={},
            hypotheses={},
            verdicts=(),
            figures=(),
            table=origins,
        )
    yield Section(
        name=names.free("curves"),
        question="All arms over one another, from any event on",
        claims={},
        hypotheses={},
        verdicts=(),
        figures=tuple(_curves(runs, arms, rules)),
    )
    for measured in _measured(arms):
        yield _section(measured, names.free(measured.key), arms, rules)


class _Names:
    """Names of sections, each given once."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken

    def free(self, name: str) -> str:
        """The name, or another like it where that is taken."""
        while name in self.taken:
            name = f"own-{name}"
        self.taken.add(name)
        return name


def _notes(arms: Sequence[Arm]) -> Iterator[str]:
    """A line for each arm and what there is to say of its runs' ends."""
    said: dict[tuple[str, str], list[int]] = {}
    for arm in arms:
        for run in arm.runs:
            for words in in_words(run):
                said.setdefault((arm.name, words), []).append(run.spec.seeds.model)
    for (arm_name, words), seeds in said.items():
        which = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
        yield f"{arm_name}, {which}: {words}."


def _curves(runs: Sequence[Run], arms: Sequence[Arm], rules: Rules) -> Iterator[Figure]:
    """Accuracy and loss on both sides, and the loss of every update of a few runs."""
    for quantity, scale in (
        ("accuracy", Scale(is_switchable=True, limits=(-0.03, 1.03))),
        ("loss", Scale("nats", "log", is_switchable=True, marks=NATS)),
    ):
        readings = [f"{side}_{quantity}" for side in ("val", "train")]
        if any(readings[0] in run.curves for run in runs):
            title = f"{in_text(quantity).capitalize()} of every arm, on validation and training examples"
            unit = "Exact cross-entropy in nats. " if quantity == "loss" else ""
            how = {"name": quantity, "title": title, "y": scale, "caption": unit, "rules": rules}
            yield aligned_figure(runs, *readings, **how)
    having = [arm for arm in arms if {"update_loss", "val_loss"} <= set(arm.runs[0].names)]
    losses = {arm.name: finite_beginning(arm.runs[0]["update_loss"]) for arm in telling(having, SPIKED)}
    runs_of = {arm.name: arm.runs[0] for arm in having}
    shown = {name: runs_of[name] for name, loss in losses.items() if _can_spike(loss)}
    if shown:
        found = {name: spikes(losses[name]) for name in shown}
        more = f"Shown are {len(shown)} of {len(arms)} arms." if len(arms) > len(shown) else ""
        yield spikes_by_arm_figure(shown, found, more)


def _can_spike(loss: xr.DataArray) -> bool:
    """Whether a loss is long enough to look for spikes in it, and is never negative."""
    return len(loss) >= SHORTEST and bool((loss >= 0).all())


@dataclass(frozen=True, eq=False)
class Measured:
    """What one measure has read. docstring: what it says of itself; kind: its name among measures."""

    key: str
    kind: str
    docstring: str
    readings: tuple[str, ...]


def _measured(arms: Sequence[Arm]) -> list[Measured]:
    """All measures but the curves, in the order of the specs, then those that came afterwards."""
    found: dict[str, tuple[str, str]] = {}
    readings: dict[str, dict[str, None]] = {}
    for run in (run for arm in arms for run in arm.runs):
        of_spec = {measure.key: measure for measure in run.spec.measures}
        root, since = run.store.root, owners(run.store.root, run.id)
        for key, measure in of_spec.items():
            found.setdefault(key, (dict(measure)["name"], type(measure).__doc__ or ""))
        if since:
            own = docstrings(root, run.id)
            for key, by_step in steps_measured(root, run.id).items():
                kind = str(next(iter(by_step.values())).get("name", key))
                known = kinds()[kind].__doc__ if kind in kinds() else ""
                found.setdefault(key, (kind, own.get(key) or known or ""))
        for name in run.names:
            if name not in OF_CURVES:
                key = since.get(name) or _key(name, of_spec)
                readings.setdefault(key, {})[name] = None
    if RECORDED in readings:
        found.setdefault(RECORDED, (RECORDED, RECORDED_SAYS))
    keys = [key for key in found if key in readings] + [key for key in readings if key not in found]
    return [Measured(key, *found.get(key, (key, "")), tuple(readings[key])) for key in keys]


def _key(reading: str, measures: Mapping[str, object]) -> str:
    """The key of the measure whose reading it is: the one that names it, else the longest that fits."""
    for key, measure in measures.items():
        if reading in getattr(measure, "names", ()):
            return key
    if reading.startswith(f"{RECORDED}_"):
        return RECORDED
    fitting = [key for key in measures if reading == key or reading.startswith(f"{key}_")]
    return max(fitting, key=len, default=reading)


def _section(measured: Measured, name: str, arms: Sequence[Arm], rules: Rules) -> Section:
    """Numbers first, then what is made for this measure, or spreads, and the rest on a click."""
    curves: dict[str, Mapping[Run, xr.DataArray]] = {}
    spreads: list[Figure] = []
    maps: list[Figure] = []
    problems: list[str] = []
    for reading in measured.readings:
        values = sample(arms, reading)
        shape = shape_of(values)
        told = said_of(measured.docstring, measured.key, [reading])
        if values.nbytes > MOST_BYTES:
            size = f"{values.nbytes / 2**20:,.0f} MiB a run"
            problems.append(f"Not drawn: {reading}, {size}; it is in the store.")
        elif not shape.long and shape.n_panels <= BESIDE:
            curves |= panels_of(readings_of(arms, reading, most_runs(1)), reading)
        else:
            spreads += [spread_figure(arms, reading, told)] if shape.long else []
            maps += [map_figure(arms, reading, told)] if len(shape.long) < 2 else []
    numbers = list(_numbers(measured, curves, arms, rules))
    special = list(special_figures(measured.kind, measured.key, arms))
    kinds = (numbers, special, spreads, maps)
    first = [figures[0] for figures in (numbers, special or spreads or maps) if figures]
    return Section(
        name=name,
        question=in_text(measured.key).capitalize(),
        about=_about(measured),
        claims={},
        hypotheses={},
        verdicts=(),
        figures=tuple(first),
        problems=tuple(problems),
        more=tuple(figure for figures in kinds for figure in figures if figure not in first),
    )


def _short(reading: str, key: str) -> str:
    """The name of a reading without that of its measure, where something is left."""
    return in_text(reading.removeprefix(f"{key}_"))


def _about(measured: Measured) -> str:
    """What the measure says of itself."""
    told = summary(measured.docstring).replace("{prefix}", measured.key)
    return told or "A measure of your own, which says nothing of itself."


def _numbers(
    measured: Measured,
    curves: Mapping[str, Mapping[Run, xr.DataArray]],
    arms: Sequence[Arm],
    rules: Rules,
) -> Iterator[Figure]:
    """All numbers of a measure, so many panels a figure."""
    names = list(curves)
    for place, at in enumerate(range(0, len(names), PANELS)):
        panels = {name: curves[name] for name in names[at : at + PANELS]}
        readings = list(dict.fromkeys(name.split(",")[0] for name in panels))
        yield numbers_figure(
            arms,
            panels,
            name=f"numbers-{place + 1}",
            title=sentence(", ".join(_short(each, measured.key) for each in readings)),
            told=said_of(measured.docstring, measured.key, readings),
            rules=rules,
        )
