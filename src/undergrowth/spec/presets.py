"""Published set-ups as run specs: what was trained, as its code trained it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from undergrowth.measures import Curves, Deletion, Norms, Saliency
from undergrowth.models import MLPSpec, TransformerSpec, TwoTokenMLPSpec
from undergrowth.schedules import Schedule
from undergrowth.spec.run import RunSpec
from undergrowth.spec_errors import SpecError, near, shown
from undergrowth.tasks import Group, LeakyRandom, Modular
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.optimisers import SGD, Adam, AdamW

MEASURES = (Curves(), Norms())
SPARSE = Schedule(every=1000, until=1000, per_decade=8)
ADAMW = AdamW(lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0, warmup_steps=10)


@dataclass(frozen=True)
class Preset:
    """A named set-up: its source, where it differs from it, and the run."""

    name: str
    source: str
    differs: str
    make: Callable[[], RunSpec]


def preset(name: str) -> RunSpec:
    """The run of a preset, with all seeds 0; raises SpecError with the names there are.

    >>> preset("nanda2023").task.describe()
    'x+y mod 113'
    """
    if not isinstance(name, str) or name not in PRESETS:
        hint = near(name, PRESETS) or f"; there are {', '.join(PRESETS)}"
        raise SpecError(f"preset = {shown(name)}: no such preset{hint}")
    return PRESETS[name].make()


def _power2022() -> RunSpec:
    return RunSpec(
        task=Modular(operation="x/y", p=97),
        split=LeakyRandom(frac_train=0.5),
        model=TransformerSpec(
            n_layers=2,
            layer_norm="post",
            mlp_bias=False,
            prompt="<eos> x o y =",
            pos_embed="sinusoidal",
            logits="vocabulary",
            init_mode="torch_linear",
        ),
        loss="cross_entropy_float32",
        optimiser=ADAMW,
        batch=MiniBatch(batch_size=512),
        steps=20_000,
        measures=MEASURES,
        checkpoints=SPARSE,
    )


def _nanda2023() -> RunSpec:
    return RunSpec(
        task=Modular(operation="x+y", p=113),
        split=LeakyRandom(frac_train=0.3),
        model=TransformerSpec(logits="vocabulary"),
        optimiser=ADAMW,
        batch=FullBatch(),
        steps=20_000,
        measures=MEASURES,
        checkpoints=SPARSE,
    )


def _chughtai2023_mlp() -> RunSpec:
    return RunSpec(
        task=Group(group="S5"),
        split=LeakyRandom(frac_train=0.4),
        model=TwoTokenMLPSpec(d_embed=256, d_mlp=128),
        optimiser=ADAMW.model_copy(update={"warmup_steps": 0}),
        batch=FullBatch(),
        steps=250_000,
        measures=MEASURES,
        checkpoints=SPARSE,
    )


def _chughtai2023_transformer() -> RunSpec:
    return RunSpec(
        task=Group(group="S5"),
        split=LeakyRandom(frac_train=0.6),
        model=TransformerSpec(attn_bias=True, init_scale=0.8),
        optimiser=ADAMW.model_copy(update={"warmup_steps": 0}),
        batch=FullBatch(),
        steps=50_000,
        measures=MEASURES,
        checkpoints=SPARSE,
    )


def _gromov2023() -> RunSpec:
    return RunSpec(
        task=Modular(operation="x+y", p=97),
        split=LeakyRandom(frac_train=0.5),
        model=MLPSpec(d_mlp=500, n_hidden=1, act_fn="square", bias=False, init_mode="doshi"),
        loss="mse",
        optimiser=SGD(lr=300.0, warmup_steps=0),  # of a loss that is a mean over 97 labels
        batch=FullBatch(),
        steps=3_000,
        measures=MEASURES,
        checkpoints=SPARSE,
    )


def _teddykoker2021() -> RunSpec:
    return RunSpec(
        task=Modular(operation="x/y", p=97),
        split=LeakyRandom(frac_train=0.5),
        model=TransformerSpec(
            n_layers=2,
            layer_norm="pre",
            act_fn="gelu",
            attn_bias=True,
            prompt="x o y =",
            logits="vocabulary",
            init_mode="torch",
        ),
        loss="cross_entropy_float32",
        optimiser=Adam(lr=1e-3, betas=(0.9, 0.98), warmup_steps=10),
        batch=MiniBatch(batch_size=512),
        steps=300_000,
        measures=MEASURES,
        checkpoints=SPARSE,
    )


def _teddykoker2021_as_run() -> RunSpec:
    titled = _teddykoker2021()
    return titled.replace(
        task=Modular(operation="x*y", p=97),
        model=TransformerSpec.model_validate({**dict(titled.model), "residual_from_layer_norm": True}),
    )


def _post() -> RunSpec:
    return RunSpec(
        measures=(
            *MEASURES,
            # A centred logit is linear in the neurons' gates here: two nodes are exact.
            Saliency(n_nodes=2, schedule=Schedule(every=100, until=100, per_decade=12)),
            Deletion(n_nodes=2, repeats=1, schedule=Schedule(every=100, until=100, per_decade=8)),
        ),
    )


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "power2022",
            "Power et al. 2022, arXiv:2201.02177, division mod 97 from half of the pairs, with decay",
            "the vocabulary holds this task's tokens alone; their budget is 100,000 steps",
            _power2022,
        ),
        Preset(
            "nanda2023",
            "Nanda et al. 2023, arXiv:2301.05217, addition mod 113 from 30 % of the pairs",
            "exact loss for their float64 one; their budget is 50,000 steps",
            _nanda2023,
        ),
        Preset(
            "chughtai2023_mlp",
            "Chughtai et al. 2023, arXiv:2302.03025, the MLP on S5 from 40 % of the pairs",
            "exact loss for their float64 one",
            _chughtai2023_mlp,
        ),
        Preset(
            "chughtai2023_transformer",
            "Chughtai et al. 2023, arXiv:2302.03025, the transformer on S5 from 60 % of the pairs",
            "exact loss for their float64 one",
            _chughtai2023_transformer,
        ),
        Preset(
            "gromov2023",
            "Gromov 2023, arXiv:2301.02679, addition mod 97 by a quadratic network, plain descent",
            "initialised as by Doshi et al. 2024, arXiv:2310.13061; the learning rate is ours",
            _gromov2023,
        ),
        Preset(
            "teddykoker2021",
            "the widely shown replication of 2021 as its title has it: division mod 97, pre-norm blocks",
            "4 rows of positions for their 5, of which 4 are read",
            _teddykoker2021,
        ),
        Preset(
            "teddykoker2021_as_run",
            "the same as its code has it: multiplication, and a residual stream that is overwritten by "
            "its own layer norm",
            "the pairs with y = 0 are among the examples, which theirs leave out",
            _teddykoker2021_as_run,
        ),
        Preset(
            "post",
            "the run that this project asks the post's questions of: addition mod 53, in half a minute",
            "the post names no set-up of its own",
            _post,
        ),
    )
}
