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


MATCHED_WITHIN = 0.1
"""Largest relative difference in norm share at which a norm-matched set counts as matched."""


def excess_damage(run: Run, reading: str, control: str) -> xr.DataArray:
    """What deleting the top k does beyond the control deletion, dims (step, k).

    NaN where the control is to carry the same norm and does not: late in training all the other
    neurons together may carry less than the top k.
    """
    after = run[reading].sel(side=SIDE)
    excess = after.sel(strategy=control) - after.sel(strategy="top")
    if control == "norm_matched":
        share = run["deletion_norm_share"]
        top = share.sel(strategy="top")
        excess = excess.where(abs(share.sel(strategy=control) - top) <= MATCHED_WITHIN * top)
    return excess.sel(k=[k for k in excess["k"].values if k > 0])


def change(run: Run, reading: str, control: str) -> float:
    """Excess damage at the last step minus when the run had memorised, averaged over k.

    k runs over powers of two, so the mean over them is an area over log k. Only k that can be
    compared at both moments count; NaN where there is none.
    """
    damage = excess_damage(run, reading, control)
    return float((at_the_end(damage) - when_memorised(damage, run)).mean("k"))


def _grows(runs: Sequence[Run], what: str, reading: str, against: str) -> Verdict:
    """Does the excess damage grow by more than it does with shuffled labels?"""
    changes, shuffled = (
        [
            value
            for run in runs
            if run.spec.labels == labels and np.isfinite(value := change(run, reading, against))
        ]
        for labels in ("true", "shuffled")
    )
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
            + (
                f" Only k whose norms match within {MATCHED_WITHIN:.0%} at both moments count."
                if against == "norm_matched"
                else ""
            )
        ),
        note=(
            f"Change {alone.effect:+.3g} [{alone.low:.3g}, {alone.high:.3g}] with true labels, "
            f"{control.effect:+.3g} in the control ({control.n} seeds). "
            f"{_peak_note(runs, reading, against)}"
        ),
    )


def _peak_note(runs: Sequence[Run], reading: str, against: str) -> str:
    damages = [
        excess_damage(run, reading, against).mean("k").dropna("step")
        for run in runs
        if run.spec.labels == "true"
    ]
    damages = [damage for damage in damages if damage.size]
    if not damages:
        return ""
    step = np.median([int(d["step"].values[d.values.argmax()]) for d in damages])
    height = np.mean([float(d.max()) for d in damages])
    end = np.mean([float(at_the_end(d)) for d in damages])
    return f"Largest near step {step:.0f} ({height:.3g}), {end:.3g} at the end."


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P17 with three controls, and the damage over k and over steps."""
    figures = (
        deletion_over_steps_figure(runs, relative=True),
        deletion_by_k_figure(runs),
        deletion_over_steps_figure(runs),
    )
    return Answer(_verdicts(runs), figures)


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
