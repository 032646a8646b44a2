"""What stored facts mean: events, distributions, intervals, verdicts."""

from undergrowth.analysis.distributions import effective_number, gini, skewness
from undergrowth.analysis.events import Event, Rules, events
from undergrowth.analysis.intervals import Estimate, censored_estimate, difference, estimate
from undergrowth.analysis.verdicts import Verdict

__all__ = [
    "Estimate",
    "Event",
    "Rules",
    "Verdict",
    "censored_estimate",
    "difference",
    "effective_number",
    "estimate",
    "events",
    "gini",
    "skewness",
]
