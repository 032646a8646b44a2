"""What cannot be imported, said in one line."""

from __future__ import annotations

from undergrowth.spec_errors import SpecError


class ForeignFileError(SpecError):
    """A file that is not what it would have to be to become a run: what it is, and what would do."""
