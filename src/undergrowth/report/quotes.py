"""A few of the post's own words for each claim, from Pope (2022) and the comments below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Quote(NamedTuple):
    """Words that stand in the post or a comment as they are here, and whose they are."""

    words: str
    whose: str


POPE, SHAH, LIEBERUM = "Pope", "Shah", "Lieberum"
MOST_WORDS = 12

QUOTES: Mapping[str, Quote] = {
    "P1": Quote("the models quickly reach near perfect accuracy on their training data", POPE),
    "P2": Quote("the model reaches near-zero loss in training but overfits in validation", POPE),
    "P3": Quote(
        "validation loss starts decreasing thousands of steps before training loss starts decreasing",
        POPE,
    ),
    "P4": Quote("why did the model learn anything at all", POPE),
    "P5": Quote("SGD will prefer the single general circuit to the shallow circuits", POPE),
    "P6": Quote(
        "all training examples except one are degrading the shallow circuit's performance", POPE
    ),
    "P7": Quote("stochasticity and regularization significantly speeds up generalization", POPE),
    "P8": Quote("weight decay would be one of the most effective interventions", POPE),
    "P9": Quote("these spikes represent unification events", POPE),
    "P10": Quote("the shallow circuits combine into slightly more general circuits", POPE),
    "P11": Quote("a relatively quick phase shift", POPE),
    "P12": Quote("an ensemble of circuits that each represent the true data distribution", POPE),
    "P13": Quote("combine together into a single circuit", POPE),
    "P14": Quote("an illusion caused by the log scale on the x-axis", POPE),
    "P15": Quote("each neuron will mostly be salient for generating a small fraction", POPE),
    "P16": Quote("the histogram becoming more and more right-skewed as the training progresses", POPE),
    "P17": Quote(
        "this deletion operation damages more and more of the model's predictive capability", POPE
    ),
    "P18": Quote("the general circuit receiving more frequent/stronger updates", POPE),
    "P19": Quote("common patterns in data may explain common patterns in models", POPE),
    "P20": Quote("general circuit are more likely to be simple", POPE),
    "C1": Quote("put 0.95 probability on the answer rather than 0.99", SHAH),
    "C2": Quote("the gradients would be zero and the network would never change", SHAH),
    "C3": Quote("100x the learning rate and speed up the convergence", SHAH),
    "C4": Quote("100x tanked the accuracy, 10x still works though", LIEBERUM),
    "C5": Quote("after which they begin to increase together", POPE),
    "C6": Quote("correlate together pretty well between training/validation", POPE),
    "C7": Quote("if you could then it seems like the hyperparameters were chosen poorly", SHAH),
    "C8": Quote("increasing the learning rate just never works", LIEBERUM),
    "C9": Quote("switching to 5x once grokking arguably starts just destroys any progress", LIEBERUM),
    "C10": Quote("almost 0.5 once the training accuracy is 1", SHAH),
    "C11": Quote("the time at which grokking happens increases exponentially", SHAH),
    "C12": Quote("failed attempts", SHAH),
    "C13": Quote("Grokking is a really weird phenomenon", SHAH),
    "C14": Quote("This does depend on when you start the counter for grokking", LIEBERUM),
}
"""By claim: of each, at most `MOST_WORDS`, as they stand there."""
