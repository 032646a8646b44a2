"""The figures that are made for one kind of measure, drawn of the arms of one's own runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from undergrowth.measures import Areas
from undergrowth.report.ablation import deletion_by_k_figure, deletion_over_steps_figure
from undergrowth.report.aligned import COLOURED
from undergrowth.report.areas import learned_figures, table_film
from undergrowth.report.arms import Arm, looks_of, telling
from undergrowth.report.confidence import PUSHED, error_probability_figure, push_figure
from undergrowth.report.figure import Figure
from undergrowth.report.saliency import breadth_figure, concentration_figure, saliency_histogram
from undergrowth.store import Run

MOST = 2
"""Arms that have such a figure, or a line in one."""
Runs = tuple[Run, ...]
Made = Callable[[str, Sequence[Arm]], Iterator[Figure]]


def special_figures(kind: str, key: str, arms: Sequence[Arm]) -> Iterator[Figure]:
    """What there is of a kind of measure whose readings begin with `key`; nothing of most.

    Runs that diverged, or have not read it, are left out.
    """
    if kind in MADE:
        ready = [replace(arm, runs=tuple(r for r in arm.runs if r.status != "failed")) for arm in arms]
        yield from MADE[kind](key, ready)


def _with(arms: Sequence[Arm], *readings: str) -> list[Arm]:
    """The first arms that have all of some readings, with the runs that have them."""
    found = [replace(a, runs=tuple(r for r in a.runs if set(readings) <= set(r.names))) for a in arms]
    return telling([arm for arm in found if arm.runs], MOST)


def _each(arms: Sequence[Arm], *draw: Callable[[Runs], Figure]) -> Iterator[Figure]:
    """Figures of one arm, arm by arm."""
    for place, arm in enumerate(arms, start=1):
        for one in draw:
            figure = one(arm.runs)
            yield replace(figure, name=f"{figure.name}-{place}", title=f"{figure.title}: {arm.name}")


def _saliency(key: str, arms: Sequence[Arm]) -> Iterator[Figure]:
    shown = _with(arms, f"{key}_median", f"{key}_breadth")
    yield from _each(
        shown,
        lambda runs: saliency_histogram(runs, f"{key}_median"),
        lambda runs: concentration_figure(runs, f"{key}_median"),
        lambda runs: breadth_figure(runs, f"{key}_breadth"),
    )


def _deletion(key: str, arms: Sequence[Arm]) -> Iterator[Figure]:
    shown = _with(arms, *(f"{key}_{ending}" for ending in ("accuracy", "log_prob", "norm_share")))
    yield from _each(
        shown,
        lambda runs: deletion_over_steps_figure(runs, prefix=key),
        lambda runs: deletion_by_k_figure(runs, prefix=key),
    )


def _confidence(key: str, arms: Sequence[Arm]) -> Iterator[Figure]:
    if key != "confidence":
        return
    shown = _with(arms, *PUSHED, "confidence_histogram")
    if shown:
        by_name = {arm.legend: arm.runs for arm in shown}
        yield error_probability_figure(by_name)
        yield push_figure(by_name, looks_of(arms, COLOURED))


def _table(key: str, arms: Sequence[Arm]) -> Iterator[Figure]:
    shown = [arm for arm in _with(arms, *TABLE) if arm.runs[0]["table_correct"].sizes["step"] > 1]
    for place, arm in enumerate(shown, start=1):
        measures = arm.runs[0].spec.measures
        areas = [each for each in measures if isinstance(each, Areas)]
        kind = areas[0].kind if areas else "block"
        for figure in (table_film(arm.runs, kind), *learned_figures(arm.runs, kind)):
            yield replace(figure, name=f"{figure.name}-{place}", title=f"{figure.title}: {arm.name}")


TABLE = ("table_correct", "table_centred_logit")
MADE: dict[str, Made] = {
    "saliency": _saliency,
    "deletion": _deletion,
    "confidence": _confidence,
    "table_map": _table,
}
