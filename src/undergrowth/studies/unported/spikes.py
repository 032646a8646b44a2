"""Do loss spikes mark shallow circuits merging into general ones, or rounding? P9 and C12."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import (
    Estimate,
    Verdict,
    across,
    against_matched,
    coincidence,
    effective_number,
    estimate,
    events,
    matched_windows,
    spikes,
)
from undergrowth.analysis.events import DEFAULT_RULES
from undergrowth.losses import LossName
from undergrowth.measures import Collapse, Curves, Fourier, Generality, Norms, Saliency
from undergrowth.models import TransformerSpec
from undergrowth.report.by_arm import Panel, by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.spikes import finite_beginning, spikes_by_arm_figure
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.study import Answer, Budget, Claim, Study
from undergrowth.tasks import CommutationSafe, Modular
from undergrowth.training.interventions import AtStep, Intervention, Kick
from undergrowth.training.optimisers import AdamW

SEEDS: dict[Budget, int] = {"quick": 4, "standard": 16, "full": 10}
DECAYS = (0.0, 1.0)
EPSILON, LARGE_EPSILON = 1e-8, 1e-5
FLOAT32, EXACT = "cross_entropy_float32", "cross_entropy"

KICK_NORM = {0.0: 0.09, 1.0: 0.5}
"""By weight decay: how far the weights move across a float32 spike, as a share of their norm, from the
step before its left to the one after its right: over three spikes of each of seeds 0 to 3, 0.08 to 0.12
(mean 0.09) without decay and 0.36 to 0.69 (mean 0.50) with it."""

VAL_HEIGHT = 0.1
"""Nats of the log by which a spike of the validation loss must rise: it moves far less than training."""

BESIDE = 30
"""Steps within which a validation spike coincides with one of training."""

NOTHING = 0.1
"""Of what a run gains from memorised to its end, the share below which a spike has gained nothing."""


def _measured(curves: int, structure: int, steps: int) -> tuple:
    """All along, evenly: nobody knows beforehand where spikes will be."""
    evenly = Schedule(every=structure, until=steps, per_decade=1)
    return (
        Curves(schedule=Schedule(every=curves, until=steps, per_decade=1)),
        Norms(),
        # A margin is linear in the neurons' gates here, so the gradient is exact.
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

POST = SMALL.replace(
    task=Modular(operation="x/y", p=97),
    split=CommutationSafe(frac_train=0.5),
    model=TransformerSpec(),
    optimiser=AdamW(lr=1e-3, weight_decay=0.0, eps=EPSILON),
    steps=30_000,
    measures=_measured(20, 60, 30_000),
    checkpoints=Schedule(every=5_000, until=30_000, per_decade=1),
)
"""Division mod 97 from half of the pairs: the task of the curves that the post shows, on a split that
does not leak. An hour on a core."""

KICKED_AT = (0.25, 0.5, 0.75)
"""When kicks come, in shares of the run: as far apart as spikes are in `SMALL`."""


@dataclass(frozen=True)
class Arm:
    """What a run was made for: which loss and decay, a large epsilon or not, kicked or not."""

    decay: float
    loss: LossName
    large_epsilon: bool = False
    kicked: bool = False

    @classmethod
    def of(cls, spec: RunSpec) -> Arm:
        """The arm of a run of this study."""
        adam = dict(spec.optimiser)
        kicked = spec.fork is not None
        return cls(adam["weight_decay"], spec.loss, adam["eps"] > 10 * EPSILON, kicked)

    @property
    def place(self) -> tuple:
        """Where it comes in a list: by decay, and float32 before the exact loss."""
        return self.decay, self.loss == EXACT, self.large_epsilon, self.kicked

    @property
    def name(self) -> str:
        """In a few words."""
        loss = {FLOAT32: "float32", EXACT: "exact"}[self.loss]
        extra = (", ε = 1e-5" if self.large_epsilon else "") + (", kicked" if self.kicked else "")
        return f"{loss}, decay {self.decay:g}{extra}"


def runs(budget: Budget, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """For each decay float32 and exact loss, and the exact one kicked; a large epsilon but in quick."""
    base = POST if budget == "full" else SMALL
    arms = [arm for decay in DECAYS for arm in _arms(base, decay, with_epsilon=budget != "quick")]
    n = SEEDS[budget] if seeds is None else seeds
    trunks = [arm.seeded(seed) for arm in arms for seed in range(n)]
    return (*trunks, *(kicked(trunk) for trunk in trunks if Arm.of(trunk).loss == EXACT))


def _arms(base: RunSpec, decay: float, *, with_epsilon: bool) -> list[RunSpec]:
    adam = AdamW(**{**dict(base.optimiser), "weight_decay": decay})
    arms = [base.replace(loss=loss, optimiser=adam) for loss in (FLOAT32, EXACT)]
    if with_epsilon:
        large = AdamW(**{**dict(adam), "eps": LARGE_EPSILON})
        arms.append(base.replace(loss=FLOAT32, optimiser=large))
    return arms


def kicked(trunk: RunSpec) -> RunSpec:
    """The trunk with random kicks as large as what a spike does to the weights, when spikes come."""
    action = Kick(norm=KICK_NORM[Arm.of(trunk).decay], relative=True)
    at = [AtStep(step=round(share * trunk.steps)) for share in KICKED_AT]
    return trunk.forked(at[0], *(Intervention(trigger=step, action=action) for step in at))


@dataclass(frozen=True)
class Structure:
    """A number of a run at each step that rises where many shallow circuits become few general ones."""

    name: str
    says: str
    of: Callable[[Run], xr.DataArray]


def _generality(run: Run) -> xr.DataArray:
    return run["generality_group_sufficient"].sel(side="train").mean("group")


def _concentration(run: Run) -> xr.DataArray:
    salient = run["saliency_median"].sel(side="train")
    return xr.DataArray(-np.log2(effective_number(salient)), {"step": salient["step"]}, ["step"])


def _one_frequency(run: Run) -> xr.DataArray:
    return run["fourier_neuron_share"].mean("neuron")


STRUCTURES = (
    Structure(
        "generality",
        "share of training examples that a tenth of the neurons suffices for",
        _generality,
    ),
    Structure("concentration", "-log2 of the effective number of salient neurons", _concentration),
    Structure(
        "Fourier share",
        "share of a neuron's variance at one frequency, mean over neurons",
        _one_frequency,
    ),
)


@lru_cache(maxsize=1024)
def spikes_of(run: Run) -> pd.DataFrame:
    """The spikes of the loss of its updates after it memorised, as far as that is finite."""
    found = spikes(finite_beginning(run["update_loss"]))
    return found.loc[found["left"] >= _memorised(run)].reset_index(drop=True)


@lru_cache(maxsize=1024)
def _memorised(run: Run) -> int:
    return events(run.curves)["memorised"].first or 0


def _last(run: Run) -> int:
    return int(run["update_loss"]["step"][-1])


def rate(run: Run) -> float:
    """Spikes a 1,000 steps from memorised to the end; 0 of a run that has none."""
    return 1000 * len(spikes_of(run)) / max(1, _last(run) + 1 - _memorised(run))


def coincide(run: Run) -> float:
    """The share of its spikes with a validation spike beside them, minus that of shifted ones.

    NaN where it has no spike.
    """
    memorised, last = _memorised(run), _last(run)
    after = {"steps": (memorised, last), "within": BESIDE}
    validation = spikes(finite_beginning(run["val_loss"]), height=VAL_HEIGHT)["peak"].to_numpy()
    validation = validation[(validation >= memorised) & (validation <= last)]
    found = coincidence(spikes_of(run)["peak"].to_numpy(), validation, **after)
    return found.rate - found.expected


def kicks_of(run: Run, length: int) -> pd.DataFrame:
    """Windows that begin where a run is kicked, or would be were it, as long as spikes are."""
    at = np.array([round(share * run.spec.steps) for share in KICKED_AT])
    return pd.DataFrame({"peak": at, "left": at, "right": at + length})


def excess(run: Run, structure: Structure, windows: pd.DataFrame) -> np.ndarray:
    """For each window: the change across it minus the mean across windows of its length and phase."""
    reading = structure.of(run)
    rng = np.random.default_rng(run.spec.seeds.model)
    matched = matched_windows(windows, steps=(_memorised(run), _last(run)), rng=rng)
    within = int(np.diff(reading["step"].values).max())
    return against_matched(reading, windows, matched, within=within)["excess"].values


@lru_cache(maxsize=1024)
def _onset(run: Run) -> float:
    first = events(run.curves)["onset"].first
    return np.inf if first is None else first


def is_early(run: Run, windows: pd.DataFrame) -> np.ndarray:
    """Whether each began before validation set off; all where it never did."""
    return windows["peak"].to_numpy() < _onset(run)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


Runs = dict[Arm, list[Run]]


def _by_arm(runs: Sequence[Run]) -> Runs:
    found: Runs = {}
    for run in sorted(runs, key=lambda run: (*Arm.of(run.spec).place, run.spec.seeds.model, run.id)):
        found.setdefault(Arm.of(run.spec), []).append(run)
    return found


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P9 and C12; spikes by arm, and what changes across them."""
    arms = _by_arm(runs)
    return Answer(_verdicts(arms), _figures(arms))


