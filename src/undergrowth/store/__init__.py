"""Where facts are kept: SQLite for readings and events, safetensors for checkpoints."""

from undergrowth.store.errors import StoreError
from undergrowth.store.parts import Part
from undergrowth.store.reader import Run, Store, together
from undergrowth.store.verify import Damage, Verified, verify

__all__ = ["Damage", "Part", "Run", "Store", "StoreError", "Verified", "together", "verify"]
