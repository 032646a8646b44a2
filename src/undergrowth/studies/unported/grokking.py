"""Does validation follow long after training, which falls first, how long does it take? P1-P3, P14."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from undergrowth.analysis import Estimate, Rules, Verdict, censored_estimate, estimate, events
from undergrowth.analysis.changepoints import LEAST_POINTS, Fall, piecewise_linear, start_of_fall
from undergrowth.analysis.events import DEFAULT_RULES, onset_by_loss
from undergrowth.report import theme
from undergrowth.report.by_arm import Panel, by_arm_figure
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.figure import Figure
from undergrowth.report.numbers import told
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


@dataclass(frozen=True)
class FallRule:
    """What is called the start of a loss's fall: on which axis of steps, and how fast it must fall.

    share: of the steepest rate after the floor or plateau.
    """

    axis: str
    share: float

    @property
    def name(self) -> str:
        return f"{self.axis} steps, {self.share:.0%} of the steepest rate"

    @property
    def label(self) -> str:
        """The same in a figure."""
        return f"{self.axis}, {self.share:.0%}"


FALL_RULES = tuple(FallRule(axis, share) for axis in ("linear", "log") for share in (0.1, 0.5))
LEAST_DROP = 0.5
"""Decades that a loss must fall after its floor: a factor of 3."""
UNKNOWN_DECADES = 1.0
"""How far beyond the window a fall that was not seen is taken to lie: a convention."""


def fall_of(run: Run, side: str, rule: FallRule) -> Fall | None:
    """The steps in which a side's loss starts to fall, between memorised and grokked.

    Where grokking is censored the window is up to the last step. Of the loss the floor is taken, the
    least of three evaluations, so that spikes do not count. None where there is no such window.
    """
    times = events(run.curves, RULES)
    start, end = times["memorised"].first, times["grokked"].first
    if start is None:
        return None
    within = _floor(run.curves[f"{side}_loss"].dropna("step")).sel(
        step=slice(start, times["grokked"].last if end is None else end)
    )
    if within.sizes["step"] < LEAST_POINTS:
        return None
    steps = np.maximum(within["step"].values, 1).astype(float)
    floor = np.log10(np.maximum(within.values.astype(float), 1e-30))
    is_log = rule.axis == "log"
    found = start_of_fall(
        piecewise_linear(np.log10(steps) if is_log else steps, floor),
        share=rule.share,
        least_drop=LEAST_DROP,
        comes_falling=side == "train",
    )
    return Fall(_unlogged(found.earliest), _unlogged(found.latest)) if is_log else found


def _floor(curve: xr.DataArray) -> xr.DataArray:
    """The least of each value and its two neighbours, dim (step); without the first and the last one."""
    return curve.rolling(step=3, center=True).min().dropna("step")


def _unlogged(bound: float) -> float:
    return float(10**bound) if np.isfinite(bound) else bound


def lead(run: Run, rule: FallRule) -> tuple[float, float]:
    """Bounds of log10(step at which the train-loss floor falls / step at which validation loss does).

    Positive where validation falls first; equal where both are seen to start. A fall that had begun when
    the run had memorised lies between step 1 and there, one that had not begun at the window's end
    within `UNKNOWN_DECADES` after it. With no window, anything within `UNKNOWN_DECADES`.
    """
    train, val = (fall_of(run, side, rule) for side in ("train", "val"))
    if train is None or val is None:
        return -UNKNOWN_DECADES, UNKNOWN_DECADES
    (train_low, train_high), (val_low, val_high) = _decades(train), _decades(val)
    return train_low - val_high, train_high - val_low


def _decades(fall: Fall) -> tuple[float, float]:
    low = float(np.log10(fall.earliest)) if np.isfinite(fall.earliest) else 0.0
    return low, float(np.log10(fall.latest)) if np.isfinite(fall.latest) else low + UNKNOWN_DECADES


Onset = Callable[[Run], int | None]


def _by_accuracy(level: float) -> Onset:
    rules = Rules(RULES.memorised, RULES.grokked, level)
    return lambda run: events(run.curves, rules)["onset"].first


def _by_loss(drop: float) -> Onset:
    return lambda run: onset_by_loss(run.curves, drop, RULES).first


def _by_bend(run: Run) -> int | None:
    fall = fall_of(run, "val", FALL_RULES[0])
    return round(fall.latest) if fall and np.isfinite(fall.latest) else None


MOST = 0.5
"""Of the way: above it, most."""
MAIN_ONSET = f"accuracy + {RULES.onset:g}"
ONSETS: Mapping[str, tuple[str, Onset]] = {
    MAIN_ONSET: (RULES.describe("onset"), _by_accuracy(RULES.onset)),
    "accuracy + 0.02": ("validation accuracy, the same with + 0.02", _by_accuracy(0.02)),
    "accuracy + 0.2": ("validation accuracy, the same with + 0.2", _by_accuracy(0.2)),
    "loss - 5 %": ("validation loss for good 5 % below its highest since memorised", _by_loss(0.05)),
    "loss - 50 %": ("validation loss for good 50 % below its highest since memorised", _by_loss(0.5)),
    "bend of the loss": (
        f"validation loss starts to fall as in P3 ({FALL_RULES[0].name}), or had when memorised",
        _by_bend,
    ),
}
"""What may be called the onset: by name, the rule in words, and the step, None where there is none."""


def share_of_the_way(run: Run, onset: Onset = ONSETS[MAIN_ONSET][1]) -> float:
    """(grokked - onset) / grokked; up to the last step where grokking is censored; NaN with no onset."""
    grokked, start = events(run.curves, RULES)["grokked"], onset(run)
    if start is None:
        return float("nan")
    end = grokked.first if grokked.first is not None else grokked.last
    return max(0.0, (end - start) / end)


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P1, P2, P3 and P14, the curves, and how P3 and P14 hang on their rules."""
    curves = accuracy_figure(runs, RULES), loss_figure(runs, RULES)
    return Answer(_verdicts(runs), (*curves, *_figures(_of(runs, "true"))))


