"""How many numbers are computed at a time, in training and in measures."""

CACHED = 2**20
"""Activations of the widest site: 4 MiB, which stay in a core's cache between the products."""

ROOM = 2**25
"""Numbers of the widest array, the logits too, that there is room for: 128 MiB."""
