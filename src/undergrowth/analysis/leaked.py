"""What a split gives away, pairs of validation whose swap is trained on, and the onset beyond that."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES, Rules
from undergrowth.tasks.swaps import share_leaked


def beyond_leak(run: Run, rules: Rules = DEFAULT_RULES) -> Rules:
    """The rules for a run, with an onset only where swaps of training pairs no longer explain it.

    On a random split of a commutative task validation accuracy first rises to the share of its pairs
    whose swap is trained on, which takes no circuit for the other pairs: `events(run.curves,
    beyond_leak(run))`. Where nothing leaks, the rules are the same.
    """
    return replace(rules, leaked=share_with_swap(run))


@lru_cache(maxsize=1024)
def share_with_swap(run: Run) -> float:
    """What commuting alone would score: the share of validation pairs with their swap in training."""
    return share_leaked(run.spec.task, run.spec.data())


def describe_onset_beyond_leak(rules: Rules = DEFAULT_RULES) -> str:
    """That rule in words."""
    return (
        f"validation accuracy stays > its level when memorised + {rules.onset:g}, and > the share of "
        f"its pairs whose swap is trained on + {rules.onset:g}, until the run has grokked"
    )
