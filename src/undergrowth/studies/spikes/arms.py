"""The runs of each budget: float32 and exact loss, a large epsilon, kicks; without decay and with it."""

from __future__ import annotations

from undergrowth.measures import Collapse, Curves, Fourier, Generality, Norms, Saliency
from undergrowth.models import TransformerSpec
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.studies import replication
from undergrowth.studies.arm import Arm, Budget
from undergrowth.tasks import CommutationSafe, Modular
from undergrowth.training.interventions import AtStep, Intervention, Kick
from undergrowth.training.optimisers import AdamW

DECAYS = (0.0, 1.0)
EPSILON, LARGE_EPSILON = 1e-8, 1e-5

KICK_NORM = {0.0: 0.09, 1.0: 0.5}
"""By weight decay: how far the weights move across a float32 spike, as a share of their norm, from the
step before its left to the one after its right: over three spikes of each of seeds 0 to 3, 0.08 to 0.12
(mean 0.09) without decay and 0.36 to 0.69 (mean 0.50) with it."""

KICKED_AT = (0.25, 0.5, 0.75)
"""When kicks come, in shares of the run: as far apart as spikes are in `SMALL`."""


def _measured(curves: int, structure: int, steps: int) -> tuple:
    """All along, evenly: nobody knows beforehand where spikes will be."""
    evenly = Schedule(every=structure, until=steps, per_decade=1)
    return (
        Curves(schedule=Schedule(every=curves, until=steps, per_decade=1)),
        Norms(),
        # A centred logit is linear in the neurons' gates here, so the gradient is exact.
        Saliency(method="gradient_x_activation", schedule=evenly),
        Generality(schedule=evenly),
        Fourier(schedule=evenly),
        Collapse(schedule=evenly),
    )


SMALL = RunSpec(
    task=Modular(p=23),
    split=CommutationSafe(frac_train=0.75),
    model=TransformerSpec(d_model=32, n_heads=2, d_head=16, d_mlp=128),
    optimiser=AdamW(lr=5e-3, weight_decay=0.0, eps=EPSILON),
    steps=6_000,
    measures=_measured(10, 40, 6_000),
    checkpoints=Schedule(every=6_000, until=6_000, per_decade=1),
)
"""Memorises by step 80 and in float32 spikes from 1,150 on, every 1,200 (decay 0) or 1,450 (decay 1);
with decay validation sets off between 380 and 1,700 and is at 0.8 to 0.95 at the end. 12 s on a core.

Tried beside it, one or two seeds each, in float32: half of the pairs at p = 23 (the same spikes, no
onset in 4,000 steps), 70 and 80 % (onset at 7,320 and 360), 65 % at p = 29 (5,300 and 360), 60 and 70 %
at p = 31 (1,680 and 360, three times the cost), lr 3e-3 (spikes some 50 steps later), and a two-token
MLP, which spikes without decay only, from 1,900.
"""

ROUNDED = {decay: f"float32, decay {decay:g}" for decay in DECAYS}
EXACT = {decay: f"exact, decay {decay:g}" for decay in DECAYS}
EPSILONS = {decay: f"{name}, ε = {LARGE_EPSILON:g}" for decay, name in ROUNDED.items()}
KICKED = {decay: f"{name}, kicked" for decay, name in ROUNDED.items()}
"""By decay the names of the arms: those in float32, whose spikes are asked about, and three controls."""


def kicked_at(spec: RunSpec) -> list[int]:
    """The steps at which a run is kicked."""
    return [round(share * spec.steps) for share in KICKED_AT]


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Four at each decay. At the post's own scale the replication's float32 runs, without decay, and the
    exact loss and the large epsilon beside them.
    """
    if budget != "full":
        return tuple(arm for decay in DECAYS for arm in arms_at(SMALL, decay))
    unwatched = replication.trained(is_watched=False)
    epsilon = {**dict(unwatched.optimiser), "eps": LARGE_EPSILON}
    return (
        Arm(ROUNDED[0.0], replication.trained()),
        Arm(EXACT[0.0], unwatched.replace(loss="cross_entropy"), "control"),
        Arm(EPSILONS[0.0], unwatched.replace(optimiser=epsilon), "control"),
    )


def arms_at(base: RunSpec, decay: float) -> tuple[Arm, ...]:
    """Float32 and exact loss, a large epsilon, and the float32 one kicked."""
    adam = {**dict(base.optimiser), "weight_decay": decay}
    rounded = base.replace(loss="cross_entropy_float32", optimiser=adam)
    trunk = Arm(ROUNDED[decay], rounded)
    kick = Kick(norm=KICK_NORM[decay], relative=True)
    steps = [AtStep(step=step) for step in kicked_at(base)]
    forked = rounded.forked(steps[0], *(Intervention(trigger=step, action=kick) for step in steps))
    exact = base.replace(loss="cross_entropy", optimiser=adam)
    epsilon = rounded.replace(optimiser={**adam, "eps": LARGE_EPSILON})
    return (
        trunk,
        Arm(EXACT[decay], exact, "control"),
        Arm(EPSILONS[decay], epsilon, "control"),
        Arm(KICKED[decay], forked, "control", trunk),
    )
