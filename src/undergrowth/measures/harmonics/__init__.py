"""Frequencies and irreps: what networks on groups are made of."""
