"""What a measure says of itself: its docstring in a sentence, and what it says of a reading."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence

from undergrowth.measures.reading import COMPONENTS, SIDES

LONGEST = 360
"""Characters of what is said of a reading."""


def summary(docstring: str) -> str:
    """The first paragraph of a docstring in one line; '' of none."""
    return " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())


def said_of(docstring: str, key: str, readings: Sequence[str]) -> str:
    """What a measure's docstring says of some of its readings, from where it names one to the full stop.

    key: what their names begin with. A docstring writes it as {prefix} or leaves it out.

    >>> doc = "Of weights.\\n\\n{prefix}_sum: their sum, in nats. {prefix}_max [side]: the largest."
    >>> said_of(doc, "mine", ["mine_max"])
    'mine_max [side]: the largest.'
    """
    text = " ".join(inspect.cleandoc(docstring).split()).replace("{prefix}", key).replace("{key}", key)
    found: dict[str, str] = {}
    for reading in readings:
        passages = (re.search(PASSAGE.format(re.escape(name)), text) for name in _names(reading, key))
        if passage := next(filter(None, passages), None):
            name, _, meaning = passage.group().rstrip(";.").partition(": ")
            found.setdefault(meaning, _cut(f"{name}: {meaning}." if meaning else f"{name}."))
    return " ".join(found.values())


PASSAGE = r"(?<![\w{{]){}(?!\w)[^.;:]*(\[[^\]]*\]|:).*?(;|\.(?= |$)|$)"


def _names(reading: str, key: str) -> Iterator[str]:
    """As what a docstring may name a reading: whole, a component or a side left open, or its end."""
    parts = reading.split("_")
    without_component = [("{component}" if part in COMPONENTS else part) for part in parts]
    without_side = [("{side}" if part in SIDES else part) for part in without_component]
    wholes = dict.fromkeys(map("_".join, (parts, without_component, without_side)))
    yield from wholes
    for whole in wholes:
        ending = whole.removeprefix(key)
        while ending:
            yield ending
            ending = ending[ending.find("_", 1) :] if "_" in ending[1:] else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rsplit(' ', 1)[0]} …"
