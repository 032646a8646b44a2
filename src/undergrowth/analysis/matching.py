"""Where a norm-matched deletion is a control at all."""

from __future__ import annotations

import xarray as xr

MATCHED_WITHIN = 0.1
"""Largest relative difference in norm share at which a norm-matched set counts as matched."""


def is_matched(norm_share: xr.DataArray) -> xr.DataArray:
    """Where norm-matched sets carry the norm that the top k carry, without the axis `strategy`.

    Late in training all the other components together may carry less than the top k: deleting all of
    them is no control for deleting k.
    """
    top = norm_share.sel(strategy="top", drop=True)
    others = norm_share.sel(strategy="norm_matched", drop=True)
    return abs(others - top) <= MATCHED_WITHIN * top
