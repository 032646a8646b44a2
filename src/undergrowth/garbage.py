"""Python's search for rings of objects that nobody holds, made seldom while very many are kept."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_seldom() -> Iterator[None]:
    """For work that makes few rings and keeps most of what it makes: to look through all of it again and
    again takes a tenth of a report's time and half of that of a long list.
    """
    often = gc.get_threshold()
    gc.set_threshold(200_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*often)
