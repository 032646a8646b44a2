"""What is observed: functions of (model, data) that return named arrays."""

from typing import Annotated

from pydantic import Field

from undergrowth.measures.ablations import joint_ablation
from undergrowth.measures.alignment import Alignment
from undergrowth.measures.areas import Areas, Swaps, TableMap, areas_of
from undergrowth.measures.attribution import attribute, baselines, completeness_residual, site_of
from undergrowth.measures.carriers import Carriers, carriers
from undergrowth.measures.coherence import Coherence, coherence, sign_stiffness
from undergrowth.measures.collapse import Collapse
from undergrowth.measures.conductance import conductance
from undergrowth.measures.confidence import Confidence, confidence
from undergrowth.measures.context import Context, Update
from undergrowth.measures.curves import Curves
from undergrowth.measures.deletion import Deletion, deletion_sets
from undergrowth.measures.fourier import Fourier
from undergrowth.measures.generality import Generality, serves
from undergrowth.measures.kernel import Kernel
from undergrowth.measures.ledger import Ledger
from undergrowth.measures.local_learning_coefficient import LocalLearningCoefficient
from undergrowth.measures.norms import ComponentNorms, Norms
from undergrowth.measures.reading import SIDES, Measure, Observed, Reading, scalar
from undergrowth.measures.reinforcement import ledger, reach
from undergrowth.measures.representations import Representations
from undergrowth.measures.saliency import Saliency, breadth
from undergrowth.measures.scores import SCORES
from undergrowth.measures.shapley import Shapley
from undergrowth.measures.shapley_values import Sampling, ShapleyValues, shapley_values
from undergrowth.measures.sharpness import Sharpness
from undergrowth.measures.strength import reinforcement_of

AnyMeasure = Annotated[
    Curves
    | Norms
    | ComponentNorms
    | Alignment
    | Collapse
    | Sharpness
    | LocalLearningCoefficient
    | Ledger
    | Coherence
    | Confidence
    | Kernel
    | Saliency
    | Shapley
    | Generality
    | Carriers
    | Deletion
    | Areas
    | Swaps
    | TableMap
    | Fourier
    | Representations,
    Field(discriminator="name"),
]

__all__ = [
    "SCORES",
    "SIDES",
    "Alignment",
    "AnyMeasure",
    "Areas",
    "Carriers",
    "Coherence",
    "Collapse",
    "ComponentNorms",
    "Confidence",
    "Context",
    "Curves",
    "Deletion",
    "Fourier",
    "Generality",
    "Kernel",
    "Ledger",
    "LocalLearningCoefficient",
    "Measure",
    "Norms",
    "Observed",
    "Reading",
    "Representations",
    "Saliency",
    "Sampling",
    "Shapley",
    "ShapleyValues",
    "Sharpness",
    "Swaps",
    "TableMap",
    "Update",
    "areas_of",
    "attribute",
    "baselines",
    "breadth",
    "carriers",
    "coherence",
    "completeness_residual",
    "conductance",
    "confidence",
    "deletion_sets",
    "joint_ablation",
    "ledger",
    "reach",
    "reinforcement_of",
    "scalar",
    "serves",
    "shapley_values",
    "sign_stiffness",
    "site_of",
]
