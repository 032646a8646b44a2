"""Why: a file or a folder for each question, readable from top to bottom."""

from undergrowth.analysis.predictions import Prediction
from undergrowth.studies import (
    ablation,
    clock,
    complexity,
    confidence,
    decay,
    forgetting,
    grokking,
    leak,
    ledger,
    lr_boost,
    partial_generality,
    regularisers,
    rivalry,
    saliency,
    sampler,
    smoothness,
    spikes,
    titration,
    toy_heads,
    transfer,
    ungrokking,
    weighted_outliers,
)
from undergrowth.studies.arm import Arm, Budget, Planned
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.statistic import Missing, Statistic
from undergrowth.studies.study import Answer, Claim, Study
from undergrowth.studies.table import Table

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        grokking.STUDY,
        clock.STUDY,
        saliency.STUDY,
        ablation.STUDY,
        confidence.STUDY,
        leak.STUDY,
        lr_boost.STUDY,
        spikes.STUDY,
        partial_generality.STUDY,
        complexity.STUDY,
        regularisers.STUDY,
        decay.STUDY,
        forgetting.STUDY,
        smoothness.STUDY,
        titration.STUDY,
        transfer.STUDY,
        toy_heads.STUDY,
        rivalry.STUDY,
        ledger.STUDY,
        ungrokking.STUDY,
        weighted_outliers.STUDY,
        sampler.STUDY,
    )
}

__all__ = [
    "STUDIES",
    "Answer",
    "Arm",
    "Budget",
    "Claim",
    "Endpoint",
    "Missing",
    "Planned",
    "Prediction",
    "Statistic",
    "Study",
    "Table",
]
