"""Where it runs: worker processes on this machine."""

from undergrowth.sweep.local import Layout, Progress, this_machine, train
from undergrowth.sweep.pool import SweepError

__all__ = ["Layout", "Progress", "SweepError", "this_machine", "train"]
