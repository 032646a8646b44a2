"""The live view: a page over a store that grows while runs write to it."""

from undergrowth.live.server import serve

__all__ = ["serve"]
