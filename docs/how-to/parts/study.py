"""Does weight decay help a small network to add? A study of one's own."""

import undergrowth as ug
from undergrowth.analysis import Exceeds
from undergrowth.studies import Arm, Claim, Endpoint, Prediction, Statistic, Study
from undergrowth.studies.statistic import beside, points

DECAY, NONE = "decay 1", "no decay"
STEPS = {"quick": 1000, "standard": 2000, "full": 2000}


def arms(budget):
    """The same network with decay and without."""
    base = ug.RunSpec(
        task=ug.Modular(p=17),
        split=ug.CommutationSafe(frac_train=0.8),
        model=ug.TwoTokenMLPSpec(d_embed=32, d_mlp=64),
        optimiser=ug.AdamW(lr=3e-3, weight_decay=0.0),
        steps=STEPS[budget],
    )
    decayed = base.replace(optimiser=ug.AdamW(lr=3e-3, weight_decay=1.0))
    return Arm(DECAY, decayed), Arm(NONE, base, role="control")


def at_the_end(run):
    """Validation accuracy at the last step."""
    return float(run["val_accuracy"][-1])


ENDPOINT = Endpoint(
    name="accuracy-at-the-end",
    claim="M1",
    statistic=Statistic(
        "validation accuracy at the last step, with decay minus without",
        "Of the same seed with and without.",
        beside(at_the_end),
        range=(-1.0, 1.0),
        says=points("of accuracy"),
    ),
    arm=DECAY,
    control=NONE,
    rule=Exceeds(0.05),
    is_primary=True,
)

STUDY = Study(
    name="my-decay",
    question="Does weight decay help a small network to add?",
    claims=(Claim("M1", "With weight decay more of the pairs that were held out are right."),),
    hypotheses={"circuit efficiency": "Decay favours the general circuit, which costs less norm."},
    arms=arms,
    endpoints=lambda budget: (ENDPOINT,),
    predictions=(Prediction("circuit efficiency", ENDPOINT.name, ">"),),
    figures=lambda table: [ug.accuracy_figure(table.all)],
)
