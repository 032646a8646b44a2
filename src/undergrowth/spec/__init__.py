"""What a run is told to do: specs, forks, spec files and published set-ups."""

from undergrowth.rng import Seeds
from undergrowth.spec.fork import Fork
from undergrowth.spec.origin import Origin, OriginFile
from undergrowth.spec.parents import check_parent
from undergrowth.spec.run import FORMAT, RunSpec
from undergrowth.spec_errors import SpecError

__all__ = ["FORMAT", "Fork", "Origin", "OriginFile", "RunSpec", "Seeds", "SpecError", "check_parent"]
