"""What the commenters plotted: curves after a boost, survival until 99 %, and a map of all boosts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from undergrowth.analysis import Estimate, Switched, survival
from undergrowth.analysis.means import columns_of
from undergrowth.analysis.survival import staircase
from undergrowth.analysis.switches import median_speed_up
from undergrowth.measures import SIDES
from undergrowth.report import theme
from undergrowth.report.charts import Colours, Layer, Look, Scale
from undergrowth.report.charts.description import SHARE
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import SIDE_NAMES, plural
from undergrowth.report.numbers import format_number
from undergrowth.store import Run
from undergrowth.studies.endpoint import aggregate
from undergrowth.studies.lr_boost.arms import (
    BY_NAME,
    FROM_START,
    HELD,
    REPLICATION,
    SWITCHES,
    TRUNKS,
    Boost,
)
from undergrowth.studies.lr_boost.statistics import (
    FASTER,
    RULES,
    STARTS,
    proportion_of_rate,
    switched,
)
from undergrowth.studies.statistic import Missing
from undergrowth.studies.table import Table

SHOWN = (
    ("addition", "step 300"),
    ("addition", "memorised"),
    ("addition", "onset"),
    ("addition", "step 1,000"),
    (REPLICATION, "step 1,000"),
    ("addition", FROM_START),
    ("division", "onset"),
    ("group", "onset"),
)
"""Whose curves are drawn, and whose survival: the commenters' cases."""
ORDER = ("trunk", "no-op", "lr", HELD, "lr, annealed", "decay")
THERE = RULES.describe("grokked")
SLOWER_TO_FASTER = Colours([(0.0, "#f0a27a"), (0.5, "#f1f1ee"), (1.0, "#86b8e8")], (-1.0, 1.0))
"""In decades of speed-up."""


@dataclass(frozen=True, eq=False)
class Boosted:
    """The runs of a boost that it could still speed up, those of its control, and the speed-up."""

    boost: Boost
    runs: dict[Run, Switched]
    control: dict[Run, Switched]
    speed_up: Estimate | None

    @property
    def label(self) -> str:
        """What was done."""
        return "no-op" if self.boost == self.boost.control else self.boost.label

    @property
    def place(self) -> str:
        """Task and switch in words."""
        at = "from" if self.boost.switch == FROM_START else "at"
        return f"{self.boost.task}, {at} {self.boost.switch}"

    @cached_property
    def pairs(self) -> list[tuple[Switched, Switched]]:
        """Its runs beside the control's of the same seeds."""
        control = {run.spec.seeds: its for run, its in self.control.items()}
        return [(its, control[r.spec.seeds]) for r, its in self.runs.items() if r.spec.seeds in control]


def figures(table: Table) -> Iterator[Figure]:
    """Nothing where no arm has a run."""
    boosts = sorted((BY_NAME[arm] for arm in table.among(table.arms)), key=_place)
    drawn = [found for boost in boosts if (found := _boosted(table, boost)).runs]
    if not drawn:
        return
    yield map_figure(drawn)
    by_case = {case: [d for d in drawn if (d.boost.task, d.boost.switch) == case] for case in SHOWN}
    yield survival_figure([d for its in by_case.values() for d in its])
    yield from (curves_figure(its) for its in by_case.values() if its)
    boosts = [b for b in boosts if (b.task, b.what, b.switch) == ("addition", "lr", "onset")]
    if boosts := [boost for boost in boosts if boost.factor > 1]:
        yield starts_figure(table, boosts)


def _place(boost: Boost) -> tuple:
    tasks = list(dict.fromkeys(task for trunks in TRUNKS.values() for task in trunks))
    switches = [FROM_START, *SWITCHES]
    return tasks.index(boost.task), switches.index(boost.switch), *_kind(boost)


def _kind(boost: Boost) -> tuple:
    what = ORDER.index(boost.what) if boost.what in ORDER else len(ORDER)
    return what, boost.factor, boost.what


