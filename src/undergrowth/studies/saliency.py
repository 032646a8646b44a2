"""Do few neurons become salient for many examples while a network groks? P15 and P16."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from undergrowth.analysis import Verdict, effective_number, gini, skewness
from undergrowth.analysis.moments import change_since_memorised
from undergrowth.report.saliency import breadth_figure, concentration_figure, saliency_histogram
from undergrowth.store import Run
from undergrowth.studies import one_layer_addition
from undergrowth.studies.against_control import CONTROL_RULE, against_control
from undergrowth.studies.study import Answer, Claim, Study

MEDIANS, BREADTHS = "saliency_median", "saliency_breadth"
Statistic = Callable[[np.ndarray], np.ndarray]


def change(run: Run, reading: str, side: str, statistic: Statistic) -> float:
    """A statistic over neurons at the last step minus its value when the run had memorised."""
    return change_since_memorised(
        run, run[reading].sel(side=side), lambda neurons: float(statistic(neurons.values))
    )


def _halvings(values: np.ndarray) -> np.ndarray:
    return -np.log2(effective_number(values))


def _median(values: np.ndarray) -> np.ndarray:
    return np.median(values)


def _rises(
    runs: Sequence[Run], claim: str, what: str, reading: str, side: str, statistic: Statistic
) -> Verdict:
    """Does the statistic rise by more than it does with shuffled labels?"""
    compared = against_control(runs, lambda run: change(run, reading, side, statistic))
    return Verdict(
        claim=claim,
        study="saliency",
        statistic=f"{what} ({side}): change from memorised to the end, minus the control's",
        estimate=compared.estimate,
        threshold=0.0,
        rule=CONTROL_RULE,
        note=f"{compared.note} {_peak_note(runs, reading, side, statistic)}".strip(),
    )


def _peak_note(runs: Sequence[Run], reading: str, side: str, statistic: Statistic) -> str:
    """Whether the change was one-way: where the statistic was highest, and how it ended."""
    over_steps = [run[reading].sel(side=side) for run in runs if run.spec.labels == "true"]
    curves = [np.array([float(statistic(row)) for row in array.values]) for array in over_steps]
    if not curves:
        return ""
    steps = [int(a["step"].values[c.argmax()]) for a, c in zip(over_steps, curves, strict=True)]
    height, end = np.mean([c.max() for c in curves]), np.mean([c[-1] for c in curves])
    return f"Highest near step {np.median(steps):.0f} ({height:.3g}), {end:.3g} at the end."


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
    halvings = "-log2 of the effective number of neurons"
    return (
        _rises(runs, "P15", breadth, BREADTHS, "train", _median),
        _rises(runs, "P15", breadth, BREADTHS, "val", _median),
        _rises(runs, "P15", halvings, MEDIANS, "train", _halvings),
        _rises(runs, "P16", skew, MEDIANS, "train", skewness),
        _rises(runs, "P16", skew, MEDIANS, "val", skewness),
        _rises(runs, "P16", unequal, MEDIANS, "val", gini),
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
