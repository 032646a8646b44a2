"""Claims of the post about settings of its own, of which cheaper stand-ins answered otherwise."""

from __future__ import annotations

STAND_IN = "runs at the post's own settings, for which these stand in"
"""Why the runs of a study cannot decide an endpoint yet."""
