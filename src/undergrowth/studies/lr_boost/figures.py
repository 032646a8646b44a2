"""What the commenters drew: curves after a boost, survival until 99 %, and a map of all boosts."""

from __future__ import annotations

from collections.abc import Iterator

from undergrowth.analysis import Estimate
from undergrowth.report.boosts import (
    Boosted,
    boost_curves_figure,
    boost_map_figure,
    boost_survival_figure,
    start_rules_figure,
)
from undergrowth.report.figure import Figure
from undergrowth.studies.endpoint import aggregate
from undergrowth.studies.lr_boost.arms import BY_NAME, FROM_START, HELD, SWITCHES, TRUNKS, Boost
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
    ("addition", "memorised"),
    ("addition", "onset"),
    ("addition", "step 1,000"),
    ("addition", FROM_START),
    ("division", "onset"),
    ("group", "onset"),
)
"""Whose curves are drawn, and whose survival: the commenters' cases."""
ORDER = ("trunk", "no-op", "lr", HELD, "lr, annealed", "decay")


def figures(table: Table) -> Iterator[Figure]:
    """Nothing where no arm has a run."""
    boosts = sorted((BY_NAME[arm] for arm in table.among(table.arms)), key=_place)
    drawn = [found for boost in boosts if (found := _drawn(table, boost)).runs]
    if not drawn:
        return
    yield boost_map_figure(drawn, RULES)
    cases = [case for case in SHOWN if any((b.task, b.switch) == case for b in drawn)]
    yield boost_survival_figure(drawn, cases, RULES)
    for case in cases:
        yield boost_curves_figure([b for b in drawn if (b.task, b.switch) == case], RULES)
    slopes = {
        boost.label: {start: _slope(table, boost, start) for start in STARTS}
        for boost in boosts
        if (boost.task, boost.what, boost.switch) == ("addition", "lr", "onset") and boost.factor > 1
    }
    if slopes:
        yield start_rules_figure(slopes, "addition, boosted at onset")


def _place(boost: Boost) -> tuple:
    tasks, switches = list(TRUNKS["small"]), [FROM_START, *SWITCHES]
    what = ORDER.index(boost.what) if boost.what in ORDER else len(ORDER)
    return tasks.index(boost.task), switches.index(boost.switch), what, boost.factor, boost.what


def _drawn(table: Table, boost: Boost) -> Boosted:
    is_control = boost == boost.control
    runs = {str(seed): switched(run) for seed, run in sorted(table.runs[boost.name].items())}
    is_fork = boost.switch != FROM_START
    return Boosted(
        task=boost.task,
        switch=boost.switch,
        label="no-op" if is_control else boost.label,
        is_control=is_control,
        factor=boost.factor if boost.what == "lr" else None,
        runs={seed: run for seed, run in runs.items() if not (is_fork and run.is_too_late)},
        speed_up=None if is_control else _speed_up(table, boost),
    )


def _speed_up(table: Table, boost: Boost) -> Estimate:
    found = [FASTER.of(*pair) for pair in table.pairs(boost.name, boost.control.name).values()]
    return aggregate([value for value in found if not isinstance(value, Missing)])


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
