"""The next character of a text: language, as small as it comes."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from undergrowth.tasks.task import Examples, Features, Task

ALPHABET = "abcdefghijklmnopqrstuvwxyz ."


class Characters(Task):
    """Which character comes after a window of `window` characters of English prose.

    The text is 21,699 characters from this project's own pages as of November 2026, in lower case, with
    full stops as the only punctuation; it comes with the package and is never
    changed. The first `n_characters` of it are cut into blocks of `block` characters, the task's
    groups. An example is a window with the character after it, both in one block: float32 [example,
    28 window], one-hot vectors from the first character to the last. A repeated window is left out, so
    that no input is on both sides of a split; its label is what follows its first occurrence.
    Overlapping windows share characters: a split by groups keeps them on one side, other splits do not.
    Repetition in the text lets one place be learned from another, as in language.
    """

    name: Literal["characters"] = "characters"
    window: int = Field(default=5, ge=1, le=32)
    block: int = Field(default=100, ge=2)
    n_characters: int = Field(default=10_000, ge=4, le=21_699)

    @model_validator(mode="after")
    def _has_room(self) -> Characters:
        if not self.window < self.block <= self.n_characters // 2:
            raise ValueError(
                f"block = {self.block} must hold a window of {self.window} and the character after it, "
                f"and two blocks fit into n_characters = {self.n_characters}: take "
                f"{self.window + 1} to {self.n_characters // 2}"
            )
        return self

    @property
    def input_space(self) -> Features:
        return Features(self.window * len(ALPHABET))

    @property
    def n_labels(self) -> int:
        return len(ALPHABET)

    def describe(self) -> str:
        return f"the character after {self.window} of prose"

    def examples(self) -> Examples:
        starts = self._starts()
        codes = _text()[starts[:, None] + np.arange(self.window + 1)]
        one_hot = np.eye(len(ALPHABET), dtype=np.float32)[codes[:, :-1]]
        return Examples(one_hot.reshape(len(starts), -1), codes[:, -1].astype(np.int32))

    def groups(self) -> np.ndarray:
        return self._starts() // self.block

    def _starts(self) -> np.ndarray:
        """int [example]: where each window begins."""
        return _first_windows(self.window, self.block, self.n_characters)


@lru_cache(maxsize=16)
def _first_windows(window: int, block: int, n_characters: int) -> np.ndarray:
    starts = np.arange(n_characters // block * block)
    starts = starts[starts % block < block - window]
    windows = _text()[starts[:, None] + np.arange(window)]
    return np.sort(starts[np.unique(windows, axis=0, return_index=True)[1]])


@cache
def _text() -> np.ndarray:
    """int [character]: places in the alphabet."""
    lines = resources.files("undergrowth.tasks").joinpath("prose.txt").read_text(encoding="ascii")
    return np.array([ALPHABET.index(character) for character in " ".join(lines.split())])
