"""What a run goes down: by the name of a spec's `loss`, a mean over examples or over episodes."""

from undergrowth.losses import LOSSES, LossName
from undergrowth.training.objectives.by_example import sum_by_example
from undergrowth.training.objectives.mean_loss import MeanLoss
from undergrowth.training.objectives.objective import IntervenedRun, Objective, TrainSet
from undergrowth.training.objectives.policy_gradient import PolicyGradient

OBJECTIVES: dict[LossName, Objective] = {
    **{name: MeanLoss(loss) for name, loss in LOSSES.items()},
    "policy_gradient": PolicyGradient(),
}
"""A new loss of examples is its function among `losses.LOSSES`, any other its objective here."""

__all__ = [
    "OBJECTIVES",
    "IntervenedRun",
    "MeanLoss",
    "Objective",
    "PolicyGradient",
    "TrainSet",
    "sum_by_example",
]
