"""undergrowth: why and when gradient descent replaces many shallow circuits by few general ones."""

__version__ = "0.1.0"
