"""What theory says of each arm in numbers, from its spec alone, kept before it is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from undergrowth.analysis.rivals import Rivals, Rule, adam_gains, crossing, descent, exponent, flow
from undergrowth.models import PlantedSpec
from undergrowth.spec import RunSpec
from undergrowth.store.predicted import Numbers
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.rivalry.arms import arms
from undergrowth.training.interventions import ScaleComponents


def predicted(budget: Budget) -> Numbers:
    """By arm: ratio and share at the end, the share over steps and the step at which the general circuit
    overtakes; of strips, the exponent. Of weights nothing: what each circuit gains is not known before.
    """
    return {
        arm.name: of_strips(arm.spec) if is_of_strips(arm) else of_rivals(arm.spec)
        for arm in arms(budget)
        if planted(arm.spec).trains == "strengths"
    }


def is_of_strips(arm: Arm) -> bool:
    """Whether its circuits serve examples of their own instead of competing for the same."""
    return planted(arm.spec).general == "none"


def planted(spec: RunSpec) -> PlantedSpec:
    """The planted circuits of a run."""
    assert isinstance(spec.model, PlantedSpec)
    return spec.model


def rivals_of(spec: RunSpec) -> Rivals:
    """The general circuit and the look-ups of a run, with what is done to the general one."""
    how = {"gradient": 1.0, "share": 1.0, "decay": 1.0}
    for each in spec.interventions:
        assert isinstance(each.action, ScaleComponents)
        how = {name: how[name] * getattr(each.action, name) for name in how}
    decay = spec.optimiser.weight_decay
    return Rivals(
        n=spec.data().n_train,
        n_labels=spec.task.n_labels,
        general=planted(spec).general_strength,
        shallow=planted(spec).shallow_strength,
        factors=planted(spec).general_factors,
        gain=how["gradient"],
        share=how["share"],
        decay_general=decay * how["decay"],
        decay_shallow=decay,
    )


def of_rivals(spec: RunSpec) -> dict[str, Any]:
    """By gradient flow where plain SGD sees all examples; otherwise the mean over simulated descents of
    the same few numbers, with its spread from draw to draw.
    """
    rivals, lr = rivals_of(spec), spec.optimiser.lr
    steps = spec.measures[0].schedule.steps(spec.steps)
    if spec.optimiser.name == "sgd" and spec.batch.batch_size is None:
        s, v = (each[:, None] for each in flow(rivals, [lr * step for step in steps]))
        how = "gradient flow"
    else:
        rule: Rule = spec.optimiser.name  # pyright: ignore[reportAssignmentType]
        s, v = descent(rivals, rule, lr, steps, batch_size=spec.batch.batch_size)
        how = f"{s.shape[1]} simulated descents"
    ratio, share = rivals.ratio(s, v), rivals.share_of_general(s, v)
    return {
        "how": how,
        "ratio": float(ratio[-1].mean()),
        "spread": float(ratio[-1].std()),
        "share": float(share[-1].mean()),
        "crosses": crossing(steps, s.mean(axis=1), v.mean(axis=1)),
        "steps": list(steps[1:]),
        "shares": np.mean(share, axis=1)[1:].tolist(),
    }


def of_strips(spec: RunSpec) -> dict[str, Any]:
    """The exponent of growth on the number of examples that a strip serves: 1 under SGD, 0 along the
    gradient's sign, and under Adam what batches leave of it.
    """
    n, n_cells = spec.data().n_train, len(spec.task.examples())
    k = np.array(planted(spec).strips)
    served = np.maximum(1, np.rint(k * n / n_cells)).astype(int)
    if spec.optimiser.name == "sgd":
        gained = served / n
    elif spec.optimiser.name == "sign_sgd":
        gained = np.ones(len(k))
    else:
        gained = adam_gains(served.tolist(), n, spec.batch.batch_size, spec.steps)
    return {
        "exponent": exponent(served.tolist(), gained.tolist()),
        "served": served.tolist(),
        "gained": (gained / gained[0]).tolist(),
    }
