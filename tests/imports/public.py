"""Where the published files are that some tests read; they are not part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("UNDERGROWTH_PUBLIC") or Path(__file__).parents[3] / "shared" / "public")
"""What `UNDERGROWTH_PUBLIC` names, or `shared/public` beside the repository."""

needs_public = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason="the published files are not here: name their folder in UNDERGROWTH_PUBLIC",
)
