"""Do few neurons become salient for many examples, and do general ones take over? P10, P15, P16."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from undergrowth.studies.against_control import CONTROL_RULE, against_control

from undergrowth.analysis import Verdict, effective_number, gini, skewness
from undergrowth.analysis.areas import MIDWAY
from undergrowth.analysis.general_share import general_share, least_of_both_midway, wider_rise
from undergrowth.analysis.intervals import censored_estimate, estimate
from undergrowth.analysis.moments import change_since_memorised
from undergrowth.measures import SIDES
from undergrowth.report.effects import Effect, effects_figure
from undergrowth.report.figure import Figure
from undergrowth.report.general_share import general_share_figure
from undergrowth.report.groups import plural
from undergrowth.report.saliency import breadth_figure, concentration_figure, saliency_histogram
from undergrowth.store import Run
from undergrowth.studies import one_layer_addition, small_arms
from undergrowth.studies.small_arms import ATTRIBUTIONS
from undergrowth.studies.study import Answer, Claim, Study

SHAPLEY = "shapley_margin_mean"
LEAST_SHARE = 0.1
"""Of the training margin: below it, one of the two kinds of parts is as good as absent."""

MEDIANS, BREADTHS = "saliency_median", "saliency_breadth"
Statistic = Callable[[np.ndarray], np.ndarray]


def change(run: Run, reading: str, side: str, statistic: Statistic) -> float:
    """A statistic over neurons at the last step minus its value when the run had memorised."""
    if reading not in run.names:
        return float("nan")
    return change_since_memorised(
        run, run[reading].sel(side=side), lambda neurons: float(statistic(neurons.values))
    )


def _halvings(values: np.ndarray) -> np.ndarray:
    return -np.log2(effective_number(values))


def _median(values: np.ndarray) -> np.ndarray:
    return np.median(values)


@dataclass(frozen=True)
class Quantity:
    """A statistic over neurons of one of a saliency's readings, and the claim that it should rise."""

    claim: str
    name: str
    of: str
    statistic: Statistic


BREADTH = Quantity("P15", "median breadth of the neurons", "breadth", _median)
HALVINGS = Quantity("P15", "-log2 of the effective number of neurons", "median", _halvings)
SKEWNESS = Quantity("P16", "skewness of the neurons' median saliency", "median", skewness)
UNEQUAL = Quantity("P16", "Gini of the neurons' median saliency", "median", gini)


def _rises(
    runs: Sequence[Run], quantity: Quantity, side: str, prefix: str = "saliency", where: str = ""
) -> Verdict:
    """Does the statistic rise by more than it does with shuffled labels?"""
    reading = f"{prefix}_{quantity.of}"
    compared = against_control(runs, lambda run: change(run, reading, side, quantity.statistic))
    return Verdict(
        claim=quantity.claim,
        study="saliency",
        statistic=(
            f"{where}{quantity.name} ({side}): change from memorised to the end, minus the control's"
        ),
        estimate=compared.estimate,
        threshold=0.0,
        rule=CONTROL_RULE,
        note=f"{compared.note} {_peak_note(runs, reading, side, quantity.statistic)}".strip(),
    )


def _peak_note(runs: Sequence[Run], reading: str, side: str, statistic: Statistic) -> str:
    """Whether the change was one-way: where the statistic was highest, and how it ended."""
    true = [run for run in runs if run.spec.labels == "true" and reading in run.names]
    over_steps = [run[reading].sel(side=side) for run in true]
    curves = [np.array([float(statistic(row)) for row in array.values]) for array in over_steps]
    seen = [(a, c) for a, c in zip(over_steps, curves, strict=True) if np.isfinite(c).any()]
    if not seen:
        return ""
    steps = [int(a["step"].values[np.nanargmax(c)]) for a, c in seen]
    height, end = np.mean([np.nanmax(c) for _, c in seen]), np.mean([c[-1] for _, c in seen])
    return f"Highest near step {np.median(steps):.0f} ({height:.3g}), {end:.3g} at the end."


Rise = tuple[str, str, Quantity, str, Verdict]
"""Arm, attribution, quantity and side, and what is said of them."""


def _rises_by_arm(arms: Mapping[str, Sequence[Run]]) -> Iterator[Rise]:
    """P15 and P16 in each arm by each attribution, against the arm's own control."""
    for arm, members in arms.items():
        for prefix, attribution in ATTRIBUTIONS.items():
            having = [run for run in members if f"{prefix}_median" in run.names]
            for quantity in (BREADTH, SKEWNESS) if having else ():
                for side in SIDES:
                    where = f"{arm}, {attribution}: "
                    verdict = _rises(having, quantity, side, prefix, where)
                    yield arm, attribution, quantity, side, verdict


