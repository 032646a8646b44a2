"""What a study predicted in numbers, kept in the store from before its runs, with the time.

A prediction is stated once: what is there already stays, whatever a later version would compute.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undergrowth.plain_text import json_text
from undergrowth.store.errors import StoreError
from undergrowth.store.files import content, inside, is_regular, write_whole

Numbers = Mapping[str, Mapping[str, Any]]
"""By arm, numbers by their names: one, or a list of them."""


@dataclass(frozen=True)
class Predicted:
    """Predicted numbers of a study's arms; stated: when, in seconds since 1970, UTC."""

    stated: float
    numbers: Numbers


def state(root: Path, study: str, budget: str, numbers: Numbers, now: float) -> Predicted:
    """Keep a study's predictions in a store, unless it has them already; those that it then has.

    Raises StoreError where those that it has are damaged.
    """
    if (there := stated(root, study, budget)) is not None:
        return there
    told = {"stated": now, "numbers": numbers}
    write_whole(_place(root, study, budget), json_text({**told, "sha256": _digest(told)}).encode())
    found = stated(root, study, budget)
    assert found is not None
    return found


def stated(root: Path, study: str, budget: str) -> Predicted | None:
    """The predictions that a store has of a study; None where it has none.

    Raises StoreError where they are not as they were written.
    """
    path = _place(root, study, budget)
    if not is_regular(path):
        return None
    try:
        told = json.loads(content(path))
        digest = told.pop("sha256")
        found = Predicted(float(told["stated"]), dict(told["numbers"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        digest, told, found = None, {}, None
    if found is None or digest != _digest(told):
        raise StoreError(
            f"{path} is damaged: restore it from a copy, or remove it to have predictions stated anew, "
            "which the report then dates after the runs"
        )
    return found


def _place(root: Path, study: str, budget: str) -> Path:
    return inside(root, f"predicted/{study}-{budget}.json")


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(json.loads(json_text(told)), sort_keys=True).encode()).hexdigest()
