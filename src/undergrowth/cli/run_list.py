"""Which runs `undergrowth runs` lists, in which order, and with which columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from undergrowth.cli.app import WrongUseError
from undergrowth.printing import PIPED, WIDE, WORDS, RunRow, cell, console

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.store.listing import Listed

CONDITION = re.compile(r"\s*([^=<>!]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)

LONGEST = 24
"""Characters of a setting in its column; what is longer is cut."""

SHORT_ID = 8
"""Characters of an id where the terminal is narrow; commands take them for the whole."""

GAP = 2
"""Spaces between two columns."""

LEAST_WORDS = 32
"""Room that is kept beside a wide table for what runs are called."""

VAGUE = ("name", "of", "step", "steps", "every", "until", "n", "by")
"""Ends of settings' names that say too little alone."""


@dataclass(frozen=True)
class Column:
    """Something to be asked of every run: its name, whole, and what a run has there, None without it;
    of words that it may have several of, all of them.
    """

    name: str
    of: Callable[[Listed], Any]


OWN: dict[str, Callable[[Listed], Any]] = {
    "id": lambda row: row.id,
    "status": lambda row: row.status,
    "name": lambda row: (*row.names, *row.arms),
    "arm": lambda row: row.arms,
    "study": lambda row: row.studies,
    "seed": lambda row: row.seed,
    "step": lambda row: row.last_step,
}
"""What is asked of a run beside its settings, events and readings."""


def column(name: str, rows: Sequence[Listed]) -> Column:
    """What is meant by a name: one of `OWN`, an event or reading, or a field of the spec by its dotted
    name or the end of it, of which the one nearest to the top of a spec file counts.

    Raises WrongUseError where no run has such, or several fields are as near.
    """
    plain = name.strip().replace(" ", "_")
    if plain in OWN:
        return Column(plain, OWN[plain])
    if any(plain in row.events for row in rows):
        return Column(plain, lambda row: row.events.get(plain))
    settings = dict.fromkeys(setting for row in rows for setting in row.settings)
    field = plain if plain in settings else None
    if field is None and any(plain in row.readings for row in rows):
        return Column(plain, lambda row: row.readings.get(plain))
    field = field or _ending_in(plain, settings)
    if field is None:
        read = dict.fromkeys(each for row in rows for each in (*row.events, *row.readings))
        raise WrongUseError(_unknown(name, [*OWN, *settings, *read]))
    return Column(field, lambda row: row.settings.get(field))


def _ending_in(ending: str, settings: Iterable[str]) -> str | None:
    """The setting of that ending that is nearest to the top; None where none is."""
    from undergrowth.store.listing import field_ending_in

    nearest = field_ending_in(ending, settings)
    if len(nearest) > 1:
        raise WrongUseError(f"{ending!r} is {' and '.join(nearest)}: give one of them")
    return nearest[0] if nearest else None


def _unknown(name: str, known: Sequence[str]) -> str:
    from undergrowth.spec_errors import near

    by_end = {setting.rpartition(".")[2]: setting for setting in known}
    hint = near(name, known) or near(name, by_end)
    names = f"; there are {', '.join(OWN)}, events, readings and the fields of a spec file, such as "
    return f"no run has {name!r}{hint or f'{names}optimiser.lr'}"


def matching(rows: Sequence[Listed], conditions: Sequence[str]) -> list[Listed]:
    """The runs of which every condition is true, such as lr=0.003 or val_accuracy>0.9.

    Raises WrongUseError for a condition that cannot be read, or about what no run has.
    """
    tests = [_test(condition, rows) for condition in conditions]
    return [row for row in rows if all(test(row) for test in tests)]


def _test(condition: str, rows: Sequence[Listed]) -> Callable[[Listed], bool]:
    parts = CONDITION.fullmatch(condition)
    if parts is None:
        raise WrongUseError(
            f"--where {condition}: no condition: give a field, one of = != < <= > >= and a value, such "
            "as --where lr=0.003 or --where 'grokked<2000'"
        )
    name, sign, wanted = parts.groups()
    if not rows:
        return lambda row: True
    asked = column(name, rows)
    return lambda row: _holds(asked.of(row), sign, wanted)


def _holds(has: Any, sign: str, wanted: str) -> bool:
    """Whether what a run has is as wanted; of several words one must be, and for != none."""
    if sign == "!=":
        return not _holds(has, "=", wanted)
    if sign == "=" and isinstance(has, tuple) and all(isinstance(each, str) for each in has):
        return any(_is(each, wanted) for each in has) if has else _is(None, wanted)
    if sign == "=":
        return _is(has, wanted)
    number = _number(wanted)
    if number is None:
        raise WrongUseError(f"--where ...{sign}{wanted}: not a number: use = or != for words")
    if isinstance(has, bool) or not isinstance(has, int | float):
        return False
    return {"<": has < number, "<=": has <= number, ">": has > number, ">=": has >= number}[sign]


