"""Does a general circuit win because more examples push it, or because it costs less norm? P18, P20."""

from __future__ import annotations

from undergrowth.analysis.predictions import Prediction
from undergrowth.studies.rivalry.arms import arms
from undergrowth.studies.rivalry.endpoints import endpoints
from undergrowth.studies.rivalry.figures import figures
from undergrowth.studies.rivalry.theory import predicted
from undergrowth.studies.study import Claim, Study

FREQUENT, EFFICIENT, SIMPLE = "frequency of reinforcement", "circuit efficiency", "simplicity prior"

STUDY = Study(
    name="rivalry",
    question="Do general circuits win by the push of more examples, or by costing less norm?",
    claims=(
        Claim(
            "P18",
            "Of shallow circuits and a general one that make the same predictions, the general one gets "
            "more or stronger updates, and replaces them.",
        ),
        Claim("P20", "Generality is not just simplicity: it wins where its norm costs no less."),
    ),
    hypotheses={
        FREQUENT: (
            "The sum of all pushes decides. With the general circuit's push made that of one example "
            "nobody wins, whether each push is made smaller or rarer; a push that comes n times less "
            "often and is n times as large wins as before. Decay only matters where there is some. "
            "Without the sum, as under full-batch Adam, nobody wins."
        ),
        EFFICIENT: (
            "The cheaper circuit wins where norm costs something: made n times as costly, the general "
            "one no longer wins; without decay, nothing decides; with decay, an equal push takes no win "
            "away."
        ),
        SIMPLE: (
            "The general circuit is the simpler function and wins whatever pushes it and whatever the "
            "optimiser: neither equal push nor equal cost takes the win away."
        ),
    },
    predictions=(
        Prediction(FREQUENT, "summed-push", ">"),
        Prediction(FREQUENT, "summed-push-by-size", ">"),
        Prediction(FREQUENT, "summed-push-by-count", ">"),
        Prediction(FREQUENT, "count-alone", "none"),
        Prediction(FREQUENT, "adam-full-batch", "none"),
        Prediction(FREQUENT, "norm-cost-equalised", ">"),
        Prediction(FREQUENT, "push-equalised-with-decay", "none"),
        Prediction(EFFICIENT, "norm-cost-equalised", "none"),
        Prediction(EFFICIENT, "norm-cost-as-it-is", ">"),
        Prediction(EFFICIENT, "push-equalised-with-decay", ">"),
        Prediction(EFFICIENT, "no-norm-cost", "none"),
        Prediction(SIMPLE, "summed-push", "none"),
        Prediction(SIMPLE, "adam-full-batch", ">"),
        Prediction(SIMPLE, "norm-cost-equalised", ">"),
    ),
    predicted=predicted,
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
