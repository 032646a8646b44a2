"""What is kept of each class over the distance, how margins fall, and what is lost by arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis.means import methods, over_seeds
from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.estimates import Numbers, by_arm_figure
from undergrowth.report.figure import Figure, chart
from undergrowth.store import Run
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
    "Classes are fixed at the fork, where all their predictions are right: memorised ones from training "
    "and wrong labels, general ones from validation. The gradient of the loss is off."
)
Number = Callable[[Undone, Class], np.ndarray]


def figures(table: Table) -> Iterator[Figure]:
    """Nothing if no fork went the whole way."""
    if not any(forks_of(table, undoing.name) for undoing in _undone(table)):
        return
    for score, held in SCORES.items():
        yield _kept_figure(
            f"decay_kept_{score}",
            f"Which predictions stay {held} under decay or noise alone in a half-grokked network",
            f"{RULE} The share of those {held} at the fork that still are. A homogeneous network (the "
            "MLP) keeps every right prediction under decay alone.",
            f"still {held}",
            _kept(table, lambda fork, cls, score=score: fork.kept(cls, score)),
            (0, 1.03),
        )
    yield _kept_figure(
        "decay_margins",
        "How the margin of the correct label falls under decay and noise alone",
        f"{RULE} Margin: its logit minus the largest other one, as a share of that at the fork; median "
        "over the class.",
        "margin / margin at the fork",
        _kept(table, Undone.relative_margin),
        (-0.3, 1.05),
    )
    yield _by_arm(table)


def _undone(table: Table) -> Iterator[Undoing]:
    """What is done without the gradient, or beside that as a control."""
    yield from (undoing for undoing in undoings(table.budget) if undoing.setup in SETUPS)


LOOKS = {
    NAMES["shallow"]: Look(theme.SIDES["train"]),
    NAMES["general"]: Look(theme.SIDES["val"], "4px,3px"),
    WRONG_NAME: Look(theme.STRATEGIES["top"]),
}


def _kept_figure(
    name: str, title: str, caption: str, label: str, kept: pd.DataFrame, limits: tuple[float, float]
) -> Figure:
    """A panel per set-up and remaining force, over how far the weights have moved."""
    return chart(
        name,
        title,
        f"{caption} Distance: how far the weights have moved, as a share of their norm at the fork. "
        f"Band: 95 % interval over seeds ({methods(kept)}).",
        kept,
        Layer("lines", "distance", "mean", series="class"),
        x=Scale("distance"),
        y=Scale(label, limits=limits),
        looks=LOOKS,
        across=len(ALONE),
    )


def _kept(table: Table, number: Number) -> pd.DataFrame:
    """Means over forks of a number at each distance; columns as of `over_seeds`, class, row, column."""
    frames = []
    for setup in SETUPS:
        for what in ALONE:
            forks = forks_of(table, Undoing(setup, what).name)
            where = {"row": setup, "column": f"{what} alone", "panel": f"{setup}<br>{what} alone"}
            for cls in NAMES if forks else ():
                values = np.array([number(fork, cls) for fork in forks.values()])
                means = over_seeds(xr.DataArray(values, {"distance": GRID}, ["run", "distance"]))
                name = WRONG_NAME if (setup, cls) == (WRONG, "shallow") else NAMES[cls]
                frames.append(means.assign(**where, **{"class": name}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"class": []})


SAYS = {
    **{what: f"{what} alone" for what in ALONE},
    "nothing": "neither",
    "trains on": "training going on",
}


def _by_arm(table: Table) -> Figure:
    panels = {
        f"{says}: loss of those {held}": values
        for what, says in SAYS.items()
        for score, held in SCORES.items()
        if (values := _rows(table, what, score))
    }
    return by_arm_figure(
        "decay_lost_by_arm",
        "How much of each class is lost under decay or noise alone, by when the gradient is removed",
        panels,
        f"Lost: mean over a class of the share of the path to {UPTO:g} of the norm on which a "
        "prediction does not hold.",
    )


def _rows(table: Table, what: str, score: Score) -> dict[str, Numbers]:
    found: dict[str, Numbers] = {}
    for undoing in _undone(table):
        forks = forks_of(table, undoing.name) if undoing.what == what else {}
        first = "wrong labels" if undoing.setup == WRONG else "training"
        if forks:
            where = f"{undoing.trunk(table.budget).name}, {undoing.switch}"
            found[f"{where}: {first}"] = _lost(forks, "shallow", score)
            if undoing.switch != "memorised":
                found[f"{where}: validation"] = _lost(forks, "general", score)
    return found


def _lost(forks: Mapping[Run, Undone], cls: Class, score: Score) -> Numbers:
    return [(run, fork.mean_lost(cls, score)) for run, fork in forks.items()]