def _verdicts(arms: Runs) -> tuple[Verdict, ...]:
    return (
        *(_coincidence(arms, decay) for decay in DECAYS),
        *(_persistence(arms, decay) for decay in DECAYS),
        *(_change(arms, decay, structure) for decay in DECAYS for structure in STRUCTURES),
        *(_against_kicks(arms, decay, structure) for decay in DECAYS for structure in STRUCTURES),
        *(_early(arms, structure) for structure in STRUCTURES),
    )


def _verdict(claim: str, statistic: str, found: Estimate, rule: str, note: str) -> Verdict:
    return Verdict(claim, "spikes", statistic, found, 0.0, rule, note)


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def _told(arms: Runs, arm: Arm) -> str:
    """How many spikes an arm has in how many seeds, or that there is no such run."""
    members = arms.get(arm, [])
    if not members:
        return f"No run with {arm.name}."
    counts = [len(spikes_of(run)) for run in members]
    n, some = sum(counts), sum(count > 0 for count in counts)
    failed = sum(run.status == "failed" for run in members)
    told = f"{plural(n, 'spike')} in {some} of {plural(len(members), 'seed')} ({arm.name})"
    return f"{told}{f', {failed} diverged' if failed else ''}."


def _coincidence(arms: Runs, decay: float) -> Verdict:
    arm = Arm(decay, FLOAT32)
    members = arms.get(arm, [])
    levels = [
        across(run["val_loss"], spikes_of(run), within=_evaluations(run))
        for run in members
        if len(spikes_of(run))
    ]
    changes = [np.log(each["after"].values / each["before"].values) for each in levels]
    moved = _mean(np.concatenate(changes)) if changes else float("nan")
    return _verdict(
        "P9",
        f"share of train spikes with a validation spike within {BESIDE} steps, minus shifted "
        f"({arm.name})",
        estimate(_known([coincide(run) for run in members])),
        "Shifted: the same share when the train spikes are moved circularly by every number of steps "
        f"from memorised to the end. Validation spikes rise by {VAL_HEIGHT} nats of the log or more. "
        "Supported if the interval lies above 0; contradicted if below. Seeds without a spike have no "
        "share.",
        f"{_told(arms, arm)} Across them validation loss changes by a factor of {np.exp(moved):.2g}.",
    )


