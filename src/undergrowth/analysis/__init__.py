"""What stored facts mean: events, distributions, intervals, verdicts."""

from undergrowth.analysis.distributions import (
    effective_number,
    gini,
    histogram,
    hoyer,
    number_holding,
    skewness,
)
from undergrowth.analysis.intervals import (
    Estimate,
    censored_estimate,
    censored_proportion,
    difference,
    estimate,
    proportion,
)
from undergrowth.analysis.leaked import beyond_leak
from undergrowth.analysis.needed import Needed, needed
from undergrowth.analysis.nested import nested_estimate
from undergrowth.analysis.resampling import Resampled, resampled
from undergrowth.analysis.rulings import Above, Exceeds, Rule, Within
from undergrowth.analysis.spikes import (
    Coincidence,
    across,
    against_matched,
    coincidence,
    matched_windows,
    separated,
    spikes,
    who_flips,
)
from undergrowth.analysis.survival import Survival, log_rank, survival
from undergrowth.analysis.switches import Switched, narrowing, speed_up
from undergrowth.analysis.verdicts import Value, Verdict
from undergrowth.store.events import Event, Rules, events

__all__ = [
    "Above",
    "Coincidence",
    "Estimate",
    "Event",
    "Exceeds",
    "Needed",
    "Resampled",
    "Rule",
    "Rules",
    "Survival",
    "Switched",
    "Value",
    "Verdict",
    "Within",
    "across",
    "against_matched",
    "beyond_leak",
    "censored_estimate",
    "censored_proportion",
    "coincidence",
    "difference",
    "effective_number",
    "estimate",
    "events",
    "gini",
    "histogram",
    "hoyer",
    "log_rank",
    "matched_windows",
    "narrowing",
    "needed",
    "nested_estimate",
    "number_holding",
    "proportion",
    "resampled",
    "separated",
    "skewness",
    "speed_up",
    "spikes",
    "survival",
    "who_flips",
]
