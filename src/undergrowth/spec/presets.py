"""Published set-ups as run specs: what was trained, as its code trained it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from undergrowth.measures import Curves, Deletion, Norms, Saliency
from undergrowth.models import MLPSpec, TransformerSpec, TwoTokenMLPSpec
from undergrowth.schedules import Schedule
from undergrowth.spec.run import RunSpec
from undergrowth.spec_errors import SpecError, near, shown
from undergrowth.tasks import AnyTask, Group, LeakyRandom, Modular
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.noise import Noise
from undergrowth.training.optimisers import SGD, Adam, AdamW

MEASURES = (Curves(), Norms())
SPARSE = Schedule(every=1000, until=1000, per_decade=8)
ADAMW = AdamW(lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0, warmup_steps=10)
ADAM = Adam(lr=1e-3, betas=(0.9, 0.98), warmup_steps=10)
WHOLE_EPOCHS = MiniBatch(batch_size=512, remainder="kept")
"""Every example once an epoch, whose last batch is smaller."""


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
        whole = [known for known in PRESETS if not known.startswith(f"{FIGURE_2A_NAME}_")]
        hint = near(name, PRESETS) or f"; presets: {', '.join(whole)}"
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


def _power2022_figure1a() -> RunSpec:
    return _power2022().replace(optimiser=ADAM, batch=WHOLE_EPOCHS, steps=1_000_000)


def _power2022_figure2a(**changed: object) -> RunSpec:
    plain = _power2022().replace(
        task=Group(group="S5"), optimiser=ADAM, batch=WHOLE_EPOCHS, steps=100_000
    )
    return plain.replace(**changed)


FIGURE_2A_NAME = "power2022_figure2a"
FIGURE_2A: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "": ("Adam on batches of 512", {}),
    "_full_batch": ("Adam on all examples at once", {"batch": FullBatch()}),
    "_update_noise": (
        "with noise of standard deviation 1 on Adam's update",
        {"noise": Noise(update=1.0)},
    ),
    "_weight_noise": ("with noise of 0.01 on the weights", {"noise": Noise(weight=0.01)}),
    "_dropout": ("with residual dropout of 0.1", {"noise": Noise(residual_dropout=0.1)}),
    "_decay": ("with decay 1 to zero", {"optimiser": ADAMW}),
    "_decay_to_init": (
        "with decay 1 to the initial weights",
        {"optimiser": ADAMW.model_copy(update={"decay_to": "init"})},
    ),
    "_low_rate": ("at 0.3 times the rate", {"optimiser": ADAM.model_copy(update={"lr": 3e-4})}),
    "_high_rate": ("at 3 times the rate", {"optimiser": ADAM.model_copy(update={"lr": 3e-3})}),
}
"""The nine interventions of figure 2a: what follows `FIGURE_2A_NAME` in a preset's name, in words,
and which fields differ from plain Adam."""


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
        optimiser=ADAM,
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


def _pope2022() -> RunSpec:
    return _teddykoker2021_as_run().replace(batch=WHOLE_EPOCHS, steps=15_000)


def _lieberum2021(task: AnyTask, steps: int) -> RunSpec:
    return RunSpec(
        task=task,
        split=LeakyRandom(frac_train=0.5),
        model=TransformerSpec(
            n_layers=2,
            d_head=64,
            layer_norm="pre",
            act_fn="gelu",
            attn_bias="output",
            prompt="x o y =",
            pos_embed="scaled",
            logits="vocabulary",
            unembed_bias=True,
            init_mode="x_transformers",
        ),
        loss="cross_entropy_float32",
        optimiser=ADAMW,
        batch=WHOLE_EPOCHS,
        steps=steps,
        measures=MEASURES,
        checkpoints=SPARSE,
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
            "the vocabulary has only this task's tokens; the paper's budget is 100,000 steps",
            _power2022,
        ),
        Preset(
            "power2022_figure1a",
            "figure 1a of Power et al. 2022: the same with Adam, no decay, for a million steps",
            "the vocabulary has only this task's tokens",
            _power2022_figure1a,
        ),
        *(
            Preset(
                f"{FIGURE_2A_NAME}{arm}",
                f"figure 2a of Power et al. 2022: S5 from half of the pairs, {told}",
                "the vocabulary has only this task's tokens; the figure covers many fractions",
                partial(_power2022_figure2a, **changed),
            )
            for arm, (told, changed) in FIGURE_2A.items()
        ),
        Preset(
            "nanda2023",
            "Nanda et al. 2023, arXiv:2301.05217, addition mod 113 from 30 % of the pairs",
            "exact loss instead of their float64 one; their budget is 50,000 steps",
            _nanda2023,
        ),
        Preset(
            "chughtai2023_mlp",
            "Chughtai et al. 2023, arXiv:2302.03025, the MLP on S5 from 40 % of the pairs",
            "exact loss instead of their float64 one",
            _chughtai2023_mlp,
        ),
        Preset(
            "chughtai2023_transformer",
            "Chughtai et al. 2023, arXiv:2302.03025, the transformer on S5 from 60 % of the pairs",
            "exact loss instead of their float64 one",
            _chughtai2023_transformer,
        ),
        Preset(
            "gromov2023",
            "Gromov 2023, arXiv:2301.02679, addition mod 97, a quadratic network, plain descent",
            "initialised as in Doshi et al. 2024, arXiv:2310.13061; the learning rate is ours",
            _gromov2023,
        ),
        Preset(
            "teddykoker2021",
            "the widely cited replication of 2021 as its title says: division mod 97, pre-norm blocks",
            "4 position embeddings instead of their 5, of which 4 are used",
            _teddykoker2021,
        ),
        Preset(
            "teddykoker2021_as_run",
            "the same as its code does: multiplication, and a residual stream that is overwritten by "
            "its own layer norm",
            "the examples include the pairs with y = 0, which theirs leave out",
            _teddykoker2021_as_run,
        ),
        *(
            Preset(
                f"lieberum2021{name}",
                f"Lieberum's public code of 2021, whose runs the post's comments describe: {told}",
                "4 position embeddings for his 5, of which 4 are used; his budget is 100,000 steps",
                partial(_lieberum2021, task, steps),
            )
            for name, told, task, steps in (
                ("", "addition mod 97", Modular(operation="x+y", p=97), 3_000),
                ("_division", "division mod 97", Modular(operation="x/y", p=97), 6_000),
                ("_s5", "composition in S5", Group(group="S5"), 6_000),
            )
        ),
        Preset(
            "pope2022",
            "Pope's runs in the post's comments, taken to be the replication's code as it is",
            "an inference: both reach full train accuracy near step 400; the examples include the "
            "pairs with y = 0",
            _pope2022,
        ),
        Preset(
            "post",
            "this project's run for the post's questions: addition mod 53, in half a minute",
            "the post gives no set-up of its own",
            _post,
        ),
    )
}