def _evaluations(run: Run) -> int:
    return int(np.diff(run["val_loss"]["step"].values).max())


def _persistence(arms: Runs, decay: float) -> Verdict:
    """Do spikes remain where nothing is rounded away?"""
    rounded, exact = Arm(decay, FLOAT32), Arm(decay, EXACT)
    rates = [{run.spec.seeds: rate(run) for run in arms.get(arm, [])} for arm in (exact, rounded)]
    both = sorted(set(rates[0]) & set(rates[1]), key=lambda seeds: seeds.model)
    counted = [_told(arms, arm) for arm in (exact, rounded, Arm(decay, FLOAT32, large_epsilon=True))]
    return _verdict(
        "P9",
        f"spikes a 1,000 steps with the exact loss, minus half of those in float32 (decay {decay:g})",
        estimate([rates[0][seeds] - rates[1][seeds] / 2 for seeds in both]),
        "By seed, from memorised to the end; a run without a spike counts as 0. Supported if the "
        "interval lies above 0: most spikes remain, so they are no rounding; contradicted if below: "
        "most are gone.",
        " ".join([*counted, _collapsed(arms, rounded)]).strip(),
    )


def _collapsed(arms: Runs, arm: Arm) -> str:
    """How many examples' gradient is rounded to nothing just before a spike."""
    shares = [
        across(run["collapse_share"].sel(side="train"), found, within=_evaluations(run) + 40)["before"]
        for run in arms.get(arm, [])
        if "collapse_share" in run.names and len(found := spikes_of(run))
    ]
    share = _mean(np.concatenate([s.values for s in shares])) if shares else float("nan")
    if not np.isfinite(share):
        return ""
    return (
        f"Before a spike float32 rounds away the whole gradient of {share:.0%} of the training examples."
    )