def _of(runs: Sequence[Run], labels: str) -> list[Run]:
    chosen = (run for run in runs if run.spec.labels == labels)
    return sorted(chosen, key=lambda run: run.spec.seeds.model)


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    true = _of(runs, "true")
    decades = [decades_to_grok(run) for run in true]
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
        *(_validation_falls_first(true, _of(runs, "shuffled"), rule) for rule in FALL_RULES),
        *(_most_of_the_way(true, name) for name in ONSETS),
    )


def _validation_falls_first(true: Sequence[Run], control: Sequence[Run], rule: FallRule) -> Verdict:
    bounds = [lead(run, rule) for run in true]
    open_ended = sum(low != high for low, high in bounds)
    return Verdict(
        claim="P3",
        study="grokking",
        statistic=(
            "log10(step at which the floor of train loss starts to fall / step at which validation loss "
            f"does): {rule.name}"
        ),
        estimate=censored_estimate([low for low, _ in bounds], [high for _, high in bounds]),
        threshold=0.0,
        rule=(
            "Both losses from memorised to grokked, the least of three evaluations, by the best "
            f"piecewise-linear fit of log loss over {rule.axis} steps. The floor is the flattest piece "
            f"before a fall of {LEAST_DROP} decades; the fall starts where pieces fall at "
            f"{rule.share:.0%} of the steepest rate after it, without a break. Supported, validation "
            "falls first, if the interval lies above 0; contradicted if below. A fall that had begun "
            "when memorised lies between step 1 and there; one not begun when grokked, within a decade "
            "after."
        ),
        note=(
            f"{_steps_note(true, rule)} {open_ended} of {len(true)} seeds have a bound in place of a "
            f"step. {_steps_note(control, rule, ' in the control')}"
        ).strip(),
    )


