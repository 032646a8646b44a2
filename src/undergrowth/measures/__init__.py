"""What is observed: functions of (model, data) that return named arrays."""

from typing import Annotated

from undergrowth.kinds import OneOf
from undergrowth.measures.areas import Areas, Swaps, TableMap, areas_of, renamed_operands
from undergrowth.measures.circuits.carriers import Carriers, carriers
from undergrowth.measures.circuits.clock_pizza import ClockPizza, distance_irrelevance
from undergrowth.measures.circuits.deletion import Deletion, deletion_sets
from undergrowth.measures.circuits.generality import Generality, serves
from undergrowth.measures.context import Context, Update
from undergrowth.measures.curves import Curves
from undergrowth.measures.expected_return import ExpectedReturn
from undergrowth.measures.functions.sampled import SampledFunctions
from undergrowth.measures.functions.trained import TrainedFunctions
from undergrowth.measures.gating.saliency import Saliency, breadth
from undergrowth.measures.gating.shapley import Shapley
from undergrowth.measures.geometry.alignment import Alignment
from undergrowth.measures.geometry.collapse import Collapse
from undergrowth.measures.geometry.kernel import Kernel
from undergrowth.measures.geometry.local_learning_coefficient import LocalLearningCoefficient
from undergrowth.measures.geometry.norms import ComponentNorms, Norms
from undergrowth.measures.geometry.sharpness import Sharpness
from undergrowth.measures.group_accuracy import GroupAccuracy
from undergrowth.measures.harmonics.fourier import Fourier
from undergrowth.measures.harmonics.representations import Representations
from undergrowth.measures.predictions import Predictions
from undergrowth.measures.reading import SIDES, Measure, Observed, Reading, scalar
from undergrowth.measures.reinforcement.coherence import Coherence, coherence, sign_stiffness
from undergrowth.measures.reinforcement.confidence import Confidence, confidence
from undergrowth.measures.reinforcement.entries import effective_examples, ledger
from undergrowth.measures.reinforcement.ledger import Ledger
from undergrowth.measures.reinforcement.pushes import Pushes, pushes
from undergrowth.measures.reinforcement.reach import Reach
from undergrowth.measures.reinforcement.routed_reach import RoutedReach
from undergrowth.measures.reinforcement.strength import reinforcement_of
from undergrowth.measures.reinforcement.subspaces import Directions, complement, of_irreps

AnyMeasure = Annotated[
    Curves
    | Predictions
    | GroupAccuracy
    | ExpectedReturn
    | Norms
    | ComponentNorms
    | Alignment
    | Collapse
    | Sharpness
    | LocalLearningCoefficient
    | Ledger
    | Reach
    | RoutedReach
    | Coherence
    | Confidence
    | Kernel
    | Saliency
    | Shapley
    | Generality
    | Carriers
    | ClockPizza
    | Deletion
    | Areas
    | Swaps
    | TableMap
    | Fourier
    | Representations
    | SampledFunctions
    | TrainedFunctions,
    OneOf(Measure, "measure"),
]

__all__ = [
    "SIDES",
    "Alignment",
    "AnyMeasure",
    "Areas",
    "Carriers",
    "ClockPizza",
    "Coherence",
    "Collapse",
    "ComponentNorms",
    "Confidence",
    "Context",
    "Curves",
    "Deletion",
    "Directions",
    "ExpectedReturn",
    "Fourier",
    "Generality",
    "GroupAccuracy",
    "Kernel",
    "Ledger",
    "LocalLearningCoefficient",
    "Measure",
    "Norms",
    "Observed",
    "Predictions",
    "Pushes",
    "Reach",
    "Reading",
    "Representations",
    "RoutedReach",
    "Saliency",
    "SampledFunctions",
    "Shapley",
    "Sharpness",
    "Swaps",
    "TableMap",
    "TrainedFunctions",
    "Update",
    "areas_of",
    "breadth",
    "carriers",
    "coherence",
    "complement",
    "confidence",
    "deletion_sets",
    "distance_irrelevance",
    "effective_examples",
    "ledger",
    "of_irreps",
    "pushes",
    "reinforcement_of",
    "renamed_operands",
    "scalar",
    "serves",
    "sign_stiffness",
]
