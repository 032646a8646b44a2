"""Mutated spec files: each is refused in one line, or is a run that survives writing and has sound data.

python -m tests.campaigns.specs --n 10000 --seed 0
"""

from __future__ import annotations

import copy
import json
import random
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tomli_w

from tests.campaigns.command import parser, tell
from undergrowth.engine import train
from undergrowth.engine.facts import Diverged, Measured, Stepped
from undergrowth.spec import RunSpec, SpecError
from undergrowth.spec.file import read_runs
from undergrowth.sweep.pool import cache
from undergrowth.sweep.worker import configure

LONGEST = 400
LEAKS = re.compile(
    r"pydantic|Traceback|\b(Type|Value|Key|Index|Attribute|Overflow|Recursion|Validation)Error\b"
    r"|errors\.pydantic|\[type="
)
"""What no message may name: the library that checks, and Python's exceptions."""

AT_1 = {"name": "at_step", "step": 1}
COSINE = {"name": "cosine", "steps": 9}
SEEDS: tuple[dict[str, Any], ...] = (
    {},
    {
        "steps": 2,
        "task": {"name": "modular", "p": 5, "operation": "x+y"},
        "split": {"name": "leaky_random", "frac_train": 0.6},
        "model": {"name": "two_token_mlp", "d_embed": 4, "d_mlp": 6},
        "optimiser": {"name": "adamw", "lr": 0.01, "betas": [0.9, 0.98], "weight_decay": 0.1},
        "measures": [
            {"name": "curves", "schedule": {"every": 1, "until": 2, "per_decade": 1}},
            {"name": "norms"},
            {"name": "areas", "prefix": "bands", "kind": "sum_band", "draws": 3},
        ],
        "checkpoints": {"every": 1, "until": 2, "per_decade": 1, "windows": [{"start": 0, "stop": 2}]},
        "seeds": {"model": 1, "data": 2, "noise": 3},
    },
    {
        "steps": 2,
        "labels": "shuffled",
        "label_noise": 0.2,
        "loss": "mse",
        "temperature": 0.5,
        "task": {"name": "group", "group": "S3", "operation": "xyx"},
        "model": {"name": "transformer", "d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 6},
        "optimiser": {"name": "muon", "lr": 0.02, "filter": {"name": "grokfast_ema", "lamb": 1.0}},
        "noise": {"gradient": 0.1, "weight": 0.01, "dropout": 0.1},
        "batch": {"name": "with_replacement", "batch_size": 4},
        "weights": {"name": "power_law", "exponent": 0.5, "by": "sampling"},
        "measures": [{"name": "curves"}],
    },
    {
        "steps": 2,
        "task": {"name": "sparse_parity", "n_bits": 5, "k": 2, "n_examples": 32},
        "model": {"name": "mlp", "d_mlp": 6, "n_hidden": 1, "init_scale": 0.5},
        "optimiser": {
            "name": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "annealing": {"name": "cosine", "steps": 9},
        },
        "batch": {"name": "mini", "batch_size": 4},
        "weights": {"name": "of_noisy", "weight": 0.25},
        "label_noise": 0.3,
        "interventions": [
            {
                "trigger": {"name": "at_step", "step": 1},
                "action": {"name": "scale_learning_rate", "factor": 5.0},
            },
            {
                "trigger": {"name": "at_step", "step": 1},
                "action": {"name": "set_temperature", "temperature": 2.0},
            },
            {
                "trigger": {"name": "after_intervention", "intervention": 0, "steps": 1},
                "action": {"name": "kick", "norm": 0.5},
            },
        ],
    },
    {
        "steps": 2,
        "task": {"name": "table", "csv": "x,y,label\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n", "title": "xor"},
        "split": {"name": "leaky_random", "frac_train": 0.5},
        "model": {"name": "mlp", "d_mlp": 4, "n_hidden": 1},
        "weights": {"name": "given", "values": [1.0, 2.0, 0.5, 1.0]},
        "interventions": [
            {
                "trigger": {"name": "when_crosses", "reading": "val_loss", "level": 0.5},
                "action": {"name": "set_noise", "gradient": 0.1},
            },
            {"trigger": {"name": "at_step", "step": 0}, "action": {"name": "clamp_norm", "norm": 0.9}},
            {
                "trigger": {"name": "at_step", "step": 1},
                "action": {"name": "ablate", "components": {"choice": "random", "n": 1}},
            },
        ],
    },
    {
        "steps": 2,
        "fork": {"of": "0123456789abcdef", "at": {"name": "at_step", "step": 1}},
        "task": {"name": "gridworld", "side": 3},
        "model": {"name": "mlp", "d_mlp": 4, "n_hidden": 1},
        "split": {"name": "whole_groups", "frac_train": 0.6},
    },
)
"""Valid specs that together have most fields."""

EXTREMES: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**63, -(2**63), 10**12),
    *(0.0, -0.0, 0.5, 1.0, 1e-3, 1e-30, 1.2e-38, 1e-38, 1e-45, 1e-308, 5e-324),
    *(1e10, 1e30, 3.4e38, 1e39, 1e300, 1e308, -1e308, float("inf"), float("-inf"), float("nan")),
    *(
        True,
        False,
        "",
        "a",
        "true",
        "12",
        "*",
        "adamw",
        "Curves",
        "saliency",
        "é",
        "𝔘",
        "\u202e",
        "a\nb",
    ),
    *("\x00", "x" * 300, "../x", "name", [], {}, [1], [[]], {"name": "curves"}, {"name": "no"}, [{}]),
)
WORDS = (
    "name",
    "steps",
    "lr",
    "learning_rate",
    "epochs",
    "wd",
    "seed",
    "p",
    "csv",
    "path",
    "__class__",
    "é",
)
TEXTS = ("\ufeff", "\x00", "\n", "[", "]", "[[", "=", '"', "'", "#", "[[interventions]]\n", "[task]\n")


