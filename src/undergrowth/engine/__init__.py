"""What trains: from run specs to a stream of facts."""

from undergrowth.engine.loop import Branches, Start, initial, readings_at, shape_key, train

__all__ = ["Branches", "Start", "initial", "readings_at", "shape_key", "train"]
