"""Does weight decay work because it degrades shallow circuits more than general ones? P8, its mechanism.

The post: weight decay is the most effective regulariser, because it degrades shallow circuits more. Here
the gradient of the loss is taken away from networks that have memorised, half grokked or grokked, and
decay or noise goes on alone: what is lost first, predictions that are only memorised or generalised
ones? And decay is switched on beside the gradient, in a network that has memorised without it: do
labels that can only be memorised lose more of their margin than the others?

What decay alone does is a straight line: every weight is multiplied by one number. A network without
biases whose logits are homogeneous in all weights (the two-token MLP here: of degree 3) then has all
logits multiplied by one number too, so no prediction can change, whatever circuit it rests on; it loses
confidence alone. Attention, or biases, make a network inhomogeneous, and predictions change: the
transformer here. So both are set side by side, and accuracy and confidence are both read.
"""

from __future__ import annotations

from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY
from undergrowth.analysis.predictions import Prediction
from undergrowth.studies.decay.arms import arms
from undergrowth.studies.decay.endpoints import endpoints
from undergrowth.studies.decay.figures import figures
from undergrowth.studies.shared_claims import DECAY_IS_BEST
from undergrowth.studies.study import Study

SCALING = "scaling alone"

STUDY = Study(
    name="decay",
    question="Do decay and noise alone undo shallow circuits sooner than general ones?",
    claims=(DECAY_IS_BEST,),
    hypotheses={
        FREQUENCY: (
            "Without the gradient, shallow circuits go first: memorised-only predictions are lost "
            "sooner than general ones, even at equal margin, and more so under decay than under noise "
            "of the same length. With the gradient on, decay costs memorised-only labels more of their "
            "margin."
        ),
        EFFICIENCY: (
            "General circuits buy more margin for the same norm (Varma et al. 2023, arXiv:2309.02390), "
            "so decay costs memorised-only predictions their confidence sooner, but only because their "
            "margin is smaller; among predictions of equal margin there is no difference."
        ),
        SCALING: (
            "Decay alone multiplies all weights by one number. In a homogeneous network no prediction "
            "changes and all margins fall alike; decay affects circuits only together with the "
            "gradient, which rebuilds some of them. Where attention makes a network inhomogeneous, what "
            "goes first depends on depth, not on whether a circuit is shallow or general."
        ),
    },
    predictions=(
        Prediction(FREQUENCY, "wrong-decay-right", ">"),
        Prediction(FREQUENCY, "transformer-decay-right", ">"),
        Prediction(FREQUENCY, "wrong-decay-matched", ">"),
        Prediction(FREQUENCY, "wrong-decay-noise", ">"),
        Prediction(FREQUENCY, "switched-on", ">"),
        Prediction(EFFICIENCY, "wrong-decay-confident", ">"),
        Prediction(EFFICIENCY, "wrong-decay-matched", "none"),
        Prediction(SCALING, "mlp-decay-right", "none"),
        Prediction(SCALING, "wrong-decay-matched", "none"),
        Prediction(SCALING, "switched-on", ">"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