def _steps_note(runs: Sequence[Run], rule: FallRule, where: str = "") -> str:
    """At which steps the two falls start, and how many steps lie between, where both are seen."""
    if not runs:
        return ""
    falls = [(fall_of(run, "train", rule), fall_of(run, "val", rule)) for run in runs]
    pairs = [tuple(f.latest if f and f.is_known else np.nan for f in pair) for pair in falls]
    train, val = np.transpose(pairs)
    between = (train - val)[np.isfinite(train - val)]
    found = f"Median step{where}, where seen: train floor {_median(train)}, validation {_median(val)}."
    if not len(between):
        return found
    return f"{found} Train minus validation{where}: {_in_steps(estimate(between))}."


def _median(steps: np.ndarray) -> str:
    seen = steps[np.isfinite(steps)]
    return f"{np.median(seen):.0f} ({len(seen)} of {len(steps)})" if len(seen) else "none"


def _in_steps(e: Estimate) -> str:
    interval = f" [{told(e.low)}, {told(e.high)}]" if e.is_bounded else ""
    return f"{told(e.effect)}{interval} steps, {e.seeds}"


def _most_of_the_way(true: Sequence[Run], name: str) -> Verdict:
    says, onset = ONSETS[name]
    shares = [share_of_the_way(run, onset) for run in true]
    reached = [share for share in shares if np.isfinite(share)]
    which = "" if name == MAIN_ONSET else f", onset by {name}"
    return Verdict(
        claim="P14",
        study="grokking",
        statistic=f"(grokked - onset) / grokked: share of the steps up to grokking{which}",
        estimate=estimate(reached),
        threshold=MOST,
        rule=(
            f"onset: {says}. Supported if the interval lies above {MOST}, most of the way; contradicted "
            "if below. Another onset rule gives another share."
        ),
        note=f"{len(true) - len(reached)} of {len(true)} seeds had no onset.",
    )


def _figures(true: Sequence[Run]) -> tuple[Figure, ...]:
    if not true:
        return ()
    shares = {
        name: [share_of_the_way(run, onset) for run in true] for name, (_, onset) in ONSETS.items()
    }
    leads = {rule.label: [_seen(*lead(run, rule)) for run in true] for rule in FALL_RULES}
    onsets = " ".join(f"{name}: {says}." for name, (says, _) in ONSETS.items())
    by_onset = by_arm_figure(
        "onset_rules",
        "How much of the way to grokking comes after the onset, by what is called the onset",
        [Panel("share of the steps up to grokking that come after the onset", shares)],
        f"P14 asks whether the share lies above {MOST}, the dotted line. {onsets}",
    )
    by_onset.plot.add_vline(x=MOST, line={"dash": "dot", "width": 1.4, "color": theme.NEUTRAL})
    return (
        by_onset,
        by_arm_figure(
            "fall_rules",
            "Which loss falls first, by what is called the start of a fall",
            [Panel("log10(step of the train floor's fall / step of validation's)", leads)],
            "Right of 0 validation loss falls first. Rules: over linear or log steps, and from which "
            "share of the steepest rate on it counts as a fall. Only seeds in which both starts are "
            "seen are drawn; the verdicts count the others by their bounds.",
        ),
    )


def _seen(low: float, high: float) -> float:
    return low if low == high else float("nan")


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
            "P3",
            "Validation loss starts falling long before the floor of the train loss does: what drives "
            "generalisation is not lowering train loss.",
        ),
        Claim(
            "P14",
            "Grokking takes most of the way; that it looks sudden is the logarithmic step axis.",
        ),
    ),
    predictions={
        "frequency of reinforcement": (
            "Shallow circuits unify step by step, whatever train loss does: validation falls first "
            "(P3), and generalising takes long (P14's share is large)."
        ),
        "two circuits and tiny gradients": (
            "Small gradients of the train loss build the general circuit, so its floor falls no later "
            "than validation (P3 fails). Once it is found only they hold it up: P14's share is small "
            "against the wait before the onset."
        ),
        "circuit efficiency": (
            "Under weight decay the cheaper circuit wins in the end: P1 and P2 hold, P3 may, and "
            "shuffled labels, which have no general circuit, never leave chance."
        ),
    },
    runs=one_layer_addition.runs,
    answer=answer,
)
