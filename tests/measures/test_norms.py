from __future__ import annotations

import math

import numpy as np

from tests import tiny
from undergrowth.measures import Norms, Observed
from undergrowth.models import TwoTokenMLP, state_dict


def test_norms_are_the_roots_of_summed_squares(mlp: TwoTokenMLP, observed: Observed) -> None:
    readings = Norms().observe(mlp, observed, tiny.context(mlp))
    by_hand = {
        name: math.sqrt(math.fsum(float(w) ** 2 for w in array.ravel()))
        for name, array in state_dict(mlp).items()
    }
    parameter = readings["parameter_norm"]
    assert parameter.dims == ("parameter",)
    assert parameter.coords["parameter"] == tuple(by_hand)
    np.testing.assert_allclose(parameter.values, list(by_hand.values()), rtol=1e-6)
    total = math.sqrt(sum(norm**2 for norm in by_hand.values()))
    np.testing.assert_allclose(readings["weight_norm"].values, total, rtol=1e-6)
