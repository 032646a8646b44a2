"""Does validation follow long after training, and how long does the change itself take? P1, P2, P14."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undergrowth.analysis import Verdict, censored_estimate, estimate, events
from undergrowth.analysis.events import DEFAULT_RULES
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.store import Run
from undergrowth.studies import one_layer_addition
from undergrowth.studies.study import Answer, Claim, Study

RULES = DEFAULT_RULES
NEAR_ZERO = 0.1
"""Train loss in nats below which it counts as near zero: a mean correct probability above 0.9."""


def decades_to_grok(run: Run) -> tuple[float, float]:
    """Bounds of log10(grokked / memorised), first times; equal where neither is censored.

    A run that has not grokked by its last step may do so at once after it or never: at least 0, which
    counts against the claim, at most up to the last step, which counts for it.
    """
    times = events(run.curves, RULES)
    memorised, grokked = times["memorised"].first, times["grokked"].first
    if memorised is None:
        return 0.0, 0.0
    if grokked is None:
        return 0.0, float(np.log10(times["grokked"].last / max(memorised, 1)))
    decades = float(np.log10(max(grokked, 1) / max(memorised, 1)))
    return decades, decades


def overfit_then_fall(run: Run) -> float:
    """The smallest of three margins in decades: the claim holds in full where it is positive.

    At the peak of validation loss, train loss is below `NEAR_ZERO`; that peak lies above the loss of
    guessing; the last validation loss lies below it.
    """
    curves = run.curves.dropna("step")
    guessing = np.log(run.spec.task.n_labels)
    peak = int(curves["val_loss"].values.argmax())
    at_peak, end = curves.isel(step=peak), curves.isel(step=-1)
    ratios = (
        NEAR_ZERO / at_peak["train_loss"],
        at_peak["val_loss"] / guessing,
        guessing / end["val_loss"],
    )
    return float(min(np.log10(ratio) for ratio in ratios))


def share_of_the_way(run: Run) -> float:
    """(grokked - onset) / grokked; up to the last step where grokking is censored; NaN with no onset."""
    times = events(run.curves, RULES)
    onset, grokked = times["onset"], times["grokked"]
    if onset.first is None:
        return float("nan")
    end = grokked.first if grokked.first is not None else grokked.last
    return max(0.0, (end - onset.first) / end)


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P1, P2 and P14, and the curves."""
    return Answer(_verdicts(runs), (accuracy_figure(runs, RULES), loss_figure(runs, RULES)))


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    true = [run for run in runs if run.spec.labels == "true"]
    decades = [decades_to_grok(run) for run in true]
    shares = np.array([share_of_the_way(run) for run in true])
    reached = shares[np.isfinite(shares)]
    never = sum(events(run.curves, RULES)["grokked"].censored for run in true)
    failed = sum(run.status == "failed" for run in runs)
    return (
        Verdict(
            claim="P1",
            study="grokking",
            statistic="log10(grokked step / memorised step)",
            estimate=censored_estimate([low for low, _ in decades], [high for _, high in decades]),
            threshold=float(np.log10(2)),
            rule=(
                f"memorised: {RULES.describe('memorised')}; grokked: {RULES.describe('grokked')}. "
                "Supported if the interval lies above log10(2), a factor of 2; contradicted if below. "
                "A seed that has not grokked counts as 0 in the lower bound, and as if it grokked at "
                "its last step in the upper one."
            ),
            note=(
                f"{never} of {len(true)} seeds censored. {_control_note(runs)}"
                + (f" {failed} of {len(runs)} runs diverged." if failed else "")
            ),
        ),
        Verdict(
            claim="P2",
            study="grokking",
            statistic="smallest margin, in decades, of the three parts of the claim",
            estimate=estimate([overfit_then_fall(run) for run in true]),
            threshold=0.0,
            rule=(
                f"Train loss < {NEAR_ZERO} at the peak of validation loss; that peak above the loss of "
                "guessing; the last validation loss below it. Supported if the smallest margin's "
                "interval lies above 0; contradicted if below."
            ),
        ),
        Verdict(
            claim="P14",
            study="grokking",
            statistic="(grokked - onset) / grokked: share of the steps up to grokking",
            estimate=estimate(reached),
            threshold=0.5,
            rule=(
                f"onset: {RULES.describe('onset')}. Supported if the interval lies above 0.5, most of "
                "the way; contradicted if below. Another onset rule gives another share."
            ),
            note=f"{len(true) - len(reached)} of {len(true)} seeds had no onset.",
        ),
    )


def _control_note(runs: Sequence[Run]) -> str:
    control = [run for run in runs if run.spec.labels == "shuffled"]
    if not control:
        return "No control runs."
    ends = [float(run.curves["val_accuracy"].dropna("step")[-1]) for run in control]
    chance = 1 / control[0].spec.task.n_labels
    return (
        f"Control: {len(control)} with shuffled labels end at {np.mean(ends):.3f} validation "
        f"accuracy (highest {max(ends):.3f}, chance {chance:.3f})."
    )


STUDY = Study(
    name="grokking",
    question="Does validation accuracy follow long after training accuracy, and is the change sudden?",
    claims=(
        Claim("P1", "Train accuracy is near 1 early, validation accuracy much later."),
        Claim(
            "P2",
            "Train loss is near zero while validation loss shows overfitting; then validation falls.",
        ),
        Claim(
            "P14",
            "Grokking takes most of the way; that it looks sudden is the logarithmic step axis.",
        ),
    ),
    predictions={
        "frequency of reinforcement": (
            "Shallow circuits unify step by step, so generalising takes long: P14's share is large."
        ),
        "two circuits and tiny gradients": (
            "Once the general circuit is found only small gradients hold it up: P14's share is small "
            "against the wait before the onset."
        ),
        "circuit efficiency": (
            "Under weight decay the cheaper circuit wins in the end: P1 and P2 hold, and shuffled "
            "labels, which have no general circuit, never leave chance."
        ),
    },
    runs=one_layer_addition.runs,
    answer=answer,
)
