"""The arms that several studies share: a one-layer transformer that groks addition, and its control."""

from __future__ import annotations

from undergrowth.measures import Curves, Deletion, Generality, Norms, Saliency
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.studies.arm import Arm, Budget

TRUE, SHUFFLED = "one-layer transformer", "one-layer transformer, shuffled labels"
"""The arms' names."""

OBSERVED = Schedule(every=100, until=100, per_decade=12)
ABLATED = Schedule(every=100, until=100, per_decade=8)

SMALL = RunSpec(
    measures=(
        Curves(),
        Norms(),
        # A centred logit is linear in the neurons' gates here, so two nodes are exact: see the residual.
        Saliency(n_nodes=2, schedule=OBSERVED),
        Deletion(n_nodes=2, repeats=1, schedule=ABLATED),
    ),
)
"""x+y mod 53 from 70 % of the pairs, as `RunSpec()` has it, and all measures: 35 s on a core."""

NANDA = preset("nanda2023").replace(
    steps=10_000,
    measures=(
        Curves(),
        Norms(),
        Saliency(n_nodes=2, schedule=OBSERVED),
        Deletion(n_nodes=2, repeats=4, schedule=ABLATED),
        Generality(schedule=ABLATED),
    ),
    checkpoints=Schedule(every=2_000, until=10_000, per_decade=1),
)
"""Nanda et al. 2023 (arXiv:2301.05217) as they trained it, on their plain random split, for 10,000 of
their 50,000 steps: seeds 0 to 2 were at 99 % between 4,700 and 6,600, others as late as 10,000 or
not at all. Theirs is the float64 loss, which
the exact one stands for."""


def arms(budget: Budget) -> tuple[Arm, ...]:
    """True labels, then the control with shuffled labels: in a demonstration two seeds of it."""
    spec = NANDA if budget == "full" else SMALL
    control = Arm(
        SHUFFLED, spec.replace(labels="shuffled"), "control", seeds=2 if budget == "quick" else None
    )
    return Arm(TRUE, spec), control
