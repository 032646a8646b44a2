"""In which phase of learning a run ended, by the steps of its events: does it memorise, does it
generalise, and how much later?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from undergrowth.store.events import DEFAULT_RULES, Rules
from undergrowth.store.listing import Listed

LATE = 10.0
"""Validation is late if it comes more than so many times as late as memorising: P1's threshold."""

Phase = Literal["comprehension", "grokking", "memorisation", "confusion", "failed", "unknown"]
PHASES: tuple[Phase, ...] = get_args(Phase)


def delay(memorised: int | None, grokked: int | None, last: int) -> tuple[float, float] | None:
    """Bounds of grokked / memorised, at least 1: equal where both are known, open above where the run
    had not grokked by its last evaluation. None of a run that never memorised.

    >>> delay(100, 500, 900), delay(100, 50, 900), delay(100, None, 900), delay(None, 500, 900)
    ((5.0, 5.0), (1.0, 1.0), (9.0, inf), None)
    """
    if memorised is None:
        return None
    end = last if grokked is None else grokked
    low = max(1.0, max(end, 1) / max(memorised, 1))
    return low, np.inf if grokked is None else low


def phase_of(run: Listed, late: float = LATE) -> Phase:
    """The phase of a run as a row, after Liu et al. 2022 (arXiv:2205.10343, table 1); see `rules_of`.

    late: above how many times the step of memorising that of grokking is late.
    """
    if run.status == "failed":
        return "failed"
    if run.damage or "grokked" not in run.events:
        return "unknown"
    memorised, grokked = (run.events[name] for name in ("memorised", "grokked"))
    if grokked is not None:
        later = delay(memorised, grokked, run.last_step or 0)
        return "grokking" if later is not None and later[0] > late else "comprehension"
    if run.status != "done":
        return "unknown"
    return "confusion" if memorised is None else "memorisation"


def rules_of(rules: Rules = DEFAULT_RULES, late: float = LATE) -> Mapping[Phase, str]:
    """The rule of each phase in words."""
    train, val = rules.describe("memorised"), rules.describe("grokked")
    return {
        "comprehension": f"{val}, no more than {late:g} times as late as {train}",
        "grokking": f"{val}, more than {late:g} times as late as {train}",
        "memorisation": f"{train} only, by the last step",
        "confusion": "neither, by the last step",
        "failed": "it diverged, or ended in an error",
        "unknown": "not ended, damaged, or without both accuracies",
    }