@lru_cache(maxsize=4096)
def across_spikes(run: Run, structure: Structure) -> np.ndarray:
    """The excess change across each of its spikes."""
    return excess(run, structure, spikes_of(run))


def _of_spikes(run: Run, structure: Structure) -> float:
    return _mean(across_spikes(run, structure))


EXCESS_RULE = (
    "A seed's mean over its spikes, each minus the mean change across up to 10 windows of the same "
    "run, as long, without a spike, and begun at most 1.25 times as early or late. "
)


def _change(arms: Runs, decay: float, structure: Structure) -> Verdict:
    arm = Arm(decay, FLOAT32)
    values = _known([_of_spikes(run, structure) for run in arms.get(arm, [])])
    return _verdict(
        "P9",
        f"{structure.name}: change across a spike minus across matched windows ({arm.name})",
        estimate(values),
        f"{structure.name.capitalize()}: {structure.says}. {EXCESS_RULE}Supported if the interval "
        "lies above 0; contradicted if below.",
        f"{_told(arms, arm)} {plural(len(values), 'seed')} could be measured.",
    )


def _length(arms: Runs, decay: float) -> int:
    """How long spikes last in float32 at that decay, in the median; 0 where there is none."""
    found = [spikes_of(run) for run in arms.get(Arm(decay, FLOAT32), [])]
    lengths = [length for each in found for length in each["right"] - each["left"]]
    return round(float(np.median(lengths))) if lengths else 0


def _against_kicks(arms: Runs, decay: float, structure: Structure) -> Verdict:
    """Does a spike do more than a random push of its length?"""
    rounded, pushed = Arm(decay, FLOAT32), Arm(decay, EXACT, kicked=True)
    length = _length(arms, decay)
    by_spike = {run.spec.seeds: _of_spikes(run, structure) for run in arms.get(rounded, [])}
    by_kick = {
        run.spec.seeds: _mean(excess(run, structure, kicks_of(run, length)))
        for run in arms.get(pushed, [])
        if length
    }
    both = sorted(set(by_spike) & set(by_kick), key=lambda seeds: seeds.model)
    n = len(arms.get(pushed, []))
    return _verdict(
        "P9",
        f"{structure.name}: excess change across a spike minus across a kick of equal norm (decay "
        f"{decay:g})",
        estimate(_known([by_spike[seeds] - by_kick[seeds] for seeds in both])),
        f"By seed. {EXCESS_RULE}A kick moves the weights of the exact run at random by "
        f"{KICK_NORM[decay]:g} of their norm, as far as a spike does; its windows are as long as "
        "spikes are in the median. Supported if the interval lies above 0: a spike is more than a "
        "push; contradicted if below.",
        f"{_told(arms, rounded)} {len(KICKED_AT) * n} kicks in {plural(n, 'seed')}, mean excess "
        f"{_signed(_mean(np.array(list(by_kick.values()))))}; windows of {length} steps.",
    )


def _signed(value: float) -> str:
    return f"{value:+.3g}" if np.isfinite(value) else "unknown"


def gain(run: Run, structure: Structure) -> float:
    """What a run gains in all, from memorised to its end."""
    reading = structure.of(run)
    return float(reading[-1]) - float(reading.sel(step=_memorised(run), method="nearest"))


def _early(arms: Runs, structure: Structure) -> Verdict:
    """Do spikes before the onset gain nothing towards the general circuit?"""
    arm = Arm(1.0, FLOAT32)
    members = arms.get(arm, [])
    early, late = [], []
    for run in members:
        found = spikes_of(run)
        first, per_spike = is_early(run, found), across_spikes(run, structure)
        early.append(_mean(per_spike[first]))
        late.append(_mean(per_spike[~first]))
    whole = _mean(np.array([gain(run, structure) for run in members]))
    values = [NOTHING * whole - value for value in _known(early)] if whole > 0 else []
    n_late, none = len(_known(late)), sum(np.isinf(_onset(run)) for run in members)
    return _verdict(
        "C12",
        f"{structure.name}: {NOTHING:.0%} of a run's gain minus the excess change across a spike "
        f"before the onset ({arm.name})",
        estimate(values),
        f"{EXCESS_RULE}Onset: {DEFAULT_RULES.describe('onset')}. Gain: from memorised to the end, "
        "mean over seeds; where that is not above 0 there is no estimate. Supported if the interval "
        "lies above 0: early spikes gain next to nothing; contradicted if below.",
        f"Before the onset {_signed(_mean(np.array(early)))} ({plural(len(_known(early)), 'seed')}), "
        f"after it {_signed(_mean(np.array(late)))} ({plural(n_late, 'seed')}); whole gain "
        f"{_signed(whole)}. {none} of {plural(len(members), 'seed')} never set off.",
    )


