"""How much of something is needed, tried at some amounts only: known up to an interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Needed:
    """The least amount from which on all larger ones that were tried suffice: in (low, high].

    first: the least amount that sufficed at all, None where none did.
    """

    low: float
    high: float
    first: float | None

    @property
    def is_monotone(self) -> bool:
        """Whether no larger amount failed than the least that sufficed."""
        return self.first is None or self.first == self.high

    def is_less_than(self, other: Needed) -> tuple[bool, bool]:
        """Whether it is certain, and whether it is possible, that this is less than another."""
        return self.high <= other.low, self.low < other.high


def needed(sufficed: Mapping[float, bool], least: float = 0.0, most: float = 1.0) -> Needed:
    """From whether each amount that was tried sufficed; amounts lie in (least, most].

    Where the largest failed, the amount lies between it and `most`, or there is none: `most` stands
    for both. Where all sufficed it lies between `least` and the smallest.

    >>> needed({0.5: False, 0.7: True, 0.9: True})
    Needed(low=0.5, high=0.7, first=0.7)
    >>> needed({0.5: True, 0.7: False, 0.9: False})
    Needed(low=0.9, high=1.0, first=0.5)
    """
    failed = max((amount for amount, happened in sufficed.items() if not happened), default=least)
    enough = [amount for amount in sufficed if amount > failed]
    first = min((amount for amount, happened in sufficed.items() if happened), default=None)
    return Needed(failed, min(enough, default=most), first)
