"""Why: one file a question, readable from top to bottom."""

from undergrowth.studies import complexity, lr_boost
from undergrowth.studies.arm import Arm, Budget, Planned
from undergrowth.studies.endpoint import Endpoint, Prediction
from undergrowth.studies.statistic import Missing, Statistic
from undergrowth.studies.study import Answer, Claim, Study
from undergrowth.studies.table import Table

STUDIES: dict[str, Study] = {study.name: study for study in (complexity.STUDY, lr_boost.STUDY)}

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
