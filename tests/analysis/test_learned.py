"""When cells were learned, against hand-counted maps."""

from __future__ import annotations

import numpy as np
import xarray as xr

from undergrowth.analysis.learned import first_learned, learned_by_area

NAN, INF = np.nan, np.inf
MAPS = xr.DataArray(
    np.array(
        [  # at steps 0, 10, 100: always, from 10 on; never, at 10 only; no cell, at 0 and at 100
            [[1, 0], [0, 0], [NAN, 1]],
            [[1, 1], [0, 1], [NAN, 0]],
            [[1, 1], [0, 0], [NAN, 1]],
        ]
    ),
    dims=("step", "x", "y"),
    coords={"step": [0, 10, 100]},
)


def test_first_and_stable_steps_are_those_counted_by_hand() -> None:
    learned = first_learned(MAPS)
    np.testing.assert_array_equal(learned["first"], [[0, 10], [INF, 10], [NAN, 0]])
    np.testing.assert_array_equal(learned["stable"], [[0, 10], [INF, INF], [NAN, 100]])


def test_areas_are_summed_up_with_what_was_never_learned_counted() -> None:
    area = np.array([[0, 0], [1, 1], [1, -1]])
    table = learned_by_area(first_learned(MAPS)["first"], area)
    assert table.loc[0].to_dict() == {"n_cells": 2, "share": 1.0, "median": 0.0}
    assert table.loc[1].to_dict() == {"n_cells": 2, "share": 0.5, "median": 10.0}
    assert learned_by_area(first_learned(MAPS)["stable"], area).loc[1, "median"] == INF