def _figures(arms: Runs) -> tuple[Figure, ...]:
    examples = {arm.name: members[0] for arm, members in arms.items()}
    rates = {arm.name: [rate(run) for run in them] for arm, them in arms.items() if not arm.kicked}
    return (
        spikes_by_arm_figure(
            examples,
            {name: spikes_of(run) for name, run in examples.items()},
            "In kicked runs the spikes are the kicks.",
        ),
        by_arm_figure(
            "spike-rate",
            "How often each arm spikes",
            [Panel("spikes a 1,000 steps", rates)],
            "From memorised to the end; a run without a spike counts as 0.",
        ),
        *(_changes_figure(arms, decay) for decay in DECAYS if Arm(decay, FLOAT32) in arms),
    )


def _changes_figure(arms: Runs, decay: float) -> Figure:
    """What changes across spikes, early and late, beside kicks and beside nothing."""
    length = _length(arms, decay)
    panels = []
    for structure in STRUCTURES:
        rows: dict[str, list[float]] = {}
        for run in arms.get(Arm(decay, FLOAT32), []):
            found = spikes_of(run)
            per_spike, first = across_spikes(run, structure), is_early(run, found)
            rows.setdefault("spike before the onset", []).append(_mean(per_spike[first]))
            rows.setdefault("spike after the onset", []).append(_mean(per_spike[~first]))
        for name, arm in (
            ("random kick, exact loss", Arm(decay, EXACT, kicked=True)),
            ("nothing, exact loss", Arm(decay, EXACT)),
        ):
            rows[name] = [
                _mean(excess(run, structure, kicks_of(run, length)))
                for run in arms.get(arm, [])
                if length
            ]
        panels.append(Panel(f"{structure.name}: excess change", rows))
    return by_arm_figure(
        f"across-spikes-decay-{decay:g}",
        f"What changes across a spike beyond matched windows, decay {decay:g}",
        panels,
        " ".join(f"{s.name.capitalize()}: {s.says}." for s in STRUCTURES)
        + f" {EXCESS_RULE}Kicks move the weights by {KICK_NORM[decay]:g} of their norm; nothing: the "
        f"same windows of the runs that were not kicked, {length} steps long, as spikes are in the "
        "median.",
    )


STUDY = Study(
    name="spikes",
    question="Are spikes of the loss shallow circuits merging into general ones, or rounding?",
    claims=(
        Claim(
            "P9",
            "Spikes of train loss coincide with spikes of validation loss, and mark many shallow "
            "circuits being replaced by fewer, more general ones.",
        ),
        Claim("C12", "The early spikes are failed attempts to find the one general circuit."),
    ),
    predictions={
        "unification events": (
            "Spikes come with circuits merging, however the loss is rounded: they persist with the "
            "exact loss; generality, concentration and Fourier share rise across them by more than "
            "across matched windows and random kicks of equal norm; and each has a validation spike."
        ),
        "failed attempts": (
            "Spikes persist with the exact loss; those before the onset leave generality and Fourier "
            "share where they were."
        ),
        "slingshot": (
            "Spikes are Adam's own and persist with the exact loss, fewer or none with ε = 1e-5; "
            "features move at spikes only, and without decay there is no grokking without them "
            "(Thilak et al. 2022, arXiv:2206.04817)."
        ),
        "softmax collapse": (
            "Spikes come once float32 rounds gradients to zero (Prieto et al. 2025, arXiv:2501.04697; "
            "Liu et al. 2026, arXiv:2605.06152): none with the exact loss, none with ε = 1e-5; what "
            "changes across them changes across a kick of equal norm too."
        ),
    },
    runs=runs,
    answer=answer,
    needs={
        "saliency_median": "saliency",
        "generality_group_sufficient": "generality",
        "fourier_neuron_share": "fourier",
    },
)  # fmt: skip
