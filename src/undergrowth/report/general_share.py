"""The share of the training centred logit that general parts carry, over training, beside accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from undergrowth.analysis.general_share import general_share
from undergrowth.report import theme
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.panels import Line, Panel, event_marks, panels_figure
from undergrowth.store import Run
from undergrowth.store.reader import together


def general_share_figure(arms: Mapping[str, Sequence[Run]], reading: str) -> Figure:
    """A panel an arm: the general share with true and with shuffled labels, and validation accuracy."""
    numbers = [f"{arm}: {plural(len(runs), 'run')}" for arm, runs in arms.items()]
    caption = (
        "A neuron's general part is what it adds to an unseen example's centred logit in mean, at most "
        "what it adds to a training example's (exact Shapley values); drawn is the sum of these parts "
        "over the sum of what the neurons add to training centred logits: 1 where unseen examples get "
        f"as much. {'; '.join(numbers)}."
    )
    panels = [_panel(arm, runs, reading) for arm, runs in arms.items()]
    title = "How much of the training centred logit comes from parts that serve unseen examples too"
    return panels_figure("general_share", title, caption, panels)


def _panel(arm: str, runs: Sequence[Run], reading: str) -> Panel:
    true = [run for run in runs if run.spec.labels == "true"]
    control = [run for run in runs if run.spec.labels == "shuffled"]
    lines = []
    if true:
        accuracy = together(true, "val_accuracy")
        lines.append(Line("validation accuracy", accuracy, theme.SIDES["val"], "2px,3px"))
        lines.append(Line("general share", _shares(true, reading), theme.STRATEGIES["least"]))
    if control:
        shares = _shares(control, reading)
        lines.append(Line("general share, shuffled", shares, theme.CONTROL_SIDES["train"], "4px,3px"))
    return Panel(
        "share, accuracy", tuple(lines), title=arm, limits=(-0.03, 1.03), marks=event_marks(true)
    )


def _shares(runs: Sequence[Run], reading: str) -> xr.DataArray:
    return general_share(together(runs, reading).transpose("run", "step", "side", ...))
