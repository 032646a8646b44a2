"""What actions that last do to every step: the hooks of all, in the order of `AnyAction`."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import jax

from undergrowth.kinds import added_to, when_kinds_change
from undergrowth.training.interventions import Action, AnyAction

T = TypeVar("T")

KINDS: tuple[type[Action], ...] = get_args(get_args(AnyAction)[0])

when_kinds_change(jax.clear_caches)  # a compiled step has the hooks of the actions that there were


def asked(hook: str, value: T, *at: Any) -> T:
    """What the hooks of a name (`Action.on_...`) make of a value, one after the other; one that several
    actions share is asked once.
    """
    for on in dict.fromkeys(getattr(kind, hook) for kind in (*KINDS, *added_to(AnyAction).values())):
        value = on(value, *at)
    return value
