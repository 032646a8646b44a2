"""A study by its name."""

from __future__ import annotations

from undergrowth.spec_errors import near
from undergrowth.studies import STUDIES, Study


def study(name: str) -> Study:
    """The study of that name, as `undergrowth study list` has it.

    Raises ValueError, with the nearest name, where there is none.

    >>> study("lr-boost").name
    'lr-boost'
    """
    if name in STUDIES:
        return STUDIES[name]
    hint = near(name, STUDIES) or f"; studies: {', '.join(STUDIES)}"
    raise ValueError(f"no study {name!r}{hint}")
