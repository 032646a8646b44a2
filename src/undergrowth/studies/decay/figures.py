"""What is kept of each class over the distance, how margins fall, and what is lost by arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xarray as xr

from undergrowth.report import theme
from undergrowth.report.by_arm import Panel, by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.report.forgetting import Cell, Line, kept_figure
from undergrowth.studies.decay.arms import ALONE, SETUPS, UPTO, WRONG, Undoing, undoings
from undergrowth.studies.decay.endpoints import forks_of
from undergrowth.studies.decay.statistics import GRID, SCORES, Class, Score, Undone
from undergrowth.studies.table import Table

NAMES: dict[Class, str] = {
    "shallow": "training (memorised, in part general)",
    "general": "validation (general)",
}
WRONG_NAME = "wrong labels (memorised)"
RULE = (
    "Classes are fixed at the fork, where all their predictions are right; memorised ones of training "
    "and of wrong labels, general ones of validation. Without the gradient of the loss."
)
Number = Callable[[Undone, Class], np.ndarray]


def figures(table: Table) -> Iterator[Figure]:
    """Nothing where no fork went the whole way."""
    if not any(forks_of(table, undoing.name) for undoing in _undone(table)):
        return
    for score, held in SCORES.items():
        yield kept_figure(
            f"decay_kept_{score}",
            f"What predictions decay and noise alone leave {held} in a half-grokked network",
            f"{RULE} Of those {held} at the fork, the share that still is. A homogeneous network (the "
            "MLP) keeps every right prediction under decay alone.",
            f"still {held}",
            _cells(table, lambda fork, cls, score=score: fork.kept(cls, score)),
            (0, 1.03),
        )
    yield kept_figure(
        "decay_margins",
        "How the margin of the correct label falls under decay and noise alone",
        f"{RULE} Lead: its logit less the largest other one; median over the class of its share of that "
        "at the fork.",
        "margin / margin at the fork",
        _cells(table, Undone.relative_margin),
        (-0.3, 1.05),
    )
    yield _by_arm(table)


def _undone(table: Table) -> Iterator[Undoing]:
    """What is done without the gradient, or beside that as a control."""
    yield from (undoing for undoing in undoings(table.budget) if undoing.setup in SETUPS)


def _cells(table: Table, number: Number) -> list[Cell]:
    found = {
        (setup, what): forks_of(table, Undoing(setup, what).name) for setup in SETUPS for what in ALONE
    }
    return [
        Cell(f"{what} alone", setup, tuple(_line(forks, setup, cls, number) for cls in NAMES))
        for (setup, what), forks in found.items()
        if forks
    ]


def _line(forks: Sequence[Undone], setup: str, cls: Class, number: Number) -> Line:
    values = np.array([number(fork, cls) for fork in forks])
    array = xr.DataArray(values, {"distance": GRID}, ["run", "distance"])
    if cls == "general":
        return Line(NAMES[cls], array, theme.SIDES["val"], "4px,3px")
    if setup == WRONG:
        return Line(WRONG_NAME, array, theme.STRATEGIES["top"])
    return Line(NAMES[cls], array, theme.SIDES["train"])


SAYS = {
    **{what: f"{what} alone" for what in ALONE},
    "nothing": "neither",
    "trains on": "training going on",
}


def _by_arm(table: Table) -> Figure:
    panels = [
        Panel(f"{says}: lost of those {held}", values)
        for what, says in SAYS.items()
        for score, held in SCORES.items()
        if (values := _rows(table, what, score))
    ]
    return by_arm_figure(
        "decay_lost_by_arm",
        "How much of each class is lost under decay or noise alone, by when the gradient is taken away",
        panels,
        f"Lost: mean over a class of the share of the way to {UPTO:g} of the norm on which a prediction "
        "does not hold.",
    )


def _rows(table: Table, what: str, score: Score) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for undoing in _undone(table):
        forks = forks_of(table, undoing.name) if undoing.what == what else []
        first = "wrong labels" if undoing.setup == WRONG else "training"
        if forks:
            where = f"{undoing.trunk(table.budget).name}, {undoing.switch}"
            found[f"{where}: {first}"] = [fork.mean_lost("shallow", score) for fork in forks]
            if undoing.switch != "memorised":
                found[f"{where}: validation"] = [fork.mean_lost("general", score) for fork in forks]
    return found
