"""Claims that several studies ask, so that each is worded once."""

from __future__ import annotations

from undergrowth.studies.study import Claim

DECAY_IS_BEST = Claim(
    "P8", "Weight decay is the most effective, because it degrades shallow circuits more."
)
BOTH_COEXIST = Claim(
    "P10", "Shallow and general circuits coexist; the general share grows gradually, at many levels."
)
GENERAL_REPLACES = Claim(
    "P18",
    "Of shallow circuits and a general one that make the same predictions, the general one gets more or "
    "stronger updates, and replaces them.",
)
