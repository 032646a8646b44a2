"""A campaign: presets and PyTorch, each with chance of its own, learn alike.

`python -m tests.oracles.first_steps 300` trains each preset and its transcription for so many updates
over three seeds and prints the loss of training along the way; `... 50 12 power2022_figure1a` one preset
over twelve seeds. `... library` trains lieberum2021, and `... library lieberum2021_s5` his S5, and
x-transformers 0.21.1 itself until both sides are at 99 %, over four seeds, and prints when they were;
`... library lieberum2021_s5 4 5` over seeds 4 and 5.
Sides of the split are the package's for either, so that what differs is weights and order alone.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from tests.oracles import torch_presets
from tests.oracles.library import decoder_of_library
from tests.oracles.test_presets import STYLES
from undergrowth.engine import train
from undergrowth.engine.facts import Measured, Stepped
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset

AT = (20, 50, 100, 200, 300)
WINDOW = 20
SEEDS = ("0", "1", "2", "3")
"""Of the comparison with the library."""
EVERY = 10
BUDGET = 4000

Sides = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


def sides(spec: RunSpec) -> Sides:
    """(pairs, labels) of training, and of validation."""
    data = spec.data()
    inputs, labels = (torch.from_numpy(a.astype(np.int64)) for a in (data.inputs, data.labels))
    is_train = torch.from_numpy(np.array(data.is_train))
    return (inputs[is_train], labels[is_train]), (inputs[~is_train], labels[~is_train])


def losses_of_package(name: str, seed: int, steps: int) -> np.ndarray:
    rarely = {"every": 10_000, "until": 10_000, "per_decade": 1}
    spec = preset(name).seeded(seed)
    spec = spec.replace(
        steps=steps, checkpoints=rarely, measures=[{"name": "curves", "schedule": rarely}]
    )
    facts = [fact for _, fact in train([spec], [None])]
    return np.concatenate([fact.losses for fact in facts if isinstance(fact, Stepped)])


def losses_of_torch(name: str, seed: int, steps: int) -> np.ndarray:
    style, decay = STYLES[name]
    spec = preset(name).seeded(seed)
    (pairs, labels), _ = sides(spec)
    torch.manual_seed(1000 + seed)
    run = torch_presets.trained(torch_presets.Decoder(style, spec.task.n_labels), decay)
    batches = torch_presets.epochs(len(labels), 512, seed)
    return np.array([run.step(pairs[b], labels[b]) for b, _ in zip(batches, range(steps), strict=False)])


def at(losses: np.ndarray, steps: int) -> list[float]:
    """Means over the updates up to each of some steps."""
    return [float(losses[max(0, step - WINDOW) : step].mean()) for step in AT if step <= steps]


PRESETS = (
    "lieberum2021",
    "lieberum2021_s5",
    "pope2022",
    "power2022_figure1a",
    "power2022_figure2a",
)


def compare_first_steps(steps: int, n_seeds: int = 3, *names: str) -> None:
    for name in names or PRESETS:
        found = {
            who: np.array([at(losses(name, seed, steps), steps) for seed in range(n_seeds)])
            for who, losses in (("package", losses_of_package), ("torch", losses_of_torch))
        }
        for i, step in enumerate(step for step in AT if step <= steps):
            ours, theirs = found["package"][:, i], found["torch"][:, i]
            apart = abs(ours.mean() - theirs.mean()) / max(
                np.hypot(ours.std(ddof=1), theirs.std(ddof=1)), 1e-9
            )
            print(
                f"{name:20} step {step:4} ours {format_number(ours)}  torch {format_number(theirs)}  "
                f"apart {apart:.1f} sd",
                flush=True,
            )


def format_number(values: np.ndarray) -> str:
    return f"{values.mean():.4f} [{values.min():.4f}, {values.max():.4f}]"


def package_reaches(name: str, seed: int) -> tuple[int, int]:
    """The first steps, in tens, at which train and validation accuracy are at 99 %."""
    rarely = {"every": 10_000, "until": 10_000, "per_decade": 1}
    often = {"every": EVERY, "until": BUDGET, "per_decade": 1}
    spec = preset(name).seeded(seed)
    spec = spec.replace(
        steps=BUDGET, checkpoints=rarely, measures=[{"name": "curves", "schedule": often}]
    )

    def read() -> Iterator[tuple[int, float, float]]:
        for _, fact in train([spec], [None]):
            if isinstance(fact, Measured):
                one, other = (float(fact.readings[f"{s}_accuracy"].values) for s in ("train", "val"))
                yield fact.step, one, other

    return first_at(read)


def library_reaches(name: str, seed: int) -> tuple[int, int]:
    """The same of the library's decoder, with 5 positions, trained by torch's AdamW."""
    spec = preset(name).seeded(seed)
    n_labels = spec.task.n_labels
    (pairs, labels), (val_pairs, val_labels) = sides(spec)
    torch.manual_seed(1000 + seed)
    library = decoder_of_library(n_labels)
    prompts = torch_presets.Decoder(torch_presets.LIEBERUM, n_labels)

    class Last(torch.nn.Module):
        def forward(self, of: Tensor) -> Tensor:
            return library(prompts.sequence(of))[:, -1]

    optimiser = torch.optim.AdamW(library.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    model = Last()
    run = torch_presets.Trained(model, optimiser)

    @torch.no_grad()
    def accuracy(of: Tensor, correct: Tensor) -> float:
        return float((model(of).argmax(1) == correct).float().mean())

    def read() -> Iterator[tuple[int, float, float]]:
        for step, batch in enumerate(torch_presets.epochs(len(labels), 512, seed), start=1):
            run.step(pairs[batch], labels[batch])
            if step % EVERY == 0:
                yield step, accuracy(pairs, labels), accuracy(val_pairs, val_labels)
            if step == BUDGET:
                return

    return first_at(read)


def first_at(read: Callable[[], Iterator[tuple[int, float, float]]]) -> tuple[int, int]:
    memorised = BUDGET + 1
    for step, of_train, of_val in read():
        if of_train >= 0.99:
            memorised = min(memorised, step)
        if of_val >= 0.99:
            return memorised, step
    return memorised, BUDGET + 1


def compare_with_library(name: str = "lieberum2021", *seeds: str) -> None:
    for seed in map(int, seeds or SEEDS):
        for who, reaches in (("package", package_reaches), ("library", library_reaches)):
            memorised, grokked = reaches(name, seed)
            print(
                f"{who} seed {seed}: train at 99 % at {memorised}, validation at {grokked}", flush=True
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "library":
        compare_with_library(*sys.argv[2:])
    else:
        steps, *more = sys.argv[1:]
        compare_first_steps(int(steps), int(more[0]) if more else 3, *more[1:])