def _boosted(table: Table, boost: Boost) -> Boosted:
    control, speed_up = boost.control, None
    if boost != control:
        found = [FASTER.of(*pair) for pair in table.pairs(boost.name, control.name).values()]
        speed_up = aggregate([value for value in found if not isinstance(value, Missing)])
    return Boosted(boost, _in_time(table, boost), _in_time(table, control), speed_up)


def _in_time(table: Table, boost: Boost) -> dict[Run, Switched]:
    runs = {run: switched(run) for run in table.of(boost.name)}
    is_fork = boost.switch != FROM_START
    return {run: its for run, its in runs.items() if not (is_fork and its.is_too_late)}


def map_figure(drawn: Sequence[Boosted]) -> Figure:
    """A table of boosts by switch: median speed-up, and how many seeds end at a lasting 99 %."""
    table = pd.DataFrame([_row(each) for each in sorted(drawn, key=lambda each: _kind(each.boost))])
    switches = [name for name in (FROM_START, *SWITCHES) if name in set(table["switch"])]
    table["switch"] = pd.Categorical(table["switch"], switches, ordered=True)
    return chart(
        "boost-map",
        "Which boosts speed up grokking, and which prevent it",
        "In each cell, the median speed-up (steps of the no-op fork / steps, from the switch to "
        f"{THERE}; < if the boosted seed, > if the no-op did not reach it) and how many seeds stay "
        f"there to the end. Blue: faster, orange: slower, full at a factor of 10. {_counts(drawn)}.",
        table,
        Layer("cells", "switch", "arm", shade="decades_of_median", label="text", tell=TOLD),
        x=Scale(kind="rows"),
        y=Scale(kind="rows"),
        colours=SLOWER_TO_FASTER,
        tall=38,
    )


TOLD = ("get_there", "stay", "seeds", "median_steps", "log10_speed_up", "median_fall_of_train")


def _row(each: Boosted) -> dict[str, object]:
    runs = list(each.runs.values())
    ratio, bound = median_speed_up(each.pairs) if each.speed_up else (np.nan, "")
    found = columns_of(each.speed_up) if each.speed_up else {}
    stay = sum(run.retains for run in runs)
    return {
        "panel": each.boost.task,
        "switch": each.boost.switch,
        "arm": each.label,
        "seeds": len(runs),
        "get_there": sum(run.reaches_threshold for run in runs),
        "stay": stay,
        "median_steps": survival(
            [r.remaining for r in runs], [r.reaches_threshold for r in runs]
        ).median,
        "median_speed_up": ratio,
        "bound": bound,
        "decades_of_median": np.log10(ratio) if each.speed_up else 0.0,
        "log10_speed_up": found.get("value", np.nan),
        "low": found.get("low", np.nan),
        "high": found.get("high", np.nan),
        "median_fall_of_train": float(np.median([run.fall for run in runs])),
        "median_steps_below": float(np.median([run.steps_below for run in runs])),
        "text": (f"{bound}×{format_number(ratio, 2)}<br>" if each.speed_up else "")
        + f"{stay}/{len(runs)}",
    }


def survival_figure(drawn: Sequence[Boosted]) -> Figure:
    """The share of seeds not yet at 99 % over steps since the switch; a row per task and switch."""
    shown = [each for each in drawn if each.label == "no-op" or each.boost.what == "lr"]
    frames = []
    for each in shown:
        runs = each.runs.values()
        found = staircase([run.remaining for run in runs], [run.reaches_threshold for run in runs])
        frames.append(found.assign(panel=each.place, series=each.label))
    factors = {each.label: each.boost.factor for each in shown if each.label != "no-op"}
    labels = sorted(factors, key=lambda label: factors[label])
    looks = {label: Look(*look) for label, look in zip(labels, theme.looks(len(labels)), strict=True)}
    return chart(
        "boost-survival",
        "How long it takes to reach 99 %, by multiplier of the learning rate",
        f"Kaplan-Meier estimate of the share of seeds not yet at {THERE}. "
        "+: seeds that had not reached it by their last step (censored, not dropped).",
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(),
        Layer("survival", "steps", "share", tell=("censored",)),
        x=Scale("steps since the switch"),
        y=Scale(limits=(-0.05, 1.05)),
        looks={"no-op": Look(theme.NEUTRAL, width=3), **looks},
        tall=130,
    )


