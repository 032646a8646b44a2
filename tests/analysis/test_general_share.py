"""A rise is timed where it is planted."""

from __future__ import annotations

import numpy as np
import pytest

from undergrowth.analysis.general_share import rise

STEPS = np.arange(0.0, 60.0)


def test_a_rise_is_from_a_tenth_to_nine_tenths_of_its_way() -> None:
    assert rise(STEPS, STEPS / 59, least=0.2) == pytest.approx((5.9, 53.1))
    assert rise(STEPS, STEPS / 590, least=0.2) is None
    assert rise(STEPS, -STEPS, least=0.2) is None
