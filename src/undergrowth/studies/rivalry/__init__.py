"""Does a general circuit win because more examples push it, or because it costs less norm? P18, P20."""

from __future__ import annotations

from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY, SIMPLICITY
from undergrowth.analysis.predictions import Prediction
from undergrowth.studies.rivalry.arms import arms
from undergrowth.studies.rivalry.endpoints import endpoints
from undergrowth.studies.rivalry.figures import figures
from undergrowth.studies.rivalry.theory import predicted
from undergrowth.studies.shared_claims import GENERAL_REPLACES
from undergrowth.studies.study import Claim, Study

STUDY = Study(
    name="rivalry",
    question="Do general circuits win by the push of more examples, or by costing less norm?",
    claims=(
        GENERAL_REPLACES,
        Claim("P20", "Generality is not just simplicity: it wins where its norm costs no less."),
    ),
    hypotheses={
        FREQUENCY: (
            "The sum of all pushes decides. With the general circuit's push made that of one example "
            "nobody wins, whether each push is made smaller or rarer; a push that comes n times less "
            "often and is n times as large wins as before. Decay only matters where there is some. "
            "Without the sum, as under full-batch Adam, nobody wins."
        ),
        EFFICIENCY: (
            "The cheaper circuit wins where norm costs something: made n times as costly, the general "
            "one no longer wins; without decay, nothing decides; with decay, an equal push takes no win "
            "away."
        ),
        SIMPLICITY: (
            "The general circuit is the simpler function and wins whatever pushes it and whatever the "
            "optimiser: neither equal push nor equal cost takes the win away."
        ),
    },
    predictions=(
        Prediction(FREQUENCY, "summed-push", ">"),
        Prediction(FREQUENCY, "summed-push-by-size", ">"),
        Prediction(FREQUENCY, "summed-push-by-count", ">"),
        Prediction(FREQUENCY, "count-alone", "none"),
        Prediction(FREQUENCY, "adam-full-batch", "none"),
        Prediction(FREQUENCY, "norm-cost-equalised", ">"),
        Prediction(FREQUENCY, "push-equalised-with-decay", "none"),
        Prediction(EFFICIENCY, "norm-cost-equalised", "none"),
        Prediction(EFFICIENCY, "norm-cost-as-it-is", ">"),
        Prediction(EFFICIENCY, "push-equalised-with-decay", ">"),
        Prediction(EFFICIENCY, "no-norm-cost", "none"),
        Prediction(SIMPLICITY, "summed-push", "none"),
        Prediction(SIMPLICITY, "adam-full-batch", ">"),
        Prediction(SIMPLICITY, "norm-cost-equalised", ">"),
    ),
    predicted=predicted,
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
