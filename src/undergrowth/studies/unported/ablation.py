"""Does deleting the k most salient neurons hurt more and more as training goes on? P17."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from undergrowth.studies.against_control import CONTROL_RULE, against_control

from undergrowth.analysis import Verdict
from undergrowth.analysis.matching import MATCHED_WITHIN, is_matched
from undergrowth.analysis.moments import change_since_memorised
from undergrowth.report.ablation import deletion_by_k_figure, deletion_over_steps_figure
from undergrowth.report.effects import Effect, effects_figure
from undergrowth.report.figure import Figure
from undergrowth.store import Run
from undergrowth.studies import one_layer_addition, small_arms
from undergrowth.studies.study import Answer, Claim, Study

SIDE = "train"
"""Validation predictions are wrong before grokking, so only the training side can be harmed early."""


def excess_damage(run: Run, reading: str, control: str) -> xr.DataArray:
    """What deleting the top k does beyond the control deletion, dims (step, k), k > 0.

    NaN where the control is to carry the same norm and cannot: see `analysis.matching`.
    """
    after = run[reading].sel(side=SIDE)
    excess = after.sel(strategy=control) - after.sel(strategy="top")
    if control == "norm_matched":
        excess = excess.where(is_matched(run["deletion_norm_share"]))
    return excess.sel(k=[k for k in excess["k"].values if k > 0])


def change(run: Run, reading: str, control: str) -> float:
    """Excess damage at the last step minus when the run had memorised, averaged over k.

    k runs over powers of two, so the mean over them is an area over log k. Only k that can be
    compared at both moments count; NaN where there is none, or nothing to compare.
    """
    if reading not in run.names:
        return float("nan")
    damage = excess_damage(run, reading, control)
    at_each_k = [
        change_since_memorised(run, damage.sel(k=k), lambda value: float(value))
        for k in damage["k"].values
    ]
    comparable = [value for value in at_each_k if np.isfinite(value)]
    return float(np.mean(comparable)) if comparable else float("nan")


def _grows(runs: Sequence[Run], what: str, reading: str, against: str, where: str = "") -> Verdict:
    """Does the excess damage grow by more than it does with shuffled labels?"""
    compared = against_control(runs, lambda run: change(run, reading, against))
    matched = f" Only k whose norms match within {MATCHED_WITHIN:.0%} at both moments count."
    return Verdict(
        claim="P17",
        study="ablation",
        statistic=(
            f"{where}drop in {what} by the top k minus by {against.replace('_', ' ')} k, mean over k "
            f"({SIDE}): change from memorised to the end, minus the control's"
        ),
        estimate=compared.estimate,
        threshold=0.0,
        rule=CONTROL_RULE + (matched if against == "norm_matched" else ""),
        note=f"{compared.note} {_peak_note(runs, reading, against)}".strip(),
    )


def _peak_note(runs: Sequence[Run], reading: str, against: str) -> str:
    damages = [
        excess_damage(run, reading, against).mean("k").dropna("step")
        for run in runs
        if run.spec.labels == "true" and reading in run.names
    ]
    damages = [damage for damage in damages if damage.size]
    if not damages:
        return ""
    step = np.median([int(d["step"].values[d.values.argmax()]) for d in damages])
    height = np.mean([float(d.max()) for d in damages])
    end = np.mean([float(d[-1]) for d in damages])
    return f"Largest near step {step:.0f} ({height:.3g}), {end:.3g} at the end."


MEASURED = {"accuracy": "deletion_accuracy", "correct log-probability": "deletion_log_prob"}
"""What is damaged, and the reading of it."""
AGAINST = ("random", "least", "norm_matched")

Growth = tuple[str, str, str, Verdict]
"""What is damaged, arm, the control deletion, and what is said of them."""


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P17 with three controls in every arm, and the damage over k and over steps."""
    main, arms = small_arms.parted(runs)
    grown = tuple(_by_arm(arms))
    verdicts = (*(_verdicts(main) if main else ()), *(verdict for *_, verdict in grown))
    return Answer(verdicts, tuple(_figures(main, grown)))


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    """P17 in the one-layer transformer."""
    return tuple(
        _grows(runs, what, reading, against) for what, reading in MEASURED.items() for against in AGAINST
    )


def _by_arm(arms: Mapping[str, Sequence[Run]]) -> Iterator[Growth]:
    """P17 in each arm, against the arm's own runs with shuffled labels."""
    for arm, members in arms.items():
        for what, reading in MEASURED.items():
            for against in AGAINST:
                yield what, arm, against, _grows(members, what, reading, against, f"{arm}: ")


def _figures(main: Sequence[Run], grown: Sequence[Growth]) -> Iterator[Figure]:
    if main:
        yield deletion_over_steps_figure(main, relative=True)
        yield deletion_by_k_figure(main)
        yield deletion_over_steps_figure(main)
    if grown:
        shown = (*(_by_arm({small_arms.MAIN: main}) if main else ()), *grown)
        yield effects_figure(
            "deletion_by_arm",
            "Whether deleting the k most salient neurons comes to hurt more, by network and by control",
            [
                Effect(
                    f"drop in {what}: growth", arm, f"against {against.replace('_', ' ')}", v.estimate
                )
                for what, arm, against, v in sorted(shown, key=lambda growth: growth[0])
            ],
            "Drop on training examples by the top k minus that by the other deletion, mean over k: its "
            "growth from memorised to the last step, minus that in the arm's own runs with shuffled "
            "labels. The claim expects it right of 0.",
        )


STUDY = Study(
    name="ablation",
    question="Does deleting the k most salient neurons hurt more as training goes on?",
    claims=(
        Claim("P17", "Deleting the k most salient neurons damages more and more of the predictions."),
    ),
    predictions={
        "frequency of reinforcement": (
            "Single circuits carry a growing share of the predictions: the damage beyond random "
            "deletion grows through grokking, without decay and under Muon too."
        ),
        "a collective general circuit": (
            "Many neurons carry the same few frequencies redundantly: once the general circuit is "
            "whole, losing k of them hurts less again."
        ),
        "circuit efficiency": (
            "Decay clears away what stands by for the general circuit: the damage grows with it alone."
        ),
        "norm alone": "Deleting neurons of equal total norm at random hurts as much as the top k.",
    },
    runs=small_arms.runs,
    answer=answer,
    part=one_layer_addition.runs("quick", 1),
)
