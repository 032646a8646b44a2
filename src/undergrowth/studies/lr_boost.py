"""Does a larger learning rate after memorisation speed grokking up? C3 to C9, C14.

Shah: once grokking has clearly started, 100 times the learning rate should be 100 times as fast.
Lieberum tried 5, 10 and 100 times, on modular addition from step 300, on S5 and on division; Pope 10 and
50 times from step 1,000. Here each boost is a fork of the same trunk, beside a fork that does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from undergrowth.analysis import (
    Estimate,
    Rules,
    Switched,
    Verdict,
    censored_estimate,
    estimate,
    events,
    log_rank,
    narrowing,
    proportion,
    speed_up,
)
from undergrowth.analysis.events import DEFAULT_RULES
from undergrowth.analysis.switches import LASTING, log_ratio
from undergrowth.report.boosts import (
    Boosted,
    boost_curves_figure,
    boost_map_figure,
    boost_survival_figure,
    start_rules_figure,
)
from undergrowth.store import Run
from undergrowth.studies.boost_arms import FROM_START, SWITCHES, TRUNKS, TUNED, Arm, arms_by_kind, runs
from undergrowth.studies.study import Answer, Claim, Study

RULES = DEFAULT_RULES


@dataclass(frozen=True, eq=False)
class Found:
    """The stored runs by arm and seeds, from the switch on.

    too_late: those of them that had got there before their switch, which answer nothing.
    """

    arms: Mapping[Arm, Mapping[object, Switched]]
    too_late: Mapping[Arm, int] = field(default_factory=dict)

    def by_seed(self, arm: Arm) -> dict[object, tuple[Switched, Switched]]:
        """The runs of an arm by seeds, each with its control: the same seeds, the same trunk."""
        controls = self.arms.get(arm.control, {})
        mine = self.arms.get(arm, {})
        return {
            seeds: (mine[seeds], controls[seeds]) for seeds in sorted(mine, key=str) if seeds in controls
        }

    def seeds(self, task: str) -> set[object]:
        """The seeds of all runs of a task that something was done to."""
        return {
            seeds
            for arm, runs in self.arms.items()
            if arm.task == task and arm != arm.control
            for seeds in runs
        }

    def pairs(self, arm: Arm) -> list[tuple[Switched, Switched]]:
        """The runs of an arm, each with its control, in the order of their seeds."""
        return list(self.by_seed(arm).values())


def found_in(runs: Sequence[Run]) -> Found:
    """The runs as a study's arms; those of no arm are left out."""
    arms: dict[Arm, dict[object, Switched]] = {}
    too_late: dict[Arm, int] = {}
    kinds = arms_by_kind()
    for run in sorted(runs, key=lambda run: run.id):
        arm = kinds.get(run.spec.without_seeds().id)
        if arm is None or (run.spec.fork is not None and run.forked_at is None):
            continue
        switched = Switched(run.curves, run.forked_at or 0, run.spec.steps, run.status == "done", RULES)
        if arm.switch != FROM_START and switched.is_too_late:
            too_late[arm] = too_late.get(arm, 0) + 1
        else:
            arms.setdefault(arm, {})[run.spec.seeds] = switched
    return Found(arms, too_late)


def decades(found: Found, arm: Arm) -> list[tuple[float, float]]:
    """Bounds of log10(no-op's remaining steps / the arm's) of each seed."""
    return list(_by_seed(found, arm).values())


def _unknown(arm: Arm) -> float:
    """The decades that an open side is taken to have: what the multiplier itself would give."""
    return max(abs(float(np.log10(arm.factor))), 0.5)


def _bounded(bounds: Sequence[tuple[float, float]]) -> Estimate:
    return censored_estimate([low for low, _ in bounds], [high for _, high in bounds])


def _slower(bounds: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(-high, -low) for low, high in bounds]


START_RULES: Mapping[str, Callable[[Switched], int | None]] = {
    "step 0": lambda run: 0,
    "memorised": lambda run: events(run.curves, RULES)["memorised"].first,
    "the switch": lambda run: run.at,
    "validation +0.02": lambda run: _onset(run, 0.02),
    "validation +0.05": lambda run: _onset(run, 0.05),
    "validation +0.2": lambda run: _onset(run, 0.2),
}
"""What may be called the start of grokking; onsets are for good, in each run's own curve."""


def _onset(run: Switched, level: float) -> int | None:
    return events(run.curves, Rules(RULES.memorised, RULES.grokked, level))["onset"].first


