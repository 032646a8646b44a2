"""The arms that several studies share: a one-layer transformer that groks addition, and its control."""

from __future__ import annotations

from undergrowth.measures import Curves, Deletion, Norms, Saliency
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.studies.arm import Arm, Budget
from undergrowth.tasks import CommutationSafe, Modular
from undergrowth.training.optimisers import AdamW

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

PAPER = SMALL.replace(
    task=Modular(operation="x+y", p=113),
    split=CommutationSafe(frac_train=0.3),
    optimiser=AdamW(lr=1e-3, weight_decay=1.0),
    steps=40_000,
    checkpoints=Schedule(every=2_000, until=40_000, per_decade=1),  # 54 s of work each on a core
)
"""The scale of Nanda et al. 2023 (arXiv:2301.05217), on a split that does not leak."""


def arms(budget: Budget) -> tuple[Arm, ...]:
    """True labels, then the control with shuffled labels: in a demonstration two seeds of it."""
    spec = PAPER if budget == "full" else SMALL
    control = Arm(
        SHUFFLED, spec.replace(labels="shuffled"), "control", seeds=2 if budget == "quick" else None
    )
    return Arm(TRUE, spec), control
