"""Observed beside predicted: who is ahead over steps, and growth by the number of examples served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import SHARE, STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.store import Run
from undergrowth.studies.rivalry.arms import EXPONENTS, SCALARS, late_arm, late_levels, strips_arm
from undergrowth.studies.rivalry.statistics import ratio_over_steps, strengths
from undergrowth.studies.rivalry.theory import planted
from undergrowth.studies.table import Table

LOOKS = {
    "observed": Look(theme.SIDES["train"]),
    "predicted": Look(theme.SIDES["val"], dash="6px,3px"),
}


def figures(table: Table) -> Iterator[Figure]:
    """Shares over steps, a panel an arm, then gains by generality, a panel an optimiser."""
    late = [late_arm(*level) for level in late_levels(table.budget)]
    if there := table.among((*SCALARS, *late)):
        yield shares_figure(table, there)
    strips = {name: table.of(strips_arm(name)) for name in EXPONENTS if table.has(strips_arm(name))}
    if strips:
        yield growth_figure(table, strips)


def shares_figure(table: Table, arms: Sequence[str]) -> Figure:
    """The general circuit's share at every step, every seed's line and the predicted one."""
    frames = []
    for arm in arms:
        for run in table.of(arm):
            found = ratio_over_steps(run)
            if found is not None:
                frames.append(_line(arm, "observed", _shares(found), run))
        steps, shares = table.predicts(arm, "steps"), table.predicts(arm, "shares")
        if steps:
            values = xr.DataArray(shares, {"step": steps}, ("step",))
            frames.append(_line(arm, "predicted", values))
    return chart(
        "rivalry_shares",
        "Who wins: the general circuit's share of what both gained",
        "r / (1 + r), with r the gain of the general circuit over the mean gain of the look-ups of "
        "training examples, or their strengths under decay. 1/2 is a tie, 16/17 what "
        f"sixteen times the push gives. A line a seed. {table.said_of_predictions}",
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(),
        Layer("lines", "step", "share", series="line", each="run", tell=("seed",)),
        x=STEPS,
        y=SHARE,
        looks=LOOKS,
        across=2,
    )


def _shares(ratio: xr.DataArray) -> xr.DataArray:
    return (ratio / (1 + ratio)).where(ratio["step"] > 0, drop=True)


def _line(arm: str, line: str, values: xr.DataArray, run: Run | None = None) -> pd.DataFrame:
    its = {"run": run.id, "seed": run.spec.seeds.model} if run else {"run": "predicted", "seed": np.nan}
    numbers = pd.DataFrame({"step": values["step"].values, "share": values.values})
    return numbers.assign(panel=arm, line=line, **its)


def growth_figure(table: Table, strips: Mapping[str, Sequence[Run]]) -> Figure:
    """What strips gained by how many training examples they serve, beside the predicted curve."""
    frames = []
    for name, runs in strips.items():
        for run in runs:
            found = strengths(run)
            if found is None:
                continue
            is_train, cells = run.spec.data().is_train, planted(run.spec).circuits.cells
            served = np.array([is_train[list(its)].sum() for its in cells])
            gained = (found[-1] - found[0]).values
            one = gained[served == served[served > 0].min()].mean()
            rows = pd.DataFrame({"served": served, "gained": gained / one})
            its = {"run": run.id, "seed": run.spec.seeds.model}
            frames.append(rows[served > 0].assign(panel=name, line="observed", layer="seed", **its))
        arm = strips_arm(name)
        if served := table.predicts(arm, "served"):
            curve = pd.DataFrame({"served": served, "gained": table.predicts(arm, "gained")})
            frames.append(curve.assign(panel=name, line="predicted", layer="theory"))
    return chart(
        "rivalry_growth",
        "How fast a circuit grows by how many examples it serves",
        "Gain of a strip's strength over that of the strips that serve the fewest. A dot a strip "
        f"and seed; the line is theory's. {table.said_of_predictions}",
        pd.concat(frames, ignore_index=True),
        {
            "seed": Layer("dots", "served", "gained", series="line", tell=("run", "seed")),
            "theory": Layer("lines", "served", "gained", series="line"),
        },
        x=Scale("training examples that the strip serves", "log"),
        y=Scale("gain beside one example's", "log"),
        looks=LOOKS,
        across=2,
    )
