"""Do few neurons become salient for many examples while a network groks? P15 and P16."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from undergrowth.analysis import Verdict, difference, effective_number, gini, skewness
from undergrowth.analysis.moments import at_the_end, when_memorised
from undergrowth.report.saliency import breadth_figure, concentration_figure, saliency_histogram
from undergrowth.store import Run
from undergrowth.studies import one_layer_addition
from undergrowth.studies.study import Answer, Claim, Study

MEDIANS, BREADTHS = "saliency_median", "saliency_breadth"
Statistic = Callable[[np.ndarray], np.ndarray]


def change(run: Run, reading: str, side: str, statistic: Statistic) -> float:
    """A statistic over neurons at the last step minus its value when the run had memorised."""
    over_steps: xr.DataArray = run[reading].sel(side=side)
    early, late = when_memorised(over_steps, run), at_the_end(over_steps)
    return float(statistic(late.values) - statistic(early.values))


def _halvings(values: np.ndarray) -> np.ndarray:
    return -np.log2(effective_number(values))


def _median(values: np.ndarray) -> np.ndarray:
    return np.median(values)


def _against_control(
    runs: Sequence[Run], claim: str, what: str, reading: str, side: str, statistic: Statistic
) -> Verdict:
    """Is the change from memorised to the end larger than with shuffled labels?"""
    changes = {
        labels: [change(r, reading, side, statistic) for r in runs if r.spec.labels == labels]
        for labels in ("true", "shuffled")
    }
    control = changes["shuffled"]
    return Verdict(
        claim=claim,
        study="saliency",
        statistic=f"{what} ({side}): change from memorised to the end, minus the control's",
        estimate=difference(changes["true"], control),
        threshold=0.0,
        rule=(
            "Supported if the interval of the difference to the shuffled-label control lies above 0; "
            "contradicted if below."
        ),
        note=(
            f"Change {_mean(changes['true'])} with true labels, {_mean(control)} in the control "
            f"({len(control)} seeds). {_peak_note(runs, reading, side, statistic)}"
        ),
    )


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):+.3g}" if values else "unknown"


def _peak_note(runs: Sequence[Run], reading: str, side: str, statistic: Statistic) -> str:
    """Whether the change was one-way: where the statistic was highest, and how it ended."""
    peaks, ends = [], []
    for run in runs:
        if run.spec.labels == "true":
            over_steps = run[reading].sel(side=side)
            values = statistic_over_steps(over_steps, statistic)
            peaks.append((int(over_steps["step"].values[values.argmax()]), float(values.max())))
            ends.append(float(values[-1]))
    if not peaks:
        return ""
    step, height = np.median([s for s, _ in peaks]), np.mean([h for _, h in peaks])
    return f"Highest near step {step:.0f} ({height:.3g}), {np.mean(ends):.3g} at the end."


def statistic_over_steps(over_steps: xr.DataArray, statistic: Statistic) -> np.ndarray:
    """The statistic at every step of a reading with dims (step, neuron)."""
    return np.array([float(statistic(row)) for row in over_steps.values])


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P15 and P16, and how saliency spreads over neurons and examples."""
    figures = (
        saliency_histogram(runs, MEDIANS),
        concentration_figure(runs, MEDIANS),
        breadth_figure(runs, BREADTHS),
    )
    return Answer(_verdicts(runs), figures)


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    breadth = "median breadth of the neurons"
    skew, unequal = (
        "skewness of the neurons' median saliency",
        "Gini of the neurons' median saliency",
    )
    halvings = "halvings of the effective number of neurons"
    return (
        _against_control(runs, "P15", breadth, BREADTHS, "train", _median),
        _against_control(runs, "P15", breadth, BREADTHS, "val", _median),
        _against_control(runs, "P15", halvings, MEDIANS, "train", _halvings),
        _against_control(runs, "P16", skew, MEDIANS, "train", skewness),
        _against_control(runs, "P16", skew, MEDIANS, "val", skewness),
        _against_control(runs, "P16", unequal, MEDIANS, "val", gini),
    )


STUDY = Study(
    name="saliency",
    question="Do few neurons become salient for many examples while the network groks?",
    claims=(
        Claim(
            "P15",
            "Early, each neuron is salient for few outputs; later a few neurons are salient for many.",
        ),
        Claim(
            "P16",
            "The histogram of the neurons' median saliency grows more right-skewed with training, on "
            "train and test examples.",
        ),
    ),
    predictions={
        "frequency of reinforcement": (
            "Breadth, skewness and Gini rise with grokking and not with shuffled labels."
        ),
        "circuit efficiency": (
            "The same under weight decay, which clears away what is not needed; no rise without it."
        ),
        "a collective general circuit": (
            "In modular addition nearly all neurons join the general circuit (Doshi et al. 2024, "
            "arXiv:2310.13061): breadth rises, while skewness may rise and fall again."
        ),
    },
    runs=one_layer_addition.runs,
    answer=answer,
)
