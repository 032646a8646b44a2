"""What a hostile file would run, if anything in it were run: it says so."""

from __future__ import annotations

from typing import Any

fired: list[Any] = []


def fire(*of: Any) -> dict[str, Any]:
    """Say that it was called."""
    fired.append(of)
    return {}


class Bird:
    """Sings when it is made, called, or given a state."""

    def __new__(cls, *of: Any, **more: Any) -> Bird:
        fire("new")
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        fire("state")
