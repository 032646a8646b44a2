"""How saliency is spread over neurons, and each neuron's over examples, during training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from undergrowth.analysis import effective_number, gini, skewness
from undergrowth.analysis.distributions import over_components, pooled_quantiles
from undergrowth.analysis.means import methods, over_seeds
from undergrowth.measures import SIDES
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Layer, Look
from undergrowth.report.charts.description import STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import SIDE_NAMES, Group, Runs, count, groups, measured_as
from undergrowth.report.histogram import saliency_histogram

__all__ = ["breadth_figure", "concentration_figure", "saliency_histogram"]

STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "skewness": skewness,
    "Gini coefficient": gini,
    "effective number of neurons": effective_number,
}
WIDTHS = {"train": 4.5, "val": 1.8}
"""Validation is drawn thin on training, for the two nearly coincide."""


def concentration_figure(runs: Runs, reading: str = "saliency_median") -> Figure:
    """Skewness, Gini and effective number of a per-component reading over steps, mean over seeds."""
    found = groups(runs, reading)
    frames = [
        over_seeds(over_components(group.values(reading), statistic).sel(side=side)).assign(
            panel=name, **_who(group, side)
        )
        for name, statistic in STATISTICS.items()
        for group in found
        for side in SIDES
    ]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return chart(
        "concentration",
        "How concentrated saliency is: skewness, Gini and effective number of neurons",
        f"Of the distribution over neurons of the {reading.rsplit('_', 1)[-1]} |saliency| over examples "
        f"({measured_as(found, reading)}): mean over seeds ({count(found)}) with its 95% interval "
        f"({methods(table)}). Skewness can fall while fewer neurons carry more, so read it together "
        "with the other two: if all neurons are equally salient, the Gini coefficient is 0 and the "
        f"effective number (Σs)²/Σs² is the number of neurons. {ZERO_ON_LOG}",
        table,
        Layer("lines", "step", "mean"),
        x=STEPS,
        looks=_looks(found, WIDTHS),
    )


def breadth_figure(runs: Runs, reading: str = "saliency_breadth") -> Figure:
    """Quantiles over neurons, pooled over seeds, of a per-component reading over steps."""
    found = groups(runs, reading)
    frames = []
    for side in SIDES:
        for group in found:
            table = pooled_quantiles(group.values(reading).sel(side=side))
            about = {"panel": f"{SIDE_NAMES[side]} examples", **_who(group, side)}
            frames += [table.assign(layer=layer, **about) for layer in ("all", "half")]
    return chart(
        "breadth",
        "For how many examples each neuron is salient",
        "Breadth of a neuron: (Σs)²/(n Σs²) over the n examples of a side, the share of examples for "
        "which it is salient; 1/n for a look-up neuron for one example, 1 if equally salient for all "
        f"({measured_as(found, reading)}). Line: median over neurons; darker band: the middle half; "
        f"lighter band: 5% to 95%; dashed: shuffled labels, the same quantiles. Neurons pooled over "
        f"{count(found)}. {ZERO_ON_LOG}",
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(),
        {
            "all": Layer("lines", "step", "quantile_0.5", low="quantile_0.05", high="quantile_0.95"),
            "half": Layer("lines", "step", "quantile_0.5", low="quantile_0.25", high="quantile_0.75"),
        },
        x=STEPS,
        looks=_looks(found),
        tall=220,
    )


def _who(group: Group, side: str) -> dict[str, str]:
    return {"labels": group.name, "side": side, "series": group.legend(side)}


def _looks(found: tuple[Group, ...], widths: dict[str, float] | None = None) -> dict[str, Look]:
    """Controls have bounds in place of bands, for they lie over the others."""
    return {
        group.legend(side): group.look(
            side, fill=0 if group.is_control else 0.18, width=(widths or {}).get(side, 2)
        )
        for group in found
        for side in SIDES
    }