def proportionality(
    mine: Switched, control: Switched, arm: Arm, rule: str = "the switch"
) -> tuple[float, float]:
    """Bounds of log(speed-up) / log(multiplier) from a start on: 1 is in proportion, 0 no speed-up."""
    start, decade = START_RULES[rule], float(np.log10(arm.factor))
    its, control_s = (run.steps_since(start(run)) for run in (mine, control))
    low, high = log_ratio(its, control_s, decade)
    return low / decade, high / decade


def straddle(slopes: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Bounds of how far the rules of one seed lie to both sides of ½: the lesser of the two distances.

    Above 0 where some rule finds the speed-up nearer to proportional, and another nearer to none.
    """
    lows, highs = ([slope[i] for slope in slopes] for i in (0, 1))
    return min(max(lows) - 0.5, 0.5 - min(highs)), min(max(highs) - 0.5, 0.5 - min(lows))


def best_held_out(found: Found, arms: Sequence[Arm]) -> tuple[list[tuple[float, float]], str]:
    """Each seed's speed-up under the arm that was best for the other seeds, and which arms those were.

    To take the best arm and to judge it on the same seeds would favour it.
    """
    tables = {arm: _by_seed(found, arm) for arm in arms}
    seeds = sorted(set.intersection(*(set(table) for table in tables.values())), key=str) if arms else []
    chosen, bounds = [], []
    for seed in seeds:
        others = [other for other in seeds if other != seed]
        if others:
            best = max(arms, key=lambda arm: np.mean([sum(tables[arm][o]) for o in others]))
            chosen.append(best)
            bounds.append(tables[best][seed])
    told = sorted({str(arm) for arm in chosen})
    return bounds, "; ".join(told) or "none"


def _by_seed(found: Found, arm: Arm) -> dict[object, tuple[float, float]]:
    pairs = found.by_seed(arm).items()
    return {seeds: speed_up(mine, control, _unknown(arm)) for seeds, (mine, control) in pairs}


SPEED_RULE = (
    "Steps are from the switch to the first evaluation with {grokked}, of the boosted fork and of the "
    "no-op fork of the same trunk. A boosted seed that does not get there is at most as fast as if it "
    "had at its last step; the open side of such an interval is taken to be the multiplier itself. "
    "{decision}"
)


def _speed_rule(decision: str) -> str:
    return SPEED_RULE.format(grokked=RULES.describe("grokked"), decision=decision)


def told(found: Found, arm: Arm) -> str:
    """How many get there and stay, in arm and control; log-rank; the fall of train accuracy."""
    pairs = found.pairs(arm)
    late = found.too_late.get(arm, 0)
    skipped = f" {late} had got there before the switch and are left out." if late else ""
    if (lacking := len(found.seeds(arm.task)) - len(pairs) - late) > 0:
        skipped += f" {lacking} have no such run: their switch never came, or it was not trained."
    if not pairs:
        return f"No runs of {arm} beside {arm.control.label}.{skipped}"
    mine, controls = zip(*pairs, strict=True)
    p = log_rank(
        [r.remaining for r in mine],
        [r.gets_there for r in mine],
        [r.remaining for r in controls],
        [r.gets_there for r in controls],
    )
    return (
        f"{arm}: {_there(mine)}; {arm.control.label}: {_there(controls)}; log-rank p = {p:.2g}. "
        f"Train accuracy falls by {np.median([r.fall for r in mine]):.2f} and is below "
        f"{RULES.memorised:g} for {np.median([r.steps_below for r in mine]):,.0f} steps "
        f"(medians).{skipped}"
    )


def _there(runs: Sequence[Switched]) -> str:
    n = len(runs)
    return f"{sum(r.gets_there for r in runs)} of {n} get there, {sum(r.stays for r in runs)} stay"


def verdicts(found: Found) -> tuple[Verdict, ...]:
    """On C3 to C9 and C14."""
    return (
        *(_c3(found, Arm("addition", "lr", factor, "onset")) for factor in (10, 100)),
        _c3(found, Arm(TUNED, "lr", 10, "onset")),
        *(_faster("C4", found, Arm("addition", "lr", factor, "memorised")) for factor in (5, 10)),
        _faster("C4", found, Arm(TUNED, "lr", 5, "memorised")),
        _fails("C4", found, Arm("addition", "lr", 100, "memorised")),
        *_c5(found),
        _c6(found, Arm("addition", "lr", 10, "memorised")),
        *(
            _slower_from_start(found, Arm(task, "lr", factor))
            for task in ("addition", TUNED)
            for factor in (5, 10)
        ),
        _c8(found),
        *_c9(found),
        _c14(found, Arm("addition", "lr", 10, "onset")),
    )


def _verdict(
    claim: str, statistic: str, of: Estimate, threshold: float, rule: str, note: str
) -> Verdict:
    return Verdict(claim, "lr-boost", statistic, of, threshold, rule, note)


def _c3(found: Found, arm: Arm) -> Verdict:
    slopes = [proportionality(*pair, arm) for pair in found.pairs(arm)]
    return _verdict(
        "C3",
        f"{arm}: log(speed-up) / log({arm.factor:g})",
        _bounded(slopes),
        0.5,
        _speed_rule(
            "1 is in proportion, 0 no speed-up. Supported if the interval lies above ½, nearer to "
            "proportional; contradicted if below."
        ),
        told(found, arm),
    )


def _faster(claim: str, found: Found, arm: Arm) -> Verdict:
    return _verdict(
        claim,
        f"{arm}: log10(steps of {arm.control.label} / steps)",
        _bounded(decades(found, arm)),
        0.0,
        _speed_rule("Supported if the interval lies above 0, faster; contradicted if below."),
        told(found, arm),
    )


def _slower_than_control(claim: str, found: Found, arm: Arm, meaning: str = "") -> Verdict:
    return _verdict(
        claim,
        f"{arm}: log10(steps / steps of {arm.control.label})",
        _bounded(_slower(decades(found, arm))),
        0.0,
        _speed_rule(f"Supported if the interval lies above 0, slower; contradicted if below. {meaning}"),
        told(found, arm),
    )


def _slower_from_start(found: Found, arm: Arm) -> Verdict:
    return _slower_than_control(
        "C7",
        found,
        arm,
        "Where it is faster from step 0 too, the base rate was below the best one, and a boost that "
        f"works later says no more than that; '{TUNED}' starts from the best of those tried.",
    )


def _share(
    claim: str, found: Found, arm: Arm, what: str, happened: Callable[[Switched], bool]
) -> Verdict:
    return _verdict(
        claim,
        f"{arm}: share of seeds that {what}",
        proportion([happened(mine) for mine, _ in found.pairs(arm)]),
        0.5,
        f"{RULES.describe('grokked').capitalize()}. Supported if the exact interval of the share lies "
        "above ½; contradicted if below. It takes 6 seeds that all agree.",
        told(found, arm),
    )


def _fails(claim: str, found: Found, arm: Arm) -> Verdict:
    return _share(
        claim,
        found,
        arm,
        f"are not at 99 % for good over the last {LASTING:.0%} of the steps after the switch",
        lambda run: not run.stays,
    )


def _c5(found: Found) -> tuple[Verdict, ...]:
    arm = Arm("addition", "lr", 10, "memorised")
    pairs = found.pairs(arm)
    gaps = _known([narrowing(mine, control) for mine, control in pairs])
    climbs = [mine.climbed_while_below for mine, _ in pairs]
    known = _known(climbs)
    own = _known([control.climbed_while_below for _, control in pairs])
    return (
        _verdict(
            "C5",
            f"{arm}: gap between train and validation accuracy, narrower than the no-op's by",
            estimate(gaps),
            0.0,
            "Mean over the steps from the switch to when the first of the two gets there. Supported if "
            "the interval lies above 0, narrower; contradicted if below.",
            told(found, arm),
        ),
        _verdict(
            "C5",
            f"{arm}: share of seeds where most of validation's climb comes before train accuracy is "
            "back",
            proportion([climb > 0.5 for climb in known]),
            0.5,
            f"The climb is from validation's level at the switch to {RULES.grokked:g}; train accuracy "
            f"is back when it is ≥ {RULES.memorised:g} for good, and at once where it never falls. "
            "Supported (both climb together) if the exact interval of the share lies above ½; "
            "contradicted if below. It takes 6 seeds that all agree.",
            f"Median share of the climb {_median(known):.2f}, of the no-op's {_median(own):.2f}. "
            f"{len(pairs) - len(known)} of {len(pairs)} seeds had nothing left to climb.",
        ),
        _share(
            "C5",
            found,
            Arm("addition", "lr", 10, "step 1,000"),
            "never get to 99 %",
            lambda run: not run.gets_there,
        ),
        _share(
            "C5",
            found,
            Arm("addition", "lr", 50, "step 1,000"),
            "get to 99 %",
            lambda run: run.gets_there,
        ),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def _c6(found: Found, arm: Arm) -> Verdict:
    pairs = found.pairs(arm)
    both = [(mine.correlation, control.correlation) for mine, control in pairs]
    both = [pair for pair in both if np.isfinite(pair).all()]
    means = np.mean(both, axis=0) if both else (np.nan, np.nan)
    return _verdict(
        "C6",
        f"{arm}: correlation of the changes of train and validation loss, minus the no-op's",
        estimate([mine - control for mine, control in both]),
        0.0,
        "Spearman's, of the changes of both log losses between evaluations from the switch to the end. "
        "Supported if the interval lies above 0; contradicted if below.",
        f"Mean {means[0]:.2f} boosted, {means[1]:.2f} no-op; {len(both)} of {len(pairs)} seeds have "
        "both. " + told(found, arm),
    )


def _boosts(found: Found, task: str, factor: float | None = None) -> list[Arm]:
    """The boosts of the rate alone, of a task, that were run, in a settled order."""
    return sorted(
        (
            arm
            for arm in found.arms
            if arm.task == task and arm.what == "lr" and arm.factor > 1 and found.pairs(arm)
            if factor is None or arm.factor == factor
        ),
        key=lambda arm: (arm.factor, arm.switch),
    )


def _c8(found: Found) -> Verdict:
    arms = [arm for arm in _boosts(found, "group") if arm.switch != FROM_START]
    what = f"best of {len(arms)} boosts in the group: log10(steps / steps of no-op)"
    return _best_is_slower("C8", found, arms, what, "boost", "no boost works")


def _best_is_slower(
    claim: str, found: Found, arms: Sequence[Arm], statistic: str, kind: str, meaning: str
) -> Verdict:
    """Is even the best of some arms slower than its control?"""
    bounds, best = best_held_out(found, arms)
    return _verdict(
        claim,
        statistic,
        _bounded(_slower(bounds)),
        0.0,
        _speed_rule(
            f"For each seed the {kind} that was best for the others. Supported ({meaning}) if the "
            "interval lies above 0, slower; contradicted if below, faster."
        ),
        f"Best for others: {best}. " + _each(found, arms),
    )


def _each(found: Found, arms: Sequence[Arm]) -> str:
    """Means of all arms, for a note."""
    parts = [
        f"{arm.label} at {arm.switch} {np.mean([low for low, _ in decades(found, arm)]):+.2f}"
        f" ({sum(mine.stays for mine, _ in found.pairs(arm))} of {len(found.pairs(arm))} stay)"
        for arm in arms
    ]
    return f"Decades of speed-up, lower bounds: {', '.join(parts)}." if parts else "No such runs."


def _c9(found: Found) -> tuple[Verdict, ...]:
    arms = _boosts(found, "division", 10)
    what = f"best of {len(arms)} times at which lr × 10 came (division): log10(steps / steps without)"
    return (
        _faster("C9", found, Arm("division", "lr", 3, "onset")),
        _faster("C9", found, Arm("division", "lr", 5)),
        _slower_than_control("C9", found, Arm("division", "lr", 5, "onset")),
        _best_is_slower("C9", found, arms, what, "time", "10 times never works"),
    )


def _c14(found: Found, arm: Arm) -> Verdict:
    by_rule = slopes_by_rule(found, arm)
    per_seed = list(zip(*by_rule.values(), strict=True))
    means = ", ".join(
        f"{rule} {_bounded(slopes).effect:.2f}" for rule, slopes in by_rule.items() if slopes
    )
    return _verdict(
        "C14",
        f"{arm}: how far C3's statistic lies to both sides of ½ by the start that is chosen",
        _bounded([straddle(slopes) for slopes in per_seed]),
        0.0,
        f"Starts: {', '.join(START_RULES)}. Of each seed the lesser of (highest - ½) and (½ - lowest) "
        "over them. Supported if the interval lies above 0: the choice changes the conclusion; "
        "contradicted if below: all choices conclude alike.",
        f"log(speed-up) / log({arm.factor:g}) by start: {means}." if means else told(found, arm),
    )


def slopes_by_rule(found: Found, arm: Arm) -> dict[str, list[tuple[float, float]]]:
    """C3's statistic of every seed, for each start that may be chosen."""
    return {
        rule: [proportionality(*pair, arm, rule) for pair in found.pairs(arm)] for rule in START_RULES
    }


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on C3 to C9 and C14, and what the commenters drew."""
    found = found_in(runs)
    return Answer(verdicts(found), tuple(_figures(found)))


SHOWN = (
    ("addition", "memorised"),
    ("addition", "onset"),
    ("addition", "step 1,000"),
    ("addition", FROM_START),
    ("division", "onset"),
    ("group", "onset"),
)
"""Whose curves are drawn, and whose survival: the commenters' cases."""


def _figures(found: Found):
    boosted = _as_drawn(found)
    if not boosted:
        return
    yield boost_map_figure(boosted, RULES)
    cases = [case for case in SHOWN if any((b.task, b.switch) == case for b in boosted)]
    yield boost_survival_figure(boosted, cases, RULES)
    for case in cases:
        yield boost_curves_figure([b for b in boosted if (b.task, b.switch) == case], RULES)
    slopes = {
        arm.label: {rule: _bounded(s) for rule, s in slopes_by_rule(found, arm).items()}
        for arm in _boosts(found, "addition")
        if arm.switch == "onset"
    }
    if slopes:
        yield start_rules_figure(slopes, "addition, boosted at onset")


def _as_drawn(found: Found) -> list[Boosted]:
    """The arms as they are drawn: their control first, then by what and multiplier."""
    order = ("trunk", "no-op", "lr", "lr, decay pull kept", "lr, annealed", "decay")
    places = {what: i for i, what in enumerate(order)}
    tasks = list(TRUNKS["small"])
    switches = [FROM_START, *SWITCHES]
    arms = sorted(
        found.arms,
        key=lambda arm: (
            tasks.index(arm.task),
            switches.index(arm.switch),
            places.get(arm.what, len(order)),
            arm.factor,
            arm.what,
        ),
    )
    return [_drawn(found, arm) for arm in arms]


def _drawn(found: Found, arm: Arm) -> Boosted:
    is_control = arm == arm.control
    mine = found.arms[arm]
    return Boosted(
        task=arm.task,
        switch=arm.switch,
        label="no-op" if is_control else arm.label,
        is_control=is_control,
        factor=arm.factor if arm.what == "lr" else None,
        runs={str(seeds): run for seeds, run in sorted(mine.items(), key=lambda item: str(item[0]))},
        speed_up=None if is_control else _bounded(decades(found, arm)),
    )


STUDY = Study(
    name="lr-boost",
    question="Does a larger learning rate after memorisation speed grokking up?",
    claims=(
        Claim("C3", "Once grokking has started, 100 times the learning rate speeds it up 100 times."),
        Claim("C4", "On addition 5 and 10 times the rate after memorisation work; 100 times collapses."),
        Claim(
            "C5",
            "After a boost train accuracy falls to validation's and both climb together, a mode shift; "
            "10 times from step 1,000 never converges and 50 times does.",
        ),
        Claim("C6", "After a boost train and validation loss are correlated; without one they are not."),
        Claim("C7", "If the base rate is well chosen, the same multiplier from step 0 fails."),
        Claim("C8", "In S5 no boost works (S4 stands in for it in the smaller budgets)."),
        Claim(
            "C9",
            "On division small boosts work, 5 times from the start works very well, 5 times at the "
            "onset destroys what was reached, 10 times never works.",
        ),
        Claim("C14", "What is called the start of grokking changes the conclusion."),
    ),
    predictions={
        "two circuits and tiny gradients": (
            "After the onset only small gradients slow it down: steps to grok go as 1 / rate with "
            "rate x decay held fixed (C3's statistic near 1), and the same multiplier from step 0 "
            "fails."
        ),
        "frequency of reinforcement": (
            "Circuits unify one after the other: less than in proportion; a boost that breaks shallow "
            "circuits lets general ones grow from the start, so both accuracies climb together (C5, C6)."
        ),
        "circuit efficiency": (
            "Speed goes with rate x decay: decay alone, multiplied, does as much as the rate, and the "
            "rate with its decay pull kept does nothing."
        ),
        "lazy to rich": (
            "Only past a threshold of the effective rate do features move: nothing below, much above "
            "it; the temperature of the loss matters as much as the rate."
        ),
    },
    runs=runs,
    answer=answer,
)
