"""The base of everything that a spec is made of: a frozen value that checks itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen, validated value; unknown fields are errors, and equal values are one value."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, strict=False
    )