def mutated(rng: random.Random) -> str:
    """The text of a spec file that was valid before it was changed in one place or several."""
    spec = copy.deepcopy(rng.choice(SEEDS))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(CHANGES)(spec, rng)
    text = _as_toml(spec)
    return _cut_up(text, rng) if rng.random() < 0.15 else text


def _as_toml(spec: dict[str, Any]) -> str:
    return tomli_w.dumps(spec)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a tree of tables and lists."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _somewhere(spec: dict[str, Any], rng: random.Random) -> tuple[Any, Any] | None:
    places = list(_places(spec))
    return rng.choice(places) if places else None


def _another_value(spec: dict[str, Any], rng: random.Random) -> None:
    place = _somewhere(spec, rng)
    if place:
        place[0][place[1]] = copy.deepcopy(rng.choice(EXTREMES))


def _a_number_of_its_kind(spec: dict[str, Any], rng: random.Random) -> None:
    """An extreme of the same type, which gets further than another type."""
    numbers = [(c, k) for c, k in _places(spec) if type(c[k]) in (int, float)]
    if numbers:
        container, key = rng.choice(numbers)
        alike = [x for x in EXTREMES if type(x) is type(container[key])]
        container[key] = rng.choice(alike)


def _a_typo(spec: dict[str, Any], rng: random.Random) -> None:
    """A letter of a key or of a text left out, doubled, in another case or swapped."""
    place = _somewhere(spec, rng)
    if place is None:
        return
    container, key = place
    if isinstance(container, dict) and rng.random() < 0.5:
        container[_misspelt(key, rng)] = container.pop(key)
    elif isinstance(container[key], str):
        container[key] = _misspelt(container[key], rng)


def _misspelt(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at : at + 1] * 2 + word[at + 1 :],
            word.upper(),
            word.title(),
            word.replace("_", "-"),
            word[:at] + rng.choice("eé_ .-\"'") + word[at:],
        )
    )


def _left_out(spec: dict[str, Any], rng: random.Random) -> None:
    place = _somewhere(spec, rng)
    if place:
        del place[0][place[1]]


def _one_more(spec: dict[str, Any], rng: random.Random) -> None:
    """A key that belongs elsewhere, or nowhere."""
    tables = [spec, *(c[k] for c, k in _places(spec) if isinstance(c[k], dict))]
    fields = [*WORDS, *RunSpec.model_fields]
    rng.choice(tables)[rng.choice(fields)] = copy.deepcopy(rng.choice(EXTREMES))


def _swapped(spec: dict[str, Any], rng: random.Random) -> None:
    one, other = _somewhere(spec, rng), _somewhere(copy.deepcopy(rng.choice(SEEDS)), rng)
    if one and other:
        one[0][one[1]] = copy.deepcopy(other[0][other[1]])


def _nested(spec: dict[str, Any], rng: random.Random) -> None:
    place = _somewhere(spec, rng)
    if place:
        for _ in range(rng.choice((1, 2, 30, 60))):
            inner = place[0][place[1]]
            place[0][place[1]] = [inner] if rng.random() < 0.5 else {"a": inner}


def _doubled(spec: dict[str, Any], rng: random.Random) -> None:
    lists = [c[k] for c, k in _places(spec) if isinstance(c[k], list) and c[k]]
    if lists:
        chosen = rng.choice(lists)
        chosen.extend(copy.deepcopy(chosen) * rng.choice((1, 1, 40)))


CHANGES: tuple[Callable[[dict[str, Any], random.Random], None], ...] = (
    *(_another_value, _another_value, _a_number_of_its_kind, _a_number_of_its_kind),
    *(_a_number_of_its_kind, _a_typo, _a_typo, _left_out, _one_more, _swapped, _nested, _doubled),
)


