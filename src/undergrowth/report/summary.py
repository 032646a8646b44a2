"""The main result in one sentence, from the events of the runs."""

from __future__ import annotations

from collections.abc import Sequence

from undergrowth.analysis import Event, Rules, events
from undergrowth.report.groups import RULES, Group, alike, groups, plural
from undergrowth.store import Run
from undergrowth.store.events import EventName


def in_one_sentence(runs: Sequence[Run], rules: Rules = RULES) -> str:
    """When the networks memorised, when they generalised, and what the control did.

    If runs differ in more than their seeds and labels, it describes the most numerous kind.
    """
    told = []
    most = next(iter(alike(runs)), ())
    for group in groups(most, "train_accuracy", "val_accuracy"):
        happened = [events(run.curves, rules) for run in group.runs]
        told.append(_of_control(happened) if group.is_control else _of_runs(group, happened, rules))
    return " ".join(told) or "No run has been trained yet."


def _of_runs(group: Group, happened: Sequence[dict[EventName, Event]], rules: Rules) -> str:
    n, task = len(group.runs), group.runs[0].spec.task.describe()
    memorised = [e["memorised"].first for e in happened if e["memorised"].first is not None]
    grokked = [e["grokked"].first for e in happened if e["grokked"].first is not None]
    last = max(e["grokked"].last for e in happened)
    if not memorised:
        none = f"None of {plural(n, 'network')}" if n > 1 else "The network"
        not_ = "" if n > 1 else " not"
        return f"{none} that learns {task} has{not_} fitted its training examples by step {last:,}."
    fitted, learns = _of(len(memorised), n).capitalize(), "learns" if n == 1 else "learn"
    first = f"{fitted} that {learns} {task} fitted the training examples by step {max(memorised):,}"
    if not grokked:
        return f"{first}; none generalised by step {last:,}."
    rest = n - len(grokked)
    late = f" ({rest} had not by step {last:,})" if rest else ""
    which = "it" if n == 1 else "they" if not rest else f"{len(grokked)} of them"
    but, only = ("but", "only at") if min(grokked) >= 2 * max(memorised) else ("and", "at")
    return (
        f"{first}, {but} {which} reached {rules.grokked:.0%} on examples never seen {only} "
        f"{_steps(grokked)}{late}."
    )


def _of(some: int, n: int) -> str:
    if n == 1:
        return "the network"
    return f"all {n} networks" if some == n else f"{some} of {n} networks"


def _of_control(happened: Sequence[dict[EventName, Event]]) -> str:
    n = len(happened)
    fitted = sum(not e["memorised"].censored for e in happened)
    general = sum(not e["onset"].censored for e in happened)
    general_text = "none" if not general else f"{general}"
    return (
        f"With shuffled labels, where there is nothing general to learn, {fitted} of {n} fitted them "
        f"and {general_text} generalised."
    )


def _steps(steps: Sequence[int]) -> str:
    low, high = min(steps), max(steps)
    return f"step {high:,}" if low == high else f"steps {low:,} to {high:,}"
