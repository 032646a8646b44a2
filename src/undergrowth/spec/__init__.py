"""What a run is told beforehand: specs, forks among them, files of them, and published ones."""

from undergrowth.rng import Seeds
from undergrowth.spec.fork import Fork
from undergrowth.spec.parents import check_parent
from undergrowth.spec.run import FORMAT, RunSpec
from undergrowth.spec_errors import SpecError

__all__ = ["FORMAT", "Fork", "RunSpec", "Seeds", "SpecError", "check_parent"]
