"""Planted circuits that give the same answers, and what is done to the push and the decay of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from undergrowth.measures import ComponentNorms, Curves, Saliency
from undergrowth.models import PlantedSpec
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.studies.arm import Arm, Budget
from undergrowth.tasks import LeakyRandom, Modular
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.interventions import AtStep, Components, Intervention, ScaleComponents
from undergrowth.training.optimisers import SGD, AdamW, AnyOptimiser, SignSGD

N = 16
"""Training examples of the arms of one number a circuit."""
WEIGHT_DECAY = 0.05
SLOW: dict[Budget, float] = {"quick": 0.03, "standard": 0.01, "full": 0.01}
"""The rate one example at a time: small enough for the sum of pushes to be what counts."""

OBSERVED = Schedule(every=1_000_000, until=200, per_decade=12)
MEASURES = (
    Curves(schedule=OBSERVED),
    ComponentNorms(prefix="strength", component="block", schedule=OBSERVED),
)
BASE = RunSpec(
    task=Modular(operation="x+y", p=5),
    split=LeakyRandom(frac_train=0.64),
    model=PlantedSpec(group="C5"),
    optimiser=SGD(lr=0.1, warmup_steps=0),
    steps=1_500,
    measures=MEASURES,
    checkpoints=Schedule(every=1_000_000, until=1_000_000, per_decade=1),
)
"""16 of the 25 cells of x+y mod 5, one look-up each and one circuit for all, all of strength 0.1."""
PLAIN, EQUAL_PUSH, RIGGED = "full push", "push of the general × 1/n", "push of the general × 10/n"
ONE, ONE_SMALL = "one at a time", "one at a time, each hit × 1/n"
ONE_RARE, ONE_RARE_LARGE = "one at a time, hits thinned to 1/n", "one at a time, thinned, each hit × n"
DECAY_BOTH, DECAY_EQUAL = "decay on both", "decay of the general × n"
DECAY_AND_PUSH = "decay on both, push of the general × 1/n"
ADAM, SIGN, ADAM_ONE = "Adam, full batch", "sign-SGD, full batch", "Adam, one at a time"
SCALARS = (
    *(PLAIN, EQUAL_PUSH, RIGGED, ONE, ONE_SMALL, ONE_RARE, ONE_RARE_LARGE),
    *(DECAY_BOTH, DECAY_EQUAL, DECAY_AND_PUSH, ADAM, SIGN, ADAM_ONE),
)
"""The arms of one number a circuit, in the order in which to read them."""


def general_scaled(spec: RunSpec, **how: float) -> RunSpec:
    """A run whose general circuit learns or decays at a rate of its own from the start."""
    last = len(spec.model.circuits.cells) - 1  # pyright: ignore[reportAttributeAccessIssue]
    components = Components(component="block", indices=(last,))
    action = ScaleComponents(components=components, **how)
    return spec.replace(interventions=(Intervention(trigger=AtStep(step=0), action=action),))


def scalar_arms(budget: Budget) -> tuple[Arm, ...]:
    """One number a circuit, 16 examples."""
    decaying = BASE.replace(optimiser=SGD(lr=0.1, weight_decay=WEIGHT_DECAY, warmup_steps=0))
    adam = AdamW(lr=1e-3, weight_decay=0.0, warmup_steps=0)
    single = BASE.replace(
        batch=MiniBatch(batch_size=1),
        optimiser=SGD(lr=SLOW[budget], warmup_steps=0),
        steps=round(150 / SLOW[budget]),
    )
    return (
        Arm(PLAIN, BASE, role="control"),
        Arm(EQUAL_PUSH, general_scaled(BASE, gradient=1 / N)),
        Arm(RIGGED, general_scaled(BASE, gradient=10 / N), role="control"),
        Arm(ONE, single, role="control"),
        Arm(ONE_SMALL, general_scaled(single, gradient=1 / N)),
        Arm(ONE_RARE, general_scaled(single, share=1 / N)),
        Arm(ONE_RARE_LARGE, general_scaled(single, share=1 / N, gradient=float(N))),
        Arm(DECAY_BOTH, decaying),
        Arm(DECAY_EQUAL, general_scaled(decaying, decay=float(N))),
        Arm(DECAY_AND_PUSH, general_scaled(decaying, gradient=1 / N)),
        Arm(ADAM, BASE.replace(optimiser=adam)),
        Arm(SIGN, BASE.replace(optimiser=SignSGD(lr=1e-3, warmup_steps=0))),
        Arm(ADAM_ONE, BASE.replace(batch=single.batch, optimiser=adam)),
    )


SIZES = tuple(2**i for i in range(9))
"""Cells that each strip serves: 511 of the 529 of x+y mod 23."""
STRIPS = BASE.replace(
    task=Modular(operation="x+y", p=23),
    split=LeakyRandom(frac_train=0.95),
    model=PlantedSpec(group="C23", lookups=False, strips=SIZES, general="none"),
    optimiser=SGD(lr=1e-3, warmup_steps=0),
    steps=500,
)
"""Nine strips that serve cells of their own; they end near where they began, so no residual changes."""
EXPONENTS: dict[str, tuple[AnyOptimiser, int | None]] = {
    "SGD, full batch": (SGD(lr=1e-3, warmup_steps=0), None),
    "sign-SGD, full batch": (SignSGD(lr=2e-4, warmup_steps=0), None),
    "Adam, full batch": (AdamW(lr=2e-4, weight_decay=0.0, warmup_steps=0), None),
    "Adam, batches of 64": (AdamW(lr=2e-4, weight_decay=0.0, warmup_steps=0), 64),
    "Adam, batches of 8": (AdamW(lr=2e-4, weight_decay=0.0, warmup_steps=0), 8),
    "Adam, batches of 1": (AdamW(lr=2e-4, weight_decay=0.0, warmup_steps=0), 1),
}
"""By name: the optimiser, and the batch size."""
QUICK_EXPONENTS = ("SGD, full batch", "Adam, full batch", "Adam, batches of 8")


def strips_arm(name: str) -> str:
    """The name of the arm of strips under an optimiser."""
    return f"strips: {name}"


def exponent_arms(names: Sequence[str]) -> tuple[Arm, ...]:
    """Strips of every generality under some optimisers; one example at a time takes more steps."""
    found = []
    for name in names:
        optimiser, size = EXPONENTS[name]
        batch = FullBatch() if size is None else MiniBatch(batch_size=size)
        steps = 2_000 if size is not None and size < 64 else STRIPS.steps
        found.append(
            Arm(strips_arm(name), STRIPS.replace(optimiser=optimiser, batch=batch, steps=steps))
        )
    return tuple(found)


FACTORIAL_N = 64
SIXTY_FOUR: dict[str, Any] = {
    "task": Modular(operation="x+y", p=9),
    "split": LeakyRandom(frac_train=0.79),
}
"""Of the 81 cells of a table."""
FACTORIAL_OPTIMISERS: dict[str, AnyOptimiser] = {
    "SGD": SGD(lr=0.2, warmup_steps=0),
    "sign-SGD": SignSGD(lr=2e-3, warmup_steps=0),
    "Adam": AdamW(lr=2e-3, weight_decay=0.0, warmup_steps=0),
    "Adam, batches of 8": AdamW(lr=2e-3, weight_decay=0.0, warmup_steps=0),
}
PUSHES = {"full push": 1.0, "push × 1/n": 1 / FACTORIAL_N}
DECAYS = {
    "no decay": (0.0, 1.0),
    "equal decay": (0.02, 1.0),
    "decay of the general × n": (0.02, float(FACTORIAL_N)),
}
"""By name: the decay, and what that of the general circuit is multiplied by."""
BEGINNINGS: dict[str, dict[str, Any]] = {
    "equal start": {},
    "general begins at a tenth": {"general_strength": 0.01},
    "general begins at a hundredth": {"general_strength": 0.001},
    "general of two layers": {"general_factors": 2},
    "general of three layers": {"general_factors": 3},
}
"""By name, what the general circuit is beside look-ups of strength 0.1."""
CROSSED = ("equal start", "general begins at a tenth")
"""Beginnings at which every push is crossed with every decay; at the others those that are asked for."""
ASKED = (
    ("full push", "no decay"),
    ("push × 1/n", "no decay"),
    ("full push", "decay of the general × n"),
)
LEVELS = tuple(
    (optimiser, push, decay, begins)
    for optimiser in FACTORIAL_OPTIMISERS
    for push in PUSHES
    for decay in DECAYS
    for begins in BEGINNINGS
    if begins in CROSSED or (push, decay) in ASKED
)


def factorial_arm(optimiser: str, push: str, decay: str, begins: str) -> str:
    """The name of a cell of the factorial."""
    return f"{optimiser}: {push}, {decay}, {begins}"


def factorial_arms() -> tuple[Arm, ...]:
    """Push, decay, beginning and optimiser; 64 of the 81 cells of x+y mod 9."""
    found = []
    for levels in LEVELS:
        optimiser, push, decay, begins = levels
        weight_decay, factor = DECAYS[decay]
        spec = BASE.replace(
            **SIXTY_FOUR,
            model=PlantedSpec(group="C9", **BEGINNINGS[begins]),
            optimiser=FACTORIAL_OPTIMISERS[optimiser].model_copy(update={"weight_decay": weight_decay}),
            batch=MiniBatch(batch_size=8) if "batches" in optimiser else FullBatch(),
            steps=3_000,
        )
        found.append(
            Arm(factorial_arm(*levels), general_scaled(spec, gradient=PUSHES[push], decay=factor))
        )
    return tuple(found)


LATE = {"a tenth": 0.01, "a hundredth": 0.001}
"""Strengths at which the general circuit begins beside look-ups of 0.1."""
DEPTHS = {"one layer": 1, "two layers": 2, "three layers": 3}
WATCHED = Schedule(every=1, until=20, per_decade=60)
LATE_IN_QUICK = (("two layers", "a hundredth"), ("three layers", "a hundredth"))


def late_levels(budget: Budget) -> list[tuple[str, str]]:
    """Depths and beginnings that a budget has."""
    return list(LATE_IN_QUICK) if budget == "quick" else list(product(DEPTHS, LATE))


def late_arm(depth: str, begins: str) -> str:
    """The name of an arm in which the look-ups come first."""
    return f"general of {depth} begins at {begins}"


def late_arms(budget: Budget) -> tuple[Arm, ...]:
    """A general circuit that begins behind the look-ups, and of some depth: 64 examples, small steps."""
    return tuple(
        Arm(
            late_arm(depth, begins),
            BASE.replace(
                **SIXTY_FOUR,
                model=PlantedSpec(
                    group="C9", general_strength=LATE[begins], general_factors=DEPTHS[depth]
                ),
                optimiser=SGD(lr=0.02, warmup_steps=0),
                steps=2_000,
                measures=tuple(each.model_copy(update={"schedule": WATCHED}) for each in MEASURES),
            ),
        )
        for depth, begins in late_levels(budget)
    )


WEIGHTS = BASE.replace(
    model=PlantedSpec(group="C5", trains="weights"),
    measures=(
        Curves(schedule=OBSERVED),
        Saliency(
            prefix="part",
            component="block",
            method="gradient_x_activation",
            baseline="zero",
            schedule=OBSERVED,
        ),
    ),
)
"""The same circuits with every weight of them trained. What each block adds to the logit of a label is
what its slope times its activation comes to, for logits are the sum of what blocks write."""
WHOLE, WHOLE_EQUAL = "all weights, full push", "all weights, push of the general × 1/n"


def weight_arms() -> tuple[Arm, ...]:
    """Natural gradients within the blocks, that of the general one as it is and n times as small."""
    return (
        Arm(WHOLE, WEIGHTS, role="control"),
        Arm(WHOLE_EQUAL, general_scaled(WEIGHTS, gradient=1 / N)),
    )


def arms(budget: Budget) -> tuple[Arm, ...]:
    """The factorial and most optimisers of the strips are left out of quick."""
    always = (*scalar_arms(budget), *late_arms(budget), *weight_arms())
    if budget == "quick":
        return (*always, *exponent_arms(QUICK_EXPONENTS))
    return (*always, *exponent_arms(tuple(EXPONENTS)), *factorial_arms())
