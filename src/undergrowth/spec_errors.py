"""What is wrong with a spec, in one line: place, value, rule, and the nearest known name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

LONGEST = 60
"""Characters of a value that a message shows."""

MOST_LISTED = 180
"""Characters of a list of names that a message shows."""

SYNONYMS = {
    "lr": ("learning_rate", "rate", "step_size", "eta", "alpha"),
    "weight_decay": ("wd", "decay", "l2", "lambda", "weightdecay"),
    "betas": ("beta", "beta1", "beta2", "b1", "b2"),
    "eps": ("epsilon",),
    "momentum": ("mom", "mu"),
    "warmup_steps": ("warmup", "warm_up", "n_warmup"),
    "steps": ("epochs", "n_steps", "n_epochs", "num_steps", "num_epochs", "max_steps", "iterations"),
    "batch_size": ("size", "bs", "batchsize", "minibatch"),
    "frac_train": ("train_frac", "train_fraction", "fraction", "frac", "train_share", "share"),
    "p": ("mod", "modulus", "prime", "n"),
    "operation": ("op", "formula", "function"),
    "d_model": ("width", "dim", "hidden_dim", "embed_dim", "d_embed"),
    "d_mlp": ("hidden", "hidden_size", "n_neurons", "neurons", "d_hidden", "d_ff", "width"),
    "n_heads": ("heads", "num_heads", "n_head"),
    "n_layers": ("layers", "num_layers", "n_layer", "depth"),
    "n_hidden": ("layers", "n_layers", "num_layers", "depth"),
    "act_fn": ("activation", "nonlinearity", "act"),
    "seeds": ("seed", "rng"),
    "optimiser": ("optimizer", "optim", "opt"),
    "checkpoints": ("checkpoint", "save", "saves", "checkpoint_every"),
    "measures": ("measure", "metrics", "metric"),
    "interventions": ("intervention", "events"),
    "task": ("data", "dataset"),
    "loss": ("criterion", "objective", "loss_fn"),
    "temperature": ("temp", "tau"),
    "label_noise": ("noise_labels", "corruption"),
    "every": ("interval", "period"),
    "csv": ("text", "content"),
    "path": ("file", "filename"),
    "factor": ("by", "multiplier", "scale"),
    "values": ("weights",),
}
"""For each spec field, what others call it; used as a hint only where that field is known."""

NO_TABLE = ("model_type", "model_attributes_type", "dict_type", "dataclass_type")


OPEN = "x-open"
"""In a JSON schema: that kinds may be added to those of a value (`kinds.OneOf`)."""


class SpecError(ValueError):
    """A spec that cannot be run; the message is one line with the value, the rule and the remedy."""


class UnknownKindError(SpecError):
    """A spec with a name of a kind that is not known here; named: place and name, `task.name = 'x'`."""

    def __init__(self, message: str, named: str) -> None:
        super().__init__(message)
        self.named = named


def refusal(error: ValidationError, of: type[BaseModel]) -> SpecError:
    """What to raise for a value that is not possible."""
    if (detail := unknown_kind(error)) is None:
        return SpecError(explain(error, of))
    place, schema = _followed(of, detail["loc"])
    if not schema.get(OPEN):
        return SpecError(explain(error, of))
    name = detail.get("ctx", {}).get("tag")
    return UnknownKindError(explain(error, of), f"{place}.name = {shown(name)}")


def unknown_kind(error: ValidationError) -> ErrorDetails | None:
    """Where in a value there is a kind that is not known; None where there is none."""
    told = error.errors(include_url=False)
    return next((detail for detail in told if detail["type"] == "union_tag_invalid"), None)


def explain(error: ValidationError, of: type[BaseModel]) -> str:
    """The first thing wrong, in one line: place, value, rule, and the nearest known name."""
    others = error.error_count() - 1
    return _told(error.errors()[0], of) + (f" (and {others} more)" if others else "")


def _told(detail: ErrorDetails, of: type[BaseModel]) -> str:
    kind, given = detail["type"], shown(detail["input"])
    if kind == "extra_forbidden":
        return _unknown_key(detail, of)
    if kind == "missing":
        return _missing(detail, of)
    place, schema = _followed(of, detail["loc"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_kind(detail, place, schema)
    message = " ".join(detail["msg"].removeprefix("Value error, ").split())
    if kind == "value_error":
        return f"{place}: {message}" if place else message
    if kind in NO_TABLE:
        return f"{place or 'the spec'} = {given}: {_a_table(detail['input'], schema)}"
    near = near_or_quoted(detail["input"], schema.get("enum", ()))
    return f"{place or 'the spec'} = {given}: {message[0].lower()}{message[1:]}{near}"


def _a_table(given: object, schema: Mapping[str, Any]) -> str:
    """What to write where a table is wanted: of a kind by its name, where there are kinds."""
    kinds = schema.get("discriminator", {}).get("mapping", {})
    if not kinds:
        fields = ", ".join(list(schema.get("properties", {}))[:4])
        return f"input should be a table: write {{ ... }}{f' with {fields}' if fields else ''}"
    name = _nearest(given, kinds) if isinstance(given, str) else None
    hint = f'write {{ name = "{name or next(iter(kinds))}" }}'
    known = "" if name else f"; known names: {_listed(kinds)}"
    return f"input should be a table: {hint}{known}"


def _unknown_key(detail: ErrorDetails, of: type[BaseModel]) -> str:
    key = str(detail["loc"][-1])
    place, schema = _followed(of, detail["loc"][:-1])
    known = list(schema.get("properties", {}))
    where = f"{place}.{shown_name(key)}" if place else shown_name(key)
    told = f"{where} = {shown(detail['input'])}: unknown key {shown(key)}"
    if place and _is_of_the_run(key, of):
        return (
            f"{told}; it is a key of the run, but in TOML everything after a [table] or [[table]] "
            "header belongs to that table: move it above the first header"
        )
    return told + (near(key, known) or f"; known keys: {_listed(sorted(known), str)}")


def _is_of_the_run(key: str, of: type[BaseModel]) -> bool:
    """Whether a key that its table does not know is one of the whole run, or of its file."""
    return "task" in of.model_fields and (key in of.model_fields or key == "preset")


def _unknown_kind(detail: ErrorDetails, place: str, schema: Mapping[str, Any]) -> str:
    kinds = list(schema.get("discriminator", {}).get("mapping", ()))
    known = f"; known names: {_listed(kinds)}" if kinds else ""
    if detail["type"] == "union_tag_not_found":
        return f"{place} = {shown(detail['input'])}: name is missing{known}"
    name = detail["ctx"]["tag"] if "ctx" in detail else None
    own = "; one of your own comes with --with FILE, in Python ug.use(FILE)" if schema.get(OPEN) else ""
    return f"{place}.name = {shown(name)}: unknown name{near(name, kinds) or known + own}"


def _missing(detail: ErrorDetails, of: type[BaseModel]) -> str:
    place, _ = _followed(of, detail["loc"][:-1])
    last = detail["loc"][-1]
    lacks = f"value {last + 1}" if isinstance(last, int) else repr(last)
    return f"{place or 'the spec'} = {shown(detail['input'])}: {lacks} is missing"


def near(given: object, known: Iterable[object]) -> str:
    """A hint at the known name that was probably meant; empty if none is close.

    >>> near("AdamW", ["adam", "adamw"]), near("learning_rate", ["lr", "eps"])
    ("; did you mean 'adamw'?", "; did you mean 'lr'?")
    """
    nearest = _nearest(given, known)
    return f"; did you mean {nearest!r}?" if nearest else ""


def near_or_quoted(given: object, known: Iterable[object]) -> str:
    """As `near`; of true and false, which TOML reads as no text, that they want quotes."""
    if isinstance(given, bool) and str(given).lower() in known:
        return f'; write "{str(given).lower()}" in quotes'
    return near(given, known)


def _nearest(given: object, known: Iterable[object]) -> str | None:
    """The same in other letters, what is called so elsewhere, or else what is spelled nearly so."""
    names = {_plain(name): name for name in known if isinstance(name, str)}
    if not isinstance(given, str):
        return None
    plain = _plain(given[:LONGEST])
    if plain in names:
        return names[plain]
    called = [name for name in names.values() if plain in SYNONYMS.get(name, ())]
    close = [names[name] for name in get_close_matches(plain, names, n=1)]
    return next(iter([*called, *close]), None)


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _listed(names: Iterable[str], written: Callable[[str], str] = repr) -> str:
    """As many names as fit a line, and how many more there are."""
    told = [written(name) for name in names]
    fitting = list(told)
    while len(", ".join(fitting)) > MOST_LISTED:
        fitting.pop()
    more = len(told) - len(fitting)
    return ", ".join(fitting) + (f" and {more} more" if more else "")


def shown(value: object) -> str:
    """A value as a message shows it: on one line, of at most 60 characters."""
    if isinstance(value, int) and abs(value).bit_length() > 200:
        return f"an integer of about {round(abs(value).bit_length() * 0.30103)} digits"
    try:
        text = repr(list(value) if isinstance(value, tuple) else value)
    except (RecursionError, ValueError):  # too deep, or with a number of too many digits within
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def shown_name(key: str) -> str:
    """A key as it may stand in a path: bare, or in quotes and cut where it is no plain word."""
    return key if key.isidentifier() and len(key) <= LONGEST else shown(key)


def _followed(of: type[BaseModel], path: tuple[int | str, ...]) -> tuple[str, dict[str, Any]]:
    """A place in a spec as its writer sees it, and its JSON schema ({} where nothing is known).

    pydantic's path names the chosen kind of a value (optimiser.adamw.lr), which no spec file does.
    """
    schema = schema_of(of)  # pyright: ignore[reportArgumentType] (a type can be hashed)
    node: Any = schema
    seen: list[str] = []
    for part in path:
        kinds = node.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            node = {"$ref": kinds[part]}
        elif isinstance(part, int):
            seen.append(str(part))
            node = node.get("items", {})
        else:
            seen.append(shown_name(part))
            node = node.get("properties", {}).get(part, {})
        node = _resolved(node, schema)
    return ".".join(seen), node


@cache
def schema_of(of: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a value."""
    return of.model_json_schema(mode="validation")


def _resolved(node: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a reference leads to, and of a value that may be left out what it is where it is not."""
    given = [one for one in node.get("anyOf", ()) if one.get("type") != "null"]
    if len(given) == 1:
        node = given[0]
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node
