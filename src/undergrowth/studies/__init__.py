"""Why: one file a question, readable from top to bottom."""

from undergrowth.studies import (
    ablation,
    complexity,
    confidence,
    decay,
    grokking,
    leak,
    lr_boost,
    partial_generality,
    regularisers,
    saliency,
    smoothness,
    spikes,
)
from undergrowth.studies.study import Answer, Budget, Claim, Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        grokking.STUDY,
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
        smoothness.STUDY,
    )
}

__all__ = ["STUDIES", "Answer", "Budget", "Claim", "Study"]
