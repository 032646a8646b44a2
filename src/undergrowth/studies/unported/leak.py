"""Does a random split leak a commutative operation's swaps into validation? C10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from undergrowth.analysis import Verdict, difference, estimate
from undergrowth.analysis.events import DEFAULT_RULES
from undergrowth.analysis.stages import at_event
from undergrowth.measures import Curves, Swaps
from undergrowth.report.numbers import told
from undergrowth.report.panels import Line, Panel, event_marks, panels_figure
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.reader import together
from undergrowth.studies import confidence
from undergrowth.studies.study import Answer, Budget, Claim, Study
from undergrowth.tasks import CommutationSafe, LeakyRandom, Modular

AT, NEAR = 0.5, 0.1
"""The validation accuracy that is claimed, and how near to it counts as there."""
EXPLAINED = 0.1
"""By how much pairs of the leaky arm whose swap is unseen may do better than all of the safe one."""

SEEDS: dict[Budget, int] = {"quick": 4, "standard": 12, "full": 10}
HALF = 0.5
"""The training share at which half of the validation pairs have their swap in training."""

Arm = str
SAFE, LEAKY, LEAKY_HALF = "x+y safe", "x+y leaky", "x+y leaky, half trained on"
PRODUCT_SAFE, PRODUCT_LEAKY, DIFFERENCE = "x*y safe", "x*y leaky", "x-y"


def _arms(budget: Budget) -> Mapping[Arm, RunSpec]:
    """Each arm by its name. x-y, whose swaps have other labels, is split alike by both rules."""
    safe = confidence.PAPER if budget == "full" else confidence.BASE
    frac_train = safe.split.frac_train
    short = safe.replace(measures=(Curves(),), steps=safe.steps * 6 // 10)
    leaky = short.replace(
        split=LeakyRandom(frac_train=frac_train),
        measures=(Curves(), Swaps(schedule=confidence.WATCHED)),
    )
    p = safe.task.n_labels
    product, subtraction = (Modular(operation=name, p=p) for name in ("x*y", "x-y"))
    return {
        SAFE: safe,
        LEAKY: leaky,
        LEAKY_HALF: leaky.replace(split=LeakyRandom(frac_train=HALF)),
        PRODUCT_SAFE: short.replace(task=product),
        PRODUCT_LEAKY: leaky.replace(task=product),
        DIFFERENCE: short.replace(task=subtraction, split=leaky.split),
    }


def runs(budget: Budget, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Every arm with the same seeds; the products are left out of quick."""
    n = SEEDS[budget] if seeds is None else seeds
    left_out = (PRODUCT_SAFE, PRODUCT_LEAKY) if budget == "quick" else ()
    arms = [spec for arm, spec in _arms(budget).items() if arm not in left_out]
    return tuple(spec.seeded(seed) for spec in arms for seed in range(n))


def arm_of(run: Run) -> Arm:
    """Which arm a run belongs to."""
    operation = getattr(run.spec.task, "operation", "")
    if operation == "x-y":
        return DIFFERENCE
    if isinstance(run.spec.split, CommutationSafe):
        return f"{operation} safe"
    half = operation == "x+y" and run.spec.split.frac_train == HALF
    return LEAKY_HALF if half else f"{operation} leaky"


