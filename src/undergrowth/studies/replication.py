"""The widely cited replication of 2021, whose loss curves the post shows: the arms that studies share.

Studies that ask about the same runs ask for the same measures, so that each is trained once. What
differs from the replication: no decay and float32 are its own; decay 1, the exact loss and shuffled
labels are ours; 60,000 of its 300,000 steps, twice as many as its take-off takes, and 30,000 with decay.
"""

from __future__ import annotations

from undergrowth.measures import Collapse, Confidence, Curves, Fourier, Generality, Norms, Saliency
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.training.optimisers import AdamW

AS_RUN, TITLED = "teddykoker2021_as_run", "teddykoker2021"
"""The presets: what its code trains, whose curves are those shown, and what its title says."""

STEPS, DECAYED_STEPS = 60_000, 30_000
CLOSE, APART = 40, 200
"""Steps between evaluations, and between readings of the circuits: evenly, for nobody knows beforehand
where spikes will be. An evaluation costs as much as 7 steps, a reading of the circuits as 100."""

ADAMW = AdamW(lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0, warmup_steps=10)
"""The replication's optimiser with decay 1, as in Power et al. 2022 (arXiv:2201.02177)."""

CONFIDENCE = Confidence(schedule=Schedule(every=20, until=600, per_decade=16))
"""Memorised near step 400."""


def curves(steps: int) -> Curves:
    """Both losses and accuracies, evenly."""
    return Curves(schedule=_evenly(CLOSE, steps))


def circuits(steps: int) -> tuple:
    """What P9 and C12 call structure, and rounding.

    With two layers and layer norm no attribution is exact, and closing 512 neurons one by one takes
    minutes a reading: the groups of generality are ranked by the attribution that saliency reads.
    """
    evenly = _evenly(APART, steps)
    return (
        Saliency(method="gradient_x_activation", schedule=evenly),
        Generality(rank_by="attribution", schedule=evenly),
        Fourier(schedule=evenly),
        Collapse(schedule=_evenly(4 * APART, steps)),
    )


def trained(name: str = AS_RUN, *, decay: float = 0.0, is_watched: bool = True, **changed) -> RunSpec:
    """A run of the replication; is_watched: its circuits too, not curves and confidence alone."""
    steps = DECAYED_STEPS if decay else STEPS
    spec = preset(name).replace(
        steps=steps,
        measures=(curves(steps), Norms(), CONFIDENCE, *(circuits(steps) if is_watched else ())),
        checkpoints=Schedule(every=steps // 6, until=steps, per_decade=1),
    )
    if decay:
        spec = spec.replace(optimiser=ADAMW.model_copy(update={"weight_decay": decay}))
    return spec.replace(**changed)


def _evenly(every: int, steps: int) -> Schedule:
    return Schedule(every=every, until=steps, per_decade=1)