def _rises_of_main(main: Sequence[Run]) -> Iterator[Rise]:
    """The same of the one-layer transformer, for a figure beside the arms."""
    for quantity in (BREADTH, SKEWNESS) if main else ():
        for side in SIDES:
            verdict = _rises(main, quantity, side)
            yield small_arms.MAIN, ATTRIBUTIONS["saliency"], quantity, side, verdict


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P15, P16 and P10, and how saliency spreads over neurons and examples."""
    main, arms = small_arms.parted(runs)
    rises = tuple(_rises_by_arm(arms))
    verdicts = (*(_verdicts(main) if main else ()), *(verdict for *_, verdict in rises), *_general(arms))
    return Answer(verdicts, tuple(_figures(main, arms, rises)))


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    """P15 and P16 in the one-layer transformer."""
    return (
        _rises(runs, BREADTH, "train"),
        _rises(runs, BREADTH, "val"),
        _rises(runs, HALVINGS, "train"),
        _rises(runs, SKEWNESS, "train"),
        _rises(runs, SKEWNESS, "val"),
        _rises(runs, UNEQUAL, "val"),
    )


def _general(arms: Mapping[str, Sequence[Run]]) -> tuple[Verdict, ...]:
    """P10 in each arm that has what it takes."""
    return tuple(
        verdict
        for arm, having in _shared_out(arms).items()
        for verdict in (_coexist(arm, having), _grows_gradually(arm, having))
    )


def _shared_out(arms: Mapping[str, Sequence[Run]]) -> dict[str, list[Run]]:
    """The finished runs of each arm whose margins are shared out among the neurons; arms without one
    with true labels are left out.
    """
    found = {
        arm: [run for run in members if SHAPLEY in run.names and run.status == "done"]
        for arm, members in arms.items()
    }
    return {arm: having for arm, having in found.items() if any(r.spec.labels == "true" for r in having)}


GENERAL_PART = (
    "A neuron's general part: of what it adds to a training example's margin in mean, as much as it "
    "adds to an unseen one's."
)


def _coexist(arm: str, runs: Sequence[Run]) -> Verdict:
    """Are both parts there midway?"""
    true = [run for run in runs if run.spec.labels == "true"]
    numbers = [least_of_both_midway(run, general_share(run[SHAPLEY])) for run in true]
    known = [number for number in numbers if np.isfinite(number)]
    note = f"{_ends_note(runs)} {len(true) - len(known)} of {plural(len(true), 'seed')} had no midway."
    return Verdict(
        claim="P10",
        study="saliency",
        statistic=(
            f"{arm}: lesser of the general and the other share of the training margin, mean over the "
            "steps midway"
        ),
        estimate=estimate(known),
        threshold=LEAST_SHARE,
        rule=(
            f"{GENERAL_PART} Midway: memorised, and validation accuracy {MIDWAY[0]:.0%} to "
            f"{MIDWAY[1]:.0%} of the way from chance to 1. Supported, both coexist, if the interval "
            f"lies above {LEAST_SHARE}; contradicted, one has it all at each step, if below."
        ),
        note=note,
    )


def _grows_gradually(arm: str, runs: Sequence[Run]) -> Verdict:
    """Does the general share rise over more steps than validation accuracy does?"""
    true = [run for run in runs if run.spec.labels == "true"]
    bounds = [wider_rise(run, general_share(run[SHAPLEY])) for run in true]
    open_ended = sum(low != high for low, high in bounds)
    return Verdict(
        claim="P10",
        study="saliency",
        statistic=(
            f"{arm}: log10(steps of the general share's rise / steps of validation accuracy's rise)"
        ),
        estimate=censored_estimate([low for low, _ in bounds], [high for _, high in bounds]),
        threshold=0.0,
        rule=(
            f"{GENERAL_PART} A rise: from 10 % to 90 % of the way from the level when memorised to that "
            "at the end, both at the same evaluations. Supported, gradual, if the interval lies above "
            "0; contradicted, more sudden than accuracy, if below. A seed whose accuracy does not rise "
            "counts as a decade either way; one whose share does not, as a decade or nothing narrower."
        ),
        note=f"{open_ended} of {plural(len(true), 'seed')} censored.",
    )


def _ends_note(runs: Sequence[Run]) -> str:
    """How large the general share is in the end, with true labels and in the control."""
    told = []
    for labels, name in (("true", "true labels"), ("shuffled", "the control")):
        ends = [float(general_share(run[SHAPLEY])[-1]) for run in runs if run.spec.labels == labels]
        told.append(f"{np.nanmean(ends):.3g} with {name}" if ends else f"unknown with {name}")
    return f"General share at the end: {', '.join(told)}."


def _figures(
    main: Sequence[Run], arms: Mapping[str, Sequence[Run]], rises: Sequence[Rise]
) -> Iterator[Figure]:
    if main:
        yield saliency_histogram(main, MEDIANS)
        yield concentration_figure(main, MEDIANS)
        yield breadth_figure(main, BREADTHS)
    if rises:
        shown = (*_rises_of_main(main), *rises)
        yield effects_figure(
            "saliency_by_arm",
            "What becomes of saliency's breadth and skewness, by network and by attribution",
            [
                Effect(
                    f"{quantity.name} ({side}):<br>change, minus the control's", arm, kind, v.estimate
                )
                for arm, kind, quantity, side, v in sorted(shown, key=_by_quantity)
            ],
            "Change from memorised to the last step, minus that of the arm's own runs with shuffled "
            "labels; the claims expect it right of 0. What is attributed: the margin, on which all "
            "methods agree in these networks, or the log-probability by three methods.",
        )
    if measured := _shared_out(arms):
        yield general_share_figure(measured, SHAPLEY)


def _by_quantity(rise: Rise) -> tuple[str, bool]:
    _, _, quantity, side, _ = rise
    return quantity.claim, side == "val"


STUDY = Study(
    name="saliency",
    question="Do few neurons become salient for many examples while the network groks, step by step?",
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
        Claim(
            "P10",
            "Shallow and general circuits coexist; the general share grows gradually, at many levels.",
        ),
    ),
    predictions={
        "frequency of reinforcement": (
            "Breadth, skewness and Gini rise with grokking and not with shuffled labels, without decay "
            "and under Muon too; midway both kinds of circuits carry the margin, and the general share "
            "rises over more steps than accuracy."
        ),
        "circuit efficiency": (
            "The same under weight decay, which clears away what is not needed; no rise without it."
        ),
        "a collective general circuit": (
            "In modular addition nearly all neurons join the general circuit (Doshi et al. 2024, "
            "arXiv:2310.13061): breadth rises, while skewness may rise and fall again; parity needs few."
        ),
    },
    runs=small_arms.runs,
    answer=answer,
    part=one_layer_addition.runs("quick", 1),
)
