"""What remains after deleting k neurons: over k with a slider over steps, and vice versa."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pandas as pd

from undergrowth.analysis.matching import MATCHED_WITHIN, is_matched
from undergrowth.analysis.means import over_seeds
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import SHARE, STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import Group, Runs, as_runs, count, groups, measured_as
from undergrowth.store import Run

METRICS = {"accuracy": "accuracy", "log_prob": "correct log-probability (nats)"}
STRATEGIES = {
    "top": ("k most salient", "solid"),
    "random": ("k at random", "6px,3px"),
    "least": ("k least salient", "2px,3px"),
    "norm_matched": ("others of equal norm", "8px,3px,2px,3px"),
}
"""Of each strategy: its legend entry and dash."""
WHOLE = "nothing deleted"
LOOKS = {name: Look(theme.STRATEGIES[key], dash) for key, (name, dash) in STRATEGIES.items()}
LOOKS[WHOLE] = Look(theme.NEUTRAL, width=3, opacity=0.6)


def deletion_by_k_figure(runs: Runs, prefix: str = "deletion") -> Figure:
    """Accuracy and correct log-probability over k for each strategy, with a slider over steps."""
    found, table = _table(runs, prefix)
    ks = tuple(dict.fromkeys(table["k"])) if len(table) else ()
    return chart(
        "deletion_by_k",
        "What the network can still do without k of its neurons",
        _caption(found, prefix),
        table,
        {"mean": Layer("lines", "k", "mean")},
        x=Scale("k, neurons deleted", "log", is_switchable=True, marks=ks),
        y={METRICS["accuracy"]: SHARE},
        looks=LOOKS,
        **_slider(table, "step", table["step"].max() if len(table) else None, "training step "),
    )


def deletion_over_steps_figure(
    runs: Runs, k: int = 32, prefix: str = "deletion", *, relative: bool = False
) -> Figure:
    """The same over training steps, with a slider over k that starts at the k nearest to `k`.

    relative: show the change that the deletion makes, taken within each run, so that the interval
    is not widened by runs that generalise at different times.
    """
    found, table = _table(runs, prefix, relative=relative)
    name, title = "deletion_over_steps", "What the network can still do without k neurons"
    title, how = f"{title}, as training goes on", f"Grey: {WHOLE}. "
    if relative:
        name, title = "deletion_change", "How much deleting k neurons hurts, as training goes on"
        how = "Shown: the value after deletion minus that of the intact network, within each run. "
    elif len(table):
        whole = table[(table["strategy"] == "top") & (table["k"] == 0)]
        whole = whole.assign(layer="whole", strategy="none", series=WHOLE, k=None)
        table = pd.concat([table, whole.astype({"k": float})], ignore_index=True)
    ks = table["k"].dropna().unique() if len(table) else []
    start = min(ks, key=lambda each: abs(each - k), default=None)
    return chart(
        name,
        title,
        how + _caption(found, prefix),
        table,
        {
            "mean": Layer("lines", "step", "mean"),
            "whole": Layer("lines", "step", "mean", low="", high=""),
        },
        x=STEPS,
        y={} if relative else {METRICS["accuracy"]: SHARE},
        looks=LOOKS,
        **_slider(table, "k", start, "k = "),
    )


def _slider(table: pd.DataFrame, column: str, start: Any, title: str) -> dict[str, Any]:
    """How a figure of deletions is chosen from, where there is one."""
    if not len(table):
        return {}
    moves = {"slide": column, "start": start, "slide_title": title}
    return {"choose": "examples", "tall": 230, **moves}


def _table(runs: Runs, prefix: str, *, relative: bool = False) -> tuple[tuple[Group, ...], pd.DataFrame]:
    """The groups, and columns labels, side, examples, metric, strategy, step, k, mean, low, high, n."""
    return _tabulated(as_runs(runs), prefix, relative)


@lru_cache(maxsize=8)
def _tabulated(
    runs: tuple[Run, ...], prefix: str, relative: bool
) -> tuple[tuple[Group, ...], pd.DataFrame]:
    found = groups(runs, *(f"{prefix}_{metric}" for metric in METRICS), f"{prefix}_norm_share")
    frames = [
        frame.assign(layer="mean", labels=group.name, side=side, examples=examples)
        for group in found
        for side, examples in _views(group)
        for frame in _of_group(group, side, prefix, relative)
    ]
    return found, pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _views(group: Group) -> list[tuple[str, str]]:
    """The sides on which a group is tested, and what a button calls them."""
    return (
        [("train", group.name)] if group.is_control else [("val", "validation"), ("train", "training")]
    )


def _of_group(group: Group, side: str, prefix: str, relative: bool) -> Iterator[pd.DataFrame]:
    matched = is_matched(group.values(f"{prefix}_norm_share"))
    for metric, panel in METRICS.items():
        for strategy, (name, _) in STRATEGIES.items():
            values = group.values(f"{prefix}_{metric}").sel(side=side, strategy=strategy)
            values = values - values.sel(k=0) if relative else values
            values = values.where(matched) if strategy == "norm_matched" else values
            panel = f"change in {METRICS[metric]}" if relative else METRICS[metric]
            table = over_seeds(values.transpose("run", "step", "k"))
            yield table.assign(metric=metric, panel=panel, strategy=strategy, series=name)


def _caption(found: tuple[Group, ...], prefix: str) -> str:
    return (
        f"Mean over {count(found)}, with 95% intervals. A neuron is deleted by closing its gate; "
        f"neurons are ranked on the training examples ({measured_as(found, prefix + '_accuracy')}). "
        "‘Others of equal norm’: random neurons from outside the top k, as many as carry the same "
        "summed squared logit norm; drawn only where such sets exist (within "
        f"{MATCHED_WITHIN:.0%}). Buttons choose the examples on which the network is tested: "
        f"validation, training, or the training examples of the runs with shuffled labels. {ZERO_ON_LOG}"
    )
