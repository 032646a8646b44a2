"""Does deleting the k most salient neurons hurt more and more as training goes on? P17."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from undergrowth.analysis import Verdict, difference, estimate
from undergrowth.analysis.moments import at_the_end, when_memorised
from undergrowth.report.ablation import deletion_by_k_figure, deletion_over_steps_figure
from undergrowth.store import Run
from undergrowth.studies import one_layer_addition
from undergrowth.studies.study import Answer, Claim, Study

SIDE = "train"
"""Validation predictions are wrong before grokking, so only the training side can be harmed early."""


def excess_damage(run: Run, reading: str, control: str) -> xr.DataArray:
    """What deleting the top k does beyond the control deletion, averaged over k, dim (step).

    Damage is the drop of `reading` from the whole model; k runs over powers of two, so the mean over
    them is an area over log k.
    """
    after = run[reading].sel(side=SIDE)
    deleted = after.sel(k=[k for k in after["k"].values if k > 0])
    return (deleted.sel(strategy=control) - deleted.sel(strategy="top")).mean("k")


def change(run: Run, reading: str, control: str) -> float:
    """Excess damage at the last step minus when the run had memorised."""
    damage = excess_damage(run, reading, control)
    return float(at_the_end(damage) - when_memorised(damage, run))


def _grows(runs: Sequence[Run], what: str, reading: str, against: str) -> Verdict:
    """Does the excess damage grow by more than it does with shuffled labels?"""
    changes = [change(run, reading, against) for run in runs if run.spec.labels == "true"]
    shuffled = [change(run, reading, against) for run in runs if run.spec.labels == "shuffled"]
    alone, control = estimate(changes), estimate(shuffled)
    return Verdict(
        claim="P17",
        study="ablation",
        statistic=(
            f"drop in {what} by the top k minus by {against.replace('_', ' ')} k, mean over k "
            f"({SIDE}): change from memorised to the end, minus the control's"
        ),
        estimate=difference(changes, shuffled),
        threshold=0.0,
        rule=(
            "Supported if the interval of the difference to the shuffled-label control lies above 0; "
            "contradicted if below."
        ),
        note=(
            f"Change {alone.effect:+.3g} [{alone.low:.3g}, {alone.high:.3g}] with true labels, "
            f"{control.effect:+.3g} in the control ({control.n} seeds). "
            f"{_peak_note(runs, reading, against)}"
        ),
    )


def _peak_note(runs: Sequence[Run], reading: str, against: str) -> str:
    damages = [excess_damage(run, reading, against) for run in runs if run.spec.labels == "true"]
    if not damages:
        return ""
    step = np.median([int(d["step"].values[d.values.argmax()]) for d in damages])
    height = np.mean([float(d.max()) for d in damages])
    end = np.mean([float(at_the_end(d)) for d in damages])
    return f"Largest near step {step:.0f} ({height:.3g}), {end:.3g} at the end."


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P17 with three controls, and the damage over k and over steps."""
    return Answer(_verdicts(runs), (deletion_by_k_figure(runs), deletion_over_steps_figure(runs)))


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    return tuple(
        _grows(runs, what, reading, against)
        for what, reading in (
            ("accuracy", "deletion_accuracy"),
            ("correct log-probability", "deletion_log_prob"),
        )
        for against in ("random", "least", "norm_matched")
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
            "deletion grows through grokking."
        ),
        "a collective general circuit": (
            "Many neurons carry the same few frequencies redundantly: once the general circuit is "
            "whole, losing k of them hurts less again."
        ),
        "norm alone": "Deleting neurons of equal total norm at random hurts as much as the top k.",
    },
    runs=one_layer_addition.runs,
    answer=answer,
)
