"""Does a larger learning rate after memorisation speed up grokking? C3 to C9, C14.

Shah: once grokking has clearly started, 100 times the learning rate should be 100 times as fast.
Lieberum tried 5, 10 and 100 times, on modular addition from step 300, on S5 and on division; Pope 10 and
50 times from step 1,000. Here each boost is a fork of the same trunk, next to a fork that does nothing.
"""

from __future__ import annotations

from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY, LAZY, TWO_CIRCUITS
from undergrowth.analysis.predictions import Prediction
from undergrowth.studies.lr_boost.arms import arms
from undergrowth.studies.lr_boost.endpoints import endpoints
from undergrowth.studies.lr_boost.figures import figures
from undergrowth.studies.study import Claim, Study

STUDY = Study(
    name="lr-boost",
    question="Does a larger learning rate after memorisation speed up grokking?",
    claims=(
        Claim("C3", "Once grokking has started, 100 times the learning rate speeds it up 100 times."),
        Claim("C4", "On addition 5 and 10 times the rate after memorisation work; 100 times collapses."),
        Claim(
            "C5",
            "After a boost, train accuracy falls to validation's and both climb together, a mode shift; "
            "10 times from step 1,000 never converges but 50 times does.",
        ),
        Claim("C6", "After a boost train and validation loss are correlated; without one they are not."),
        Claim("C7", "If the base rate is well chosen, the same multiplier from step 0 fails."),
        Claim("C8", "On S5 no boost works (S4 stands in for it in the smaller budgets)."),
        Claim(
            "C9",
            "On division, small boosts work, 5 times from the start works very well, 5 times at the "
            "onset destroys what was learned, 10 times never works.",
        ),
        Claim("C14", "The definition of the start of grokking changes the conclusion."),
    ),
    hypotheses={
        TWO_CIRCUITS: (
            "After the onset only small gradients slow it down: steps to grok scale as 1 / rate with "
            "rate x decay held fixed (C3's statistic near 1), and the same multiplier from step 0 fails."
        ),
        FREQUENCY: (
            "Circuits unify one after the other: the speed-up is less than proportional; a boost that "
            "breaks shallow circuits lets general ones grow from the start, so both accuracies climb "
            "together (C5, C6)."
        ),
        EFFICIENCY: (
            "Speed scales with rate x decay: multiplying decay alone does as much as the rate, and the "
            "rate with rate x decay held fixed does nothing."
        ),
        LAZY: (
            "Features move only past a threshold of the effective rate: nothing below, much above it; "
            "the temperature of the loss matters as much as the rate."
        ),
    },
    predictions=(
        Prediction(TWO_CIRCUITS, "proportional", ">"),
        Prediction(TWO_CIRCUITS, "fails-from-start", ">"),
        Prediction(FREQUENCY, "proportional", "<"),
        Prediction(FREQUENCY, "climbs-while-below", ">"),
        Prediction(FREQUENCY, "correlated", ">"),
        Prediction(EFFICIENCY, "proportional", "<"),
        Prediction(EFFICIENCY, "sooner-by-decay", ">"),
        Prediction(LAZY, "works-and-collapses", ">"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
