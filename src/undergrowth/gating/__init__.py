"""What of a score is whose: functionals of one function, score(gates, example)."""

from undergrowth.gating.ablations import joint_ablation
from undergrowth.gating.attribution import attribute, baselines, completeness_residual, site_of
from undergrowth.gating.conductance import conductance
from undergrowth.gating.scores import SCORES
from undergrowth.gating.shapley_values import Sampling, ShapleyValues, shapley_values

__all__ = [
    "SCORES",
    "Sampling",
    "ShapleyValues",
    "attribute",
    "baselines",
    "completeness_residual",
    "conductance",
    "joint_ablation",
    "shapley_values",
    "site_of",
]
