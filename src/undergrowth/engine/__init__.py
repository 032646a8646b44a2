"""What trains: from run specs to a stream of facts."""

from undergrowth.engine.loop import Branches, Start, readings_at, train
from undergrowth.engine.under_way import initial, shape_key

__all__ = ["Branches", "Start", "initial", "readings_at", "shape_key", "train"]
