"""Text that anything may be in, made safe to show: no control character reaches a terminal."""

from __future__ import annotations

import json
import math
import os
import shlex
import unicodedata
from collections.abc import Mapping
from typing import Any

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what is not seen but acts: control, format, half pairs, line breaks."""
JOINERS = "\u200c\u200d"
"""Format characters that writing needs (Persian, emoji)."""


def visible(text: str, *, keep: str = "") -> str:
    r"""The text with control characters written out, but for those in `keep`.

    >>> visible("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    if text.isprintable():
        return text
    return "".join(each if each in keep or not _acts(each) else _escaped(each) for each in text)


def in_one_line(text: str) -> str:
    r"""The text in one line, spaces for its line breaks, and nothing in it that a terminal would obey.

    >>> in_one_line("not\n  so \x07")
    'not so \\x07'
    """
    return visible(" ".join(text.split()))


def _acts(character: str) -> bool:
    return unicodedata.category(character) in HIDDEN and character not in JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def command(*words: object) -> str:
    r"""A shell's line that means these words, whatever is in them.

    >>> command("undergrowth", "runs", "my runs")
    "undergrowth runs 'my runs'"
    >>> command("a\nb")
    "$'a\\nb'"
    """
    return " ".join(_word(str(word)) for word in words)


def _word(word: str) -> str:
    if visible(word) == word:
        return shlex.quote(word)
    told = "".join(_byte(byte) for byte in os.fsencode(word))
    return f"$'{told}'"


def _byte(byte: int) -> str:
    if byte == 0x0A:
        return "\\n"
    shown = chr(byte)
    return shown if shown.isascii() and shown.isprintable() and shown not in "\\'" else f"\\x{byte:02x}"


def json_text(value: Any) -> str:
    r"""A value as JSON that every reader takes: null for what is no finite number, ASCII throughout.

    >>> json_text({"loss": float("nan"), "name": "caf\u00e9"})
    '{\n  "loss": null,\n  "name": "caf\\u00e9"\n}'
    """
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def p_in_words(p: float) -> str:
    """A p-value in running text, with its sign; one below 0.001 is not told more closely.

    >>> p_in_words(0.0321), p_in_words(6e-5), p_in_words(0.999)
    ('p = 0.032', 'p < 0.001', 'p = 1')
    """
    if p < 0.001:
        return "p < 0.001"
    return "p = 1" if p > 0.995 else f"p = {p:.2g}"
