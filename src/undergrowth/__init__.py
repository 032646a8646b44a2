"""undergrowth: why and when gradient descent replaces many shallow circuits by few general ones.

    import undergrowth as ug

    spec = ug.RunSpec(task=ug.Modular(p=53), optimiser=ug.AdamW(lr=2e-3, weight_decay=2.0))
    store = ug.train([spec.seeded(0)], out="runs/first")
    store.runs[0]["val_accuracy"]            # an xarray, dim (step)
    ug.accuracy_figure(store.runs).show()

Names are imported when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from undergrowth.version import __version__ as __version__

if TYPE_CHECKING:
    from pathlib import Path

    from undergrowth.store import Store

__getattr__, _dir, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted({*_names, "open"} - {"__version__"})  # pyright: ignore[reportUnsupportedDunderAll]


def open(root: str | Path) -> Store:
    """A store's runs, readings, events and checkpoints; it may be in use by a writer."""
    from undergrowth.store import Store

    return Store(root)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
