"""Neurons as waves: what each reads of an operand, grouped by the frequency that it ends up with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from undergrowth.explore.arrays import Frames
from undergrowth.explore.scenes.curves import marks
from undergrowth.explore.stills import waves as still_of_waves
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, sets
from undergrowth.store import Run

FREQUENCY, SHARE = "fourier_neuron_frequency", "fourier_neuron_share"
TUNED = 0.5
"""A neuron counts as tuned where one frequency explains at least so much of its variance."""
FEWEST_CHECKPOINTS = 8
TITLE = "Neurons become waves"


@dataclass(frozen=True)
class Groups:
    """Neurons by the frequency that explains most of each at the last step; 0 for those of none."""

    frequencies: tuple[int, ...]
    of_neuron: tuple[int, ...]

    @property
    def order(self) -> list[int]:
        """The neurons group by group."""
        return sorted(range(len(self.of_neuron)), key=lambda n: (self.of_neuron[n] or 10**6, n))

    def called(self, frequency: int) -> str:
        """What a group is called."""
        return f"frequency {frequency}" if frequency else "none"


def groups_of(run: Run) -> Groups:
    """The groups of a run's neurons."""
    frequency, share = (run[name].isel(step=-1).values for name in (FREQUENCY, SHARE))
    of_neuron = tuple(int(f) if s >= TUNED else 0 for f, s in zip(frequency, share, strict=True))
    found = sorted(set(of_neuron) - {0})
    return Groups((*found, 0) if 0 in of_neuron else tuple(found), of_neuron)


def waves(story: Story, runs: Mapping[int, Run]) -> Iterator[Scene | LeftOut]:
    """What each neuron reads of the first operand, from the weights of every checkpoint."""
    told = {
        seed: run
        for seed, run in runs.items()
        if {FREQUENCY, SHARE} <= set(run.names) and len(run.checkpoints) >= FEWEST_CHECKPOINTS
    }
    if not told or not read_by_neurons(told[min(told)]).size:
        yield LeftOut(
            TITLE,
            f"no run of this store has frequencies of its neurons and {FEWEST_CHECKPOINTS} checkpoints; "
            "the story's own runs do",
            story.training_command("STORE"),
        )
        return
    first = told[min(told)]
    arrays = [each for seed, run in told.items() for each in _of_run(run, seed)]
    yield Scene(
        "waves",
        TITLE,
        tuple(_beats(first)),
        "A small curve for each neuron: what it reads of the first operand, over the operand's values; "
        "neurons with the same final frequency stand together.",
        still_of_waves(read_by_neurons(first)[-1][groups_of(first).order], 8),
        tuple(arrays),
        {"groups": {seed: _told_groups(run) for seed, run in told.items()}, "tuned": TUNED},
        "Waves: from the weights of each checkpoint, less their mean, to 0.4 % of the largest in a "
        "frame. Shares: as stored.",
    )


def _told_groups(run: Run) -> dict[str, object]:
    found = groups_of(run)
    return {"frequencies": found.frequencies, "ofNeuron": found.of_neuron, "order": found.order}


@lru_cache(maxsize=8)
def read_by_neurons(run: Run) -> np.ndarray:
    """What neurons read of x at each checkpoint, less its mean over x, [checkpoint, neuron, x]; empty
    where the model's neurons do not read operands one by one.
    """
    found = []
    for step in run.checkpoints:
        read = run.model(step).neurons_read().get("x")
        if read is None:
            return np.zeros((0, 0, 0))
        found.append((read - read.mean(axis=0)).T)
    return np.stack(found)


def _of_run(run: Run, seed: int) -> Iterator[Frames]:
    read = read_by_neurons(run)
    steps = np.array(run.checkpoints)
    yield Frames("wave", run.id, seed, steps, read, ("neuron", "x"), kind="i1")
    for name, reading in (("share", SHARE), ("frequency", FREQUENCY)):
        values = run[reading]
        yield Frames(name, run.id, seed, values["step"].values, values.values, ("neuron",))


def tuned_at(run: Run, step: int) -> int:
    """How many neurons one frequency explains for the most part, at the reading up to a step."""
    return int((run[SHARE].sel(step=slice(None, step)).values[-1] >= TUNED).sum())


def _beats(run: Run) -> Iterator[Beat]:
    groups, found = groups_of(run), marks(run)
    n, last = len(groups.of_neuron), run.checkpoints[-1]
    memorised = found.get("memorised")
    yield paragraph(
        "Each small curve is one neuron: what it reads of the first operand, from 0 to {}. At {} these "
        "are random numbers; a single frequency explains most of what {} of {} neurons do.",
        int(run.spec.data().inputs.max()),
        sets("step 0", step=0),
        tuned_at(run, 0),
        n,
        step=0,
        order="x",
    )
    if memorised is not None:
        yield paragraph(
            "At {}, with the training set memorised, it explains most of {} of them. The faint curve "
            "behind each is the constructed solution: the cosine of its group's frequency that fits "
            "best.",
            sets(f"step {memorised:,}", step=memorised),
            tuned_at(run, memorised),
            step=memorised,
        )
    tuned = sorted(set(groups.frequencies) - {0})
    yield paragraph(
        "At {} it explains most of {} of {}, in {} groups: {}. Press a neuron to see it by itself.",
        sets(f"step {last:,}", step=last),
        tuned_at(run, last),
        n,
        len(tuned),
        ", ".join(map(str, tuned)) or "none",
        step=last,
        order="x",
    )
    if tuned:
        p = int(run.spec.data().inputs.max()) + 1
        yield paragraph(
            "Now {}: a group of frequency k meets the operands in the order of k x mod {}. Each group "
            "then draws one and the same turn of a circle. That is how waves can add modulo {}: as "
            "angles do.",
            sets("wind them up", order="wound"),
            p,
            p,
            step=last,
            order="wound",
        )
