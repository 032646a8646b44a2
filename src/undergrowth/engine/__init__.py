"""What trains: from run specs to a stream of facts."""

from undergrowth.engine.loop import Beginning, Branches, Start, readings_at, side_by_side, train
from undergrowth.engine.under_way import initial, shape_key

__all__ = [
    "Beginning",
    "Branches",
    "Start",
    "initial",
    "readings_at",
    "shape_key",
    "side_by_side",
    "train",
]
