"""How much memory a run will take, told from its spec; and whether this machine has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import jax

from undergrowth.engine.step import STRETCH
from undergrowth.measures import Ledger, Measure
from undergrowth.measures.gating.attributed import AttributedMeasure
from undergrowth.models import Model
from undergrowth.models.room import ROOM
from undergrowth.spec import RunSpec
from undergrowth.spec_errors import SpecError
from undergrowth.tasks import Tokens

PROGRAM = 300 * 10**6
"""Bytes of a worker that has trained nothing yet: Python, JAX and compiled steps."""

NUMBER = 4
COPIES_OF_STATE = 3
"""The weights and what the optimiser holds: as they are, as they become, and as last seen sound."""

COPIES_OF_ACTIVATIONS = 3
"""Of a chunk: activations, their slopes, and what lies between."""

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def forecast(spec: RunSpec) -> int:
    """Bytes that training a run takes at its peak, within a factor of two; a function of the spec alone.

    Weights and optimiser, the examples, the batches of a stretch, the activations of a chunk, and what
    the measure that keeps the most keeps of all examples.
    """
    n, blank = _n_examples(spec), spec.blank_model()
    state = _bytes_of(blank) + _bytes_of(jax.eval_shape(spec.optimiser.build().init, blank))
    width = sum(site.n_components for site in blank.sites) + blank.n_logits
    at_once = min(n, max(1, ROOM // max(width, 1)))
    chunk = COPIES_OF_ACTIVATIONS * NUMBER * at_once * width
    kept = max((_kept_by(measure, blank, n) for measure in spec.measures), default=0)
    batches = 3 * NUMBER * STRETCH * (spec.batch.batch_size or 0)
    return PROGRAM + COPIES_OF_STATE * state + n * _bytes_of_an_example(spec) + chunk + batches + kept


def refuse_what_does_not_fit(
    specs: Iterable[RunSpec], at_once: int = 1, available: int | None = None
) -> None:
    """Raise SpecError, in one line, where `at_once` of the runs need more memory than there is.

    available: bytes; by default those that this machine has left, and where it does not say, nothing is
    refused. The run that needs the most is named.
    """
    room = available_bytes() if available is None else available
    if room is None:
        return
    needed = sorted(((forecast(spec), spec) for spec in specs), key=lambda each: each[0], reverse=True)
    total = sum(n_bytes for n_bytes, _ in needed[:at_once])
    if total <= room:
        return
    most, spec = needed[0]
    together = (
        f"{min(at_once, len(needed))} runs at once need {_told(total)}, of which "
        if (most <= room)
        else ""
    )
    fewer = "fewer workers, " if most <= room else ""
    raise SpecError(
        f"{together}{spec.task.describe()} by a {spec.model.name} needs {_told(most)} of memory, and "
        f"this machine has {_told(room)} left: use {fewer}a smaller task or model, or free some memory"
    )


def available_bytes() -> int | None:
    """Bytes of memory that a process may still take on this machine; None where it does not say."""
    found = [*_left_of_the_machine(), *_left_of_the_group()]
    return min(found, default=None)


def _left_of_the_machine() -> Iterator[int]:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return
    yield from (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _left_of_the_group() -> Iterator[int]:
    """What is left below the limit of the control group, where there is one (containers)."""
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit, now = ((CGROUP / name).read_text(encoding="ascii").strip() for name in (most, used))
        except OSError:
            continue
        if limit.isdecimal() and now.isdecimal():
            yield max(0, int(limit) - int(now))


def _n_examples(spec: RunSpec) -> int:
    space = spec.task.input_space
    return space.n_operands**2 if isinstance(space, Tokens) else len(spec.task.examples())


def _bytes_of_an_example(spec: RunSpec) -> int:
    """Inputs, label, sides and weight: as drawn, on the device, and of the training side again."""
    space = spec.task.input_space
    n_inputs = 2 if isinstance(space, Tokens) else space.n_features
    return 3 * (NUMBER * (n_inputs + 2) + 3)


def _kept_by(measure: Measure, model: Model, n_examples: int) -> int:
    """What a measure keeps of every example at once: attributions, or the ledger."""
    widest = max(site.n_components for site in model.sites)
    if isinstance(measure, Ledger) and measure.per_example:
        return 3 * NUMBER * n_examples * sum(site.n_components for site in model.sites) * 3
    return 2 * NUMBER * n_examples * widest if isinstance(measure, AttributedMeasure) else 0


def _bytes_of(tree: Any) -> int:
    return sum(prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _told(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
