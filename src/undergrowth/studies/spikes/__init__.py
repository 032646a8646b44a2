"""Do loss spikes mark shallow circuits merging into general ones, or rounding? P9 and C12.

Spikes are those of the loss of the updates, in float32 as in the post's curves. Each seed's run is
compared with one with the exact loss, in which nothing is rounded away, one with a large epsilon, and a
fork of it that is kicked at random as hard as a spike moves the weights.
"""

from __future__ import annotations

from undergrowth.analysis.hypotheses import COLLAPSE, SLINGSHOT
from undergrowth.analysis.predictions import Prediction
from undergrowth.studies.spikes.arms import arms
from undergrowth.studies.spikes.endpoints import endpoints
from undergrowth.studies.spikes.figures import figures
from undergrowth.studies.study import Claim, Study

MERGING, FAILED = "unification events", "failed attempts"

STUDY = Study(
    name="spikes",
    question="Are loss spikes shallow circuits merging into general ones, or rounding errors?",
    claims=(
        Claim(
            "P9",
            "Spikes of train loss coincide with spikes of validation loss, and mark many shallow "
            "circuits being replaced by fewer, more general ones.",
        ),
        Claim("C12", "The early spikes are failed attempts to find the one general circuit."),
    ),
    hypotheses={
        MERGING: (
            "Spikes come with circuits merging, however the loss is rounded: they persist with the "
            "exact loss; generality, concentration and Fourier share rise more across them than across "
            "matched windows and random kicks of equal norm; and each has a validation spike."
        ),
        FAILED: (
            "Spikes persist with the exact loss; those before the onset leave generality, "
            "concentration and Fourier share unchanged."
        ),
        SLINGSHOT: (
            "Spikes are due to Adam: they persist with the exact loss, and are fewer or none with "
            "ε = 1e-5; features move across them (Thilak et al. 2022, arXiv:2206.04817)."
        ),
        COLLAPSE: (
            "Spikes come once float32 rounds gradients to zero (Prieto et al. 2025, arXiv:2501.04697; "
            "Liu et al. 2026, arXiv:2605.06152): few or none with the exact loss or with ε = 1e-5; what "
            "changes across them also changes across a kick of equal norm."
        ),
    },
    predictions=(
        Prediction(MERGING, "remain, exact, decay 0", ">"),
        Prediction(MERGING, "structure, decay 0", ">"),
        Prediction(MERGING, "structure beyond kicks, decay 0", ">"),
        Prediction(MERGING, "validation spikes, decay 0", ">"),
        Prediction(FAILED, "remain, exact, decay 0", ">"),
        Prediction(FAILED, "early, structure", ">"),
        Prediction(SLINGSHOT, "remain, exact, decay 0", ">"),
        Prediction(SLINGSHOT, "remain, large epsilon, decay 0", "<"),
        Prediction(SLINGSHOT, "structure, decay 0", ">"),
        Prediction(COLLAPSE, "remain, exact, decay 0", "<"),
        Prediction(COLLAPSE, "remain, large epsilon, decay 0", "<"),
        Prediction(COLLAPSE, "structure beyond kicks, decay 0", "none"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
    needs={
        "saliency_median": "saliency",
        "generality_group_sufficient": "generality",
        "fourier_neuron_share": "fourier",
    },
)