def when_memorised(run: Run, reading: str = "val_accuracy") -> float:
    """A scalar reading when the run had memorised; NaN where it has none."""
    if reading not in run.names:
        return np.nan
    found = at_event(run, run[reading], "memorised")
    return np.nan if found is None else float(found)


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on C10, and accuracy by class of pair."""
    by_arm = {
        arm: found
        for arm in (SAFE, LEAKY, LEAKY_HALF, PRODUCT_SAFE, PRODUCT_LEAKY, DIFFERENCE)
        if (found := tuple(run for run in runs if arm_of(run) == arm))
    }
    return Answer(_verdicts(runs), (_figure(by_arm),))


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    return (
        _more(runs, LEAKY, SAFE),
        _more(runs, PRODUCT_LEAKY, PRODUCT_SAFE),
        _more(runs, LEAKY, DIFFERENCE),
        _near_a_half(runs, LEAKY),
        _near_a_half(runs, LEAKY_HALF),
        _explained(runs, LEAKY, SAFE),
        _explained(runs, PRODUCT_LEAKY, PRODUCT_SAFE),
    )


MEMORISED = f"memorised: {DEFAULT_RULES.describe('memorised')}."


def _more(runs: Sequence[Run], arm: Arm, other: Arm) -> Verdict:
    """Does one arm validate better than another when memorised?"""
    values, others = _known(runs, arm), _known(runs, other)
    return Verdict(
        claim="C10",
        study="leak",
        statistic=f"validation accuracy when memorised, {arm} minus {other}",
        estimate=difference(values, others),
        threshold=0.0,
        rule=f"{MEMORISED} Supported if the interval lies above 0; contradicted if below.",
        note=" ".join([_said(arm, values), _said(other, others), *_left_out(runs, arm, other)]),
    )


def _near_a_half(runs: Sequence[Run], arm: Arm) -> Verdict:
    """Is validation accuracy near 0.5 when training accuracy is near 1?"""
    values = _known(runs, arm)
    return Verdict(
        claim="C10",
        study="leak",
        statistic=f"{NEAR} - |validation accuracy when memorised - {AT}|, {arm}",
        estimate=estimate(NEAR - np.abs(values - AT)),
        threshold=0.0,
        rule=(
            f"{MEMORISED} Supported if the interval lies above 0, so within {NEAR} of {AT}; "
            "contradicted if below."
        ),
        note=" ".join([_said(arm, values), *_shares(runs, arm), *_left_out(runs, arm)]),
    )


def _explained(runs: Sequence[Run], leaky: Arm, safe: Arm) -> Verdict:
    """Do pairs whose swap is unseen do no better than all pairs of a safe split?"""
    unseen, values = _known(runs, leaky, "unseen_accuracy"), _known(runs, safe)
    swapped = _known(runs, leaky, "swap_in_train_accuracy")
    return Verdict(
        claim="C10",
        study="leak",
        statistic=(
            f"accuracy when memorised, validation of {safe} minus pairs with unseen swap of {leaky}"
        ),
        estimate=difference(values, unseen),
        threshold=-EXPLAINED,
        rule=(
            f"{MEMORISED} Supported if the interval lies above -{EXPLAINED}: without their swaps in "
            "training pairs are hardly answered better, so the leak explains the rest; contradicted if "
            "below: the leak also helps, or memorises later, elsewhere."
        ),
        note=" ".join(
            [
                _said(safe, values),
                _said(f"{leaky}, swap unseen", unseen),
                _said(f"{leaky}, swap in training", swapped),
                *_left_out(runs, leaky, safe),
            ]
        ),
    )


def _of(runs: Sequence[Run], arm: Arm) -> list[Run]:
    return [run for run in runs if arm_of(run) == arm]


def _known(runs: Sequence[Run], arm: Arm, reading: str = "val_accuracy") -> np.ndarray:
    values = np.array([when_memorised(run, reading) for run in _of(runs, arm)], float)
    return np.sort(values[np.isfinite(values)])


def _said(what: str, values: np.ndarray) -> str:
    seeds = f"{len(values)} seed{'' if len(values) == 1 else 's'}"
    return f"{what}: {told(float(values.mean()))} ({seeds})." if len(values) else f"{what}: no runs."


def _shares(runs: Sequence[Run], arm: Arm) -> list[str]:
    """What commuting alone would score: the share of validation pairs with their swap in training."""
    shares = [_share_with_swap(run) for run in _of(runs, arm)]
    return [f"Commuting alone would give {told(float(np.mean(shares)))}."] if shares else []


def _share_with_swap(run: Run) -> float:
    data = run.spec.data()
    trained = {(int(x), int(y)) for x, y in data.inputs[data.is_train]}
    val = data.inputs[~data.is_train]
    return float(np.mean([(int(y), int(x)) in trained for x, y in val]))


def _left_out(runs: Sequence[Run], *arms: Arm) -> list[str]:
    wanted = [run for arm in arms for run in _of(runs, arm)]
    missing = sum(not np.isfinite(when_memorised(run)) for run in wanted)
    return [f"{missing} of {len(wanted)} runs failed or never memorised."] if missing else []


CLASSES = {
    "train_accuracy": ("training", "#1F77B4", "solid"),
    "swap_in_train_accuracy": ("validation, swap in training", "#C2428A", "8px,3px"),
    "unseen_accuracy": ("validation, swap unseen", "#0A9A74", "2px,3px"),
    "val_accuracy": ("validation, all", "#D55E00", "6px,3px,2px,3px"),
}
"""Of each class of pairs: its name, colour and dash."""


def _figure(by_arm: Mapping[Arm, tuple[Run, ...]]):
    """Accuracy over steps by class of pair, a panel an arm."""
    panels = tuple(
        Panel(
            "accuracy",
            tuple(
                Line(name, values, colour, dash)
                for reading, (name, colour, dash) in CLASSES.items()
                if (values := _all_have(arm_runs, reading)) is not None
            ),
            title=arm,
            limits=(-0.03, 1.03),
            marks=event_marks(arm_runs),
        )
        for arm, arm_runs in by_arm.items()
    )
    caption = (
        "Mean over seeds: "
        + ", ".join(f"{len(found)} of {arm}" for arm, found in by_arm.items())
        + ". Leaky: each pair is split at random by itself; safe: with its swap, if both have the same "
        "label. The swap of (x, y) is (y, x). For x-y, whose swaps differ in label, both rules are the "
        "same. Dotted: the median step of each event over the seeds in which it happened, if most."
    )
    return panels_figure("leak", "Accuracy by class of pair: what commuting answers", caption, panels)


def _all_have(runs: Sequence[Run], reading: str) -> xr.DataArray | None:
    return together(runs, reading) if all(reading in run.names for run in runs) else None


STUDY = Study(
    name="leak",
    question="Does a random split leak a commutative operation's swaps into validation?",
    claims=(
        Claim(
            "C10",
            "With x+y in training and y+x in validation, validation accuracy is near 0.5 once training "
            "accuracy is 1: what commuting gives, and nothing else of the function.",
        ),
    ),
    predictions={
        "the leak": (
            "When memorised, a leaky split validates at the share of its pairs with their swap in "
            "training: its training share, so 0.5 only where half is trained on. Pairs whose swap is "
            "unseen do as badly as a safe split's; x-y, whose swaps have other labels, stays low."
        ),
        "early generality": (
            "Some of the operation itself is known when training accuracy is 1: unseen pairs of the "
            "leaky arm and all of the safe one are above chance alike."
        ),
        "look-up of ordered pairs": (
            "Memorising keys on the ordered pair and knows no swaps: leaky and safe splits validate "
            "alike."
        ),
    },
    runs=runs,
    answer=answer,
)
