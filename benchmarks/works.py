"""What is trained in the benchmark: published set-ups, and what each is compared to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks import flops
from benchmarks.rows import Bar
from undergrowth.measures import Curves
from undergrowth.models import TransformerSpec, TwoTokenMLPSpec
from undergrowth.models.prompts import n_special
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.tasks import Modular, Tokens
from undergrowth.training.batches import MiniBatch
from undergrowth.training.optimisers import AdamW

Style = Literal["modules", "einsums"]
"""How PyTorch is written: by nn.Linear, which is faster, or by einsums over heads, which many choose."""
TORCH, PLAIN_JAX = "benchmarks.torch_training", "benchmarks.plain_jax"


@dataclass(frozen=True)
class Work:
    """stretch: our steps between two looks at the clock; reference: the module that trains it plainly,
    in a style of its own, reference_stretch its steps; rounds: how often the two take turns.
    """

    name: str
    spec: Callable[[], RunSpec]
    stretch: int
    bars: tuple[Bar, ...] = ()
    reference: str | None = None
    style: Style = "modules"
    reference_stretch: int = 0
    rounds: int = 5
    note: str = ""


def smallest(steps: int) -> RunSpec:
    """A run that does least, and yet trains, is measured and keeps its first and last checkpoint."""
    ends = Schedule(every=steps, until=steps)
    return RunSpec(
        task=Modular(p=5),
        model=TwoTokenMLPSpec(d_embed=4, d_mlp=6),
        steps=steps,
        measures=(Curves(schedule=ends),),
        checkpoints=ends,
    )


def tiny() -> RunSpec:
    """A run of milliseconds: what is around the products counts here, not they."""
    return RunSpec(
        task=Modular(p=53),
        model=TwoTokenMLPSpec(d_embed=12, d_mlp=48),
        optimiser=AdamW(lr=1e-3, weight_decay=1.0),
        batch=MiniBatch(batch_size=128),
        steps=2000,
    )


WORKS = (
    Work(
        "1 layer, d 128, p 113, full batch (nanda2023)",
        lambda: preset("nanda2023"),
        stretch=20,
        bars=(Bar("ratio", at_least=8), Bar("limit_fraction", at_least=0.75)),
        reference=TORCH,
        style="einsums",
        reference_stretch=5,
        note="PyTorch by einsums, as published",
    ),
    Work(
        "1 layer, d 128, p 113, full batch, beside nn.Linear",
        lambda: preset("nanda2023"),
        stretch=20,
        reference=TORCH,
        reference_stretch=8,
        note="PyTorch by nn.Linear",
    ),
    Work(
        "2 layers, d 128, p 97, batch 512 (power2022)",
        lambda: preset("power2022"),
        stretch=30,
        bars=(Bar("ratio", at_least=3), Bar("limit_fraction", at_least=0.75)),
        reference=TORCH,
        reference_stretch=20,
        note="PyTorch by nn.Linear",
    ),
    Work(
        "2 layers, d 128, heads of 64, GELU, p 97, batch 512 (lieberum2021)",
        lambda: preset("lieberum2021"),
        stretch=30,
        bars=(Bar("limit_fraction", at_least=0.75),),
    ),
    Work(
        "two-token MLP, S5, h 128, full batch (chughtai2023_mlp)",
        lambda: preset("chughtai2023_mlp"),
        stretch=50,
        bars=(Bar("ratio", at_least=2.5), Bar("ours", at_most=9, unit=" ms")),
        reference=PLAIN_JAX,
        reference_stretch=40,
        note="plain JAX",
    ),
    Work(
        "tiny MLP, p 53, d 12, h 48, batch 128",
        tiny,
        stretch=2000,
        bars=(Bar("ours", at_most=1 / 15, unit=" ms (15,000 steps/s)"),),
        rounds=8,
        note="whole runs of 2,000 steps, each with its start and a measurement at both ends",
    ),
    Work("1 layer, d 128, p 53, 70 % (the demo)", RunSpec, stretch=20),
)


def n_logits(spec: RunSpec) -> int:
    """Columns of the unembedding: a transformer may have some for its special tokens too."""
    n_labels, model = spec.task.n_labels, spec.model
    if isinstance(model, TransformerSpec) and model.logits == "vocabulary":
        return n_labels + n_special(model.prompt)
    return n_labels


def essential_flop(spec: RunSpec) -> int | None:
    """Essential operations of one step of a run; None for a model that is not counted."""
    space, model = spec.task.input_space, spec.model
    if not isinstance(space, Tokens):
        return None
    whole = not isinstance(spec.batch, MiniBatch)
    n_examples = spec.data().n_train if whole else spec.batch.batch_size
    sizes = {"n_examples": n_examples, "n_operands": space.n_operands, "n_labels": n_logits(spec)}
    if isinstance(model, TransformerSpec):
        shape = {"n_layers": model.n_layers, "d_model": model.d_model, "d_mlp": model.d_mlp}
        d_attn = model.n_heads * model.d_head
        return flops.transformer(prompt=model.prompt.split(), **sizes, **shape, d_attn=d_attn)
    if isinstance(model, TwoTokenMLPSpec):
        return flops.two_token_mlp(**sizes, d_embed=model.d_embed, d_mlp=model.d_mlp)
    return None
