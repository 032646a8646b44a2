"""Optimisers are values that the engine takes, and impossible ones are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from tests import tiny
from tests.training.optimisers.suite import ADAMWS, ANNEALED, FILTERED, MUONS, every_optimiser, named
from undergrowth.engine import initial, train
from undergrowth.engine.facts import Saved
from undergrowth.models import state_dict
from undergrowth.spec import SpecError
from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    AnyOptimiser,
    Cosine,
    GrokfastEMA,
    Muon,
    SignSGD,
)


@pytest.mark.parametrize("optimiser", [MUONS[1], FILTERED[2], ANNEALED[1], ADAMWS[-1]], ids=named)
def test_the_engine_trains_with_it(optimiser: AnyOptimiser) -> None:
    spec = tiny.spec(steps=3, optimiser=optimiser, model=tiny.TRANSFORMER, checkpoints={"every": 9})
    *_, saved = (f for _, f in train([spec], [None]) if isinstance(f, Saved))
    before, after = state_dict(initial(spec).state), state_dict(saved.snapshot.state)
    assert before.keys() == after.keys()
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert {name for name in before if name.startswith("model.")} <= moved | {"model.embed.W_E"}
    assert all(np.isfinite(array).all() for array in after.values())


@every_optimiser
def test_an_optimiser_is_plain_data_and_back(optimiser: AnyOptimiser) -> None:
    adapter = TypeAdapter(AnyOptimiser)
    assert adapter.validate_python(optimiser.model_dump(mode="json")) == optimiser


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AdamW, {"lr": 0}),
        (AdamW, {"lr": -1}),
        (AdamW, {"betas": (1.0, 0.9)}),
        (AdamW, {"weight_decay": -0.1}),
        (AdamW, {"eps": 0}),
        (AdamW, {"decay_to": "one"}),
        (Adam, {"decay_to": "init"}),
        (SGD, {"momentum": 1.0}),
        (SignSGD, {"momentum": 0.9}),
        (Muon, {"beta": 1.0}),
        (Muon, {"ns_steps": 0}),
        (GrokfastEMA, {"alpha": 1.0}),
        (GrokfastEMA, {"lamb": -1.0}),
        (Cosine, {"steps": 0}),
        (Cosine, {"final": 1.1}),
    ],
)
def test_impossible_hyper_parameters_are_refused(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        kind(**fields)
