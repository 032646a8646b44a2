"""Timings of real work: medians over repeats, everything compared within one run."""