def curves_figure(drawn: Sequence[Boosted]) -> Figure:
    """Accuracy on both sides of every seed, a row per arm of one task and switch; control first."""
    place = drawn[0].place
    slug = "".join(c if c.isalnum() else "-" for c in place.replace(",", "")).lower()
    return chart(
        f"boost-{slug}",
        f"Accuracy with other learning rates: {place}",
        f"One row per arm, one line per run; ◆ the switch. {_counts(drawn)}. Forks share their trunk's "
        f"line up to the switch. Grokked: {THERE}. The button aligns all switches at 0.",
        pd.concat([frame for each in drawn for frame in _curves(each)], ignore_index=True),
        {
            "curve": Layer("lines", "step", "accuracy", each="run", tell=("seed",)),
            "switch": Layer("dots", "step", "accuracy", tell=("seed",)),
        },
        x=Scale("training step"),
        y=SHARE,
        other_x=("since_switch", "steps since the switch")
        if any(run.at for each in drawn for run in each.runs.values())
        else None,
        looks={SIDE_NAMES[side]: Look(theme.SIDES[side], DASHES[side], width=1.3) for side in SIDES}
        | {"switch": Look(theme.NEUTRAL, symbol="diamond")},
        tall=96,
    )


DASHES = {"train": "3px,2px", "val": "solid"}


def _curves(each: Boosted) -> Iterator[pd.DataFrame]:
    runs = each.runs.values()
    there, stay = sum(run.reaches_threshold for run in runs), sum(run.retains for run in runs)
    panel = f"{each.label}: {there} of {plural(len(runs), 'seed')} at 99 %, {stay} for good"
    for run, its in each.runs.items():
        about = {"arm": each.label, "panel": panel, "run": run.id, "seed": run.spec.seeds.model}
        for side in SIDES:
            curve = its.curves[f"{side}_accuracy"].dropna("step")
            steps = curve["step"].values
            at = {"step": steps, "since_switch": steps - its.at, "accuracy": curve.values}
            yield pd.DataFrame({**about, "layer": "curve", "series": SIDE_NAMES[side], **at})
        if its.at:
            train = its.curves["train_accuracy"].dropna("step").sel(step=its.at, method="nearest")
            where = {"step": [its.at], "since_switch": [0], "accuracy": [float(train)]}
            yield pd.DataFrame({**about, "layer": "switch", "series": "switch", **where})


def starts_figure(table: Table, boosts: Sequence[Boost]) -> Figure:
    """log(speed-up) / log(multiplier) by what is called the start of grokking, for each multiplier."""
    rows = [
        {"start": start, "arm": boost.label, **columns_of(_slope(table, boost, start))}
        for start in STARTS
        for boost in boosts
    ]
    return chart(
        "boost-starts",
        "How proportional the speed-up is depends on where counting starts: addition, boosted at onset",
        "1: the steps shrink in proportion to the rate; 0: not at all; the line at ½ separates C3's "
        "answers. Points are means over seeds, bars 95 % intervals, censored seeds as in the verdicts. "
        "Onsets by validation are lasting, in each run's own curve.",
        pd.DataFrame(rows),
        Layer("intervals", "value", "start", series="arm", tell=("n", "method")),
        x=Scale("log(speed-up) / log(multiplier)", lines=(0.0, 0.5, 1.0)),
        y=Scale(kind="rows"),
    )


def _slope(table: Table, boost: Boost, start: str) -> Estimate:
    pairs = table.pairs(boost.name, boost.control.name).values()
    both = [(switched(run), switched(control)) for run, control in pairs]
    return aggregate(
        [
            proportion_of_rate(boost.factor, start, run, control)
            for run, control in both
            if not run.is_too_late
        ]
    )


def _counts(drawn: Sequence[Boosted]) -> str:
    counts = sorted({len(each.runs) for each in drawn})
    return f"{' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} seeds per arm"