def _cut_up(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return rng.choice(
        (
            text[:at],
            text[:at] + rng.choice(TEXTS) + text[at:],
            "\ufeff" + text,
            text.replace("\n", "\r\n"),
            text + f"\nsteps = {'9' * 5001}\n",
            "".join(rng.sample(text.splitlines(keepends=True), len(text.splitlines()))),
            bytes(rng.randrange(256) for _ in range(60)).decode("latin-1"),
        )
    )


def outcome(text: str, trains: bool) -> tuple[str, str]:
    """How a spec file fared, and what is wrong with that: empty where all is well."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _outcome(text, trains)
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"[:300]


def _outcome(text: str, trains: bool) -> tuple[str, str]:
    try:
        runs = read_runs(text)
        data = [spec.data() for spec in runs]
    except SpecError as error:
        return "refused", unlike_a_line(str(error))
    for spec, of_spec in zip(runs, data, strict=True):
        wrong = _unwritten(spec) or _unsound(spec, of_spec)
        if wrong:
            return "accepted", wrong
    if trains and all(map(_is_small, runs)):
        return _trained(runs[0])
    return "accepted", ""


def unlike_a_line(told: str) -> str:
    """What keeps a message from being one plain line: empty where nothing does."""
    if len(told.splitlines()) != 1 or not told.isprintable():
        return f"not one printable line: {told!r}"[:300]
    if len(told) > LONGEST:
        return f"{len(told)} characters: {told[:200]}"
    return f"names what is inside: {told}" if LEAKS.search(told) else ""


def _unwritten(spec: RunSpec) -> str:
    by_toml, by_json = RunSpec.from_toml(spec.to_toml()), json.loads(spec.model_dump_json())
    if by_toml.id != spec.id or RunSpec.from_dict(by_json).id != spec.id:
        return "another id once written and read"
    return ""


def _unsound(spec: RunSpec, data: Any) -> str:
    n = len(spec.task.examples())
    arrays = (data.labels, data.is_train, data.is_val, data.is_noisy, data.weights, data.inputs)
    if any(len(array) != n for array in arrays):
        return "arrays that are not of one length"
    if not (np.isfinite(data.weights).all() and np.isfinite(data.inputs).all()):
        return "numbers that are not finite"
    if (data.weights < 0).any() or not data.weights[data.is_train].any():
        return "weights below 0, or all of them 0"
    if data.labels.min() < 0 or data.labels.max() >= spec.task.n_labels:
        return "labels out of range"
    if (data.is_train & data.is_val).any() or not data.is_train.any() or not data.is_val.any():
        return "sides that overlap or are empty"
    return ""


def _is_small(spec: RunSpec) -> bool:
    sizes = [value for name, value in spec.model if name.startswith(("d_", "n_")) and type(value) is int]
    return (
        spec.fork is None
        and len(spec.task.examples()) <= 5000
        and all(size <= 300 for size in sizes)
        and {m.name for m in spec.measures} <= {"curves", "norms", "areas"}
        and (spec.batch.batch_size or 0) <= 5000
    )


def _trained(spec: RunSpec) -> tuple[str, str]:
    """Two steps of a run: finite numbers, or marked as diverged."""
    steps = min(spec.steps, 2)
    due = [i for i in spec.interventions if getattr(i.trigger, "step", 0) < steps]
    short = spec if spec.steps <= 2 else spec.replace(steps=steps, interventions=due)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a weight may overflow, and the run diverges
        facts = [fact for _, fact in train([short], [None])]
    if any(isinstance(fact, Diverged) for fact in facts):
        return "diverged", ""
    losses = [fact.losses for fact in facts if isinstance(fact, Stepped)]
    curves = [
        fact.readings[name].values
        for fact in facts
        if isinstance(fact, Measured)
        for name in ("train_loss", "val_loss")
        if name in fact.readings
    ]
    if not all(np.isfinite(values).all() for values in losses[:-1]):
        return "trained", "a loss that is not finite in a run that has not diverged"
    if not np.isfinite(curves[0]).all():
        return "trained", "a first reading that is not finite"
    return "trained", ""


def campaign(n: int, seed: int, train_every: int = 100) -> tuple[Counter[str], list[str]]:
    """How many of n spec files fared how; and the failures, each with its text."""
    tally: Counter[str] = Counter()
    failures: list[str] = []
    for i in range(n):
        text = mutated(random.Random(f"{seed}-{i}"))
        how, wrong = outcome(text, trains=i % train_every == 0)
        tally[how] += 1
        if wrong:
            failures.append(f"case {i}, {how}: {wrong}\n{text[:1500]}")
    return tally, failures


def main() -> None:
    """Run a campaign and say how it went."""
    arguments = parser(__doc__, 10_000)
    arguments.add_argument("--train-every", type=int, default=100)
    given = arguments.parse_args()
    configure(cache())  # most of the time goes into compiling
    raise SystemExit(tell("specs", given.seed, *campaign(given.n, given.seed, given.train_every)))


if __name__ == "__main__":
    main()