def _is(has: Any, wanted: str) -> bool:
    if has is None or wanted.lower() == "none":
        return has is None and wanted.lower() in ("none", "")
    if isinstance(has, bool):
        return wanted.lower() == str(has).lower()
    if isinstance(has, int | float):
        return _number(wanted) == has
    pattern = ".*".join(map(re.escape, wanted.split("*")))
    return re.fullmatch(pattern, _said(has), re.DOTALL) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def in_order(rows: Sequence[Listed], by: str) -> list[Listed]:
    """The runs by what they have somewhere, the least first; with a leading minus the most. Those that
    have nothing there come last: an event that never came is later than any.
    """
    if not rows:
        return []
    asked = column(by.removeprefix("-"), rows).of
    having = [row for row in rows if asked(row) not in (None, ())]
    having.sort(key=lambda row: _rank(asked(row)), reverse=by.startswith("-"))
    return [*having, *(row for row in rows if asked(row) in (None, ()))]


def _rank(value: Any) -> tuple[bool, float, str]:
    is_word = not isinstance(value, int | float)
    return is_word, 0.0 if is_word else value, _said(value) if is_word else ""


def _said(value: Any) -> str:
    """A value in a cell, as a spec file would have it."""
    from undergrowth.values import in_brief

    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return in_brief(value)


def in_columns(rows: Sequence[RunRow], names: Sequence[str]) -> list[dict[str, Any]]:
    """The runs with these columns after their ids."""
    if not rows:
        return []
    listed = [row.listed for row in rows]
    asked = [column(name, listed) for name in names]
    found = {each.name: each for each in asked if each.name != "id"}
    return [
        {"id": row.id, **{name: _cell(each.of(row)) for name, each in found.items()}} for row in listed
    ]


def _cell(value: Any) -> str | None:
    if value is None or value == ():
        return None
    return f"{value:.4g}" if isinstance(value, float) else _said(value)


def as_listed(rows: Sequence[RunRow]) -> tuple[list[dict[str, Any]], str]:
    """The runs with the settings in which they differ as columns, as many as have room; and what to say
    below of the others, for which each run is told in words.
    """
    from undergrowth.store.listing import that_tell

    is_narrow = console.is_terminal and console.width < WIDE
    plain = [_with_short_id(row.as_printed(called=""), is_narrow) for row in rows]
    listed = [row.listed for row in rows]
    differing = that_tell(listed)
    heads = _heads(differing, plain)
    settings = {heads[name]: [_of_setting(row, name) for row in listed] for name in differing}
    if len({row.seed for row in listed}) > 1:
        settings = {"seed": [str(row.seed) for row in listed], **settings}
    table = _without_words(plain)
    room = console.width if console.is_terminal else PIPED
    room -= 0 if is_narrow else LEAST_WORDS
    shown = {}
    for head, cells in settings.items():
        if _width({**table, **shown, head: cells}) <= room:
            shown[head] = cells
    left_out = len(settings) - len(shown)
    called = [", ".join(row.called) for row in listed]
    own = {(name, row.seed) for name, row in zip(called, listed, strict=True) if name}
    if len(rows) == 1 or (left_out and len(own) < len(rows)):
        called = [row.told for row in rows]
    found = [
        {
            "id": row["id"],
            "status": row["status"],
            **{h: c[k] for h, c in shown.items()},
            **row,
            "run": called[k],
        }
        for k, row in enumerate(plain)
    ]
    more = f"{left_out} more settings differ: choose some with --columns, or fewer runs with --where"
    return found, more if left_out else ""


def _of_setting(row: Listed, name: str) -> str | None:
    """What a run has there, in a cell; of its parent as much of the id as tells it."""
    value = row.settings.get(name)
    if value is None:
        return None
    text = str(value)[:SHORT_ID] if name == "fork.of" else _said(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _with_short_id(row: dict[str, Any], is_narrow: bool) -> dict[str, Any]:
    return {**row, "id": row["id"][:SHORT_ID]} if is_narrow else row


def _heads(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """By setting, the shortest end of its name that says enough and that no other and no column has."""
    taken = {*VAGUE, "id", "seed", *(name for row in rows for name in row)}
    heads: dict[str, str] = {}
    for name in names:
        ends = [".".join(name.split(".")[-n:]) for n in range(1, name.count(".") + 2)]
        others = [f".{other}" for other in names if other != name]
        own = (e for e in ends if e not in taken and not any(o.endswith(f".{e}") for o in others))
        heads[name] = next(own, name)
    return heads


def _without_words(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """By column, the cells of a table."""
    names = dict.fromkeys(name for row in rows for name in row if name not in WORDS)
    return {name: [row.get(name) for row in rows] for name in names}


def _width(columns: Mapping[str, Sequence[Any]]) -> int:
    """How wide a table is."""
    cells = {name: [cell(each) for each in its] for name, its in columns.items()}
    heads = {name: max(map(len, name.split(" "))) for name in columns}  # they break at spaces
    widths = [max([heads[name], *map(len, its)]) for name, its in cells.items()]
    return sum(widths) + GAP * (len(widths) - 1)
