"""Where it runs: worker processes on this machine."""

from undergrowth.sweep.local import Layout, Progress, SweepError, this_machine, train

__all__ = ["Layout", "Progress", "SweepError", "this_machine", "train"]
