"""The general part against float64 brute force, and where it is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import brute_force, tiny
from tests.studies.made_up import MadeUpRun
from undergrowth.analysis.general_part import Parts, key_irreps, parts, switch_times
from undergrowth.measures import Context, Fourier, Observed, TableMap
from undergrowth.models import state_dict
from undergrowth.tasks import Modular

STEPS = [0, 10, 20]


def run_of(operation: str, p: int) -> MadeUpRun:
    """A run that has one network's readings at every step."""
    spec = tiny.spec(task=Modular(operation=operation, p=p).model_dump())
    model, data = tiny.made(tiny.MLP, p, p), Observed.of(spec.data())
    at = tiny.context(model, task=spec.task.model_dump())
    assert isinstance(at, Context)
    read = {
        **Fourier(mean_logits=True, exclude_each=False).observe(model, data, at),
        **TableMap().observe(model, data, at),
    }
    readings = {
        name: xr.DataArray(
            np.stack([reading.values] * len(STEPS)),
            {"step": STEPS, **{axis: list(labels) for axis, labels in reading.coords.items()}},
            ("step", *reading.dims),
        )
        for name, reading in read.items()
    }
    run = MadeUpRun(spec, {}, **readings)
    run.__dict__["model_"] = model
    return run


@pytest.mark.parametrize(("operation", "p"), [("x+y", 6), ("x-y", 5), ("x*y", 7), ("x/y", 7)])
def test_it_is_the_projection_of_the_logits_on_written_out_waves_of_the_product(
    operation: str, p: int
) -> None:
    run = run_of(operation, p)
    data, model = run.spec.data(), run.__dict__["model_"]
    n, exponent = (p, np.arange(p)) if operation in ("x+y", "x-y") else (p - 1, np.full(p, -1))
    if n == p - 1:
        exponent[[3**i % 7 for i in range(6)]] = np.arange(6)  # 3 is a primitive root mod 7
    u, v = exponent[data.inputs].T
    in_group = (u >= 0) & (v >= 0)
    u, v = u[in_group], (-v if operation in ("x-y", "x/y") else v)[in_group]
    logits = brute_force.mlp(state_dict(model), data.inputs[in_group])
    angle = 2 * np.pi * 2 * (u + v) / n
    general = np.zeros_like(logits)
    for wave in (np.cos(angle), np.sin(angle)):
        unit = wave / np.linalg.norm(wave)
        general += np.outer(unit, unit @ logits)
    side, labels = data.is_train[in_group], data.labels[in_group]
    found = parts(run, ["2"])
    assert found.steps.tolist() == STEPS
    of = [brute_force.score("centred_logit", z, labels)[side] for z in (general, logits)]
    assert np.abs(of[0]).max() > 0.01
    for values, truth in zip((found.general, found.whole), of, strict=True):
        np.testing.assert_allclose(values[1], truth, atol=2e-5)
    right = brute_force.score("accuracy", general, labels)[side]
    assert found.answers[0].tolist() == right.astype(bool).tolist()
    share = of[0].sum() / of[1].sum() if of[1].sum() > 0 else np.nan
    assert found.share.values == pytest.approx(np.full(3, share), rel=1e-3, nan_ok=True)
    assert found.mean.values == pytest.approx(np.full(3, of[1].mean()), rel=1e-4)


def test_the_parts_of_all_irreps_and_of_the_constant_add_up_to_what_depends_on_the_product() -> None:
    run = run_of("x+y", 5)
    each = [parts(run, [name]).general for name in ("0", "1", "2")]
    np.testing.assert_allclose(sum(each), parts(run, ["0", "1", "2"]).general, atol=1e-6)


def test_key_irreps_are_the_fewest_of_90_percent_of_the_last_logit_power() -> None:
    power = xr.DataArray(
        [[0.0, 1.0, 0.0, 0.0, 0.0], [0.5, 0.04, 0.3, 0.11, 0.05]],
        {"step": [0, 10], "frequency": [1, 2, 3, 4, 5]},
        ("step", "frequency"),
    )
    spec = tiny.spec(task={"name": "modular", "p": 11})
    run = MadeUpRun(spec, {}, fourier_logit_power=power)
    assert key_irreps(run) == ("1", "3", "4")
    assert key_irreps(run, 2) == ("1", "3")


def test_a_switch_has_the_time_and_the_width_of_its_own_share() -> None:
    steps = np.arange(0, 1_001, 10)
    starts, lengths = np.array([100, 300, 500]), np.array([100, 200, 50])
    share = np.clip((steps[:, None] - starts) / lengths, 0, 1)
    still = np.full((len(steps), 1), 0.4)
    share = np.concatenate([share, still], axis=1)
    found = Parts(steps, 7 * share, np.full(share.shape, 7.0), share > 0.5)
    when, widths = switch_times(found, 0, least=0.2)
    assert when == pytest.approx(starts + lengths / 2)
    assert widths == pytest.approx(0.8 * lengths)
    late, _ = switch_times(found, 450, least=0.2)
    assert late == pytest.approx([475, 525])  # one of them from 0.75 on
