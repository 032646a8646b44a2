"""What was measured comes back as labelled arrays, beside its spec, events and checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import tiny
from tests.store.conftest import INTERVENED, SPECS
from undergrowth.engine.facts import Fired, Measured
from undergrowth.measures import Curves, Observed, Reading, scalar
from undergrowth.models import state_dict
from undergrowth.store import Store, StoreError, together, verify
from undergrowth.store.layout import create
from undergrowth.store.writer import Writer


def test_every_run_is_found_with_its_spec_and_status(finished: Path) -> None:
    runs = Store(finished).runs
    assert {run.spec.id for run in runs} == {spec.id for spec in SPECS}
    assert {run.status for run in runs} == {"done"}
    assert all(run.environment["jax"] and run.environment["machine"] for run in runs)


def test_a_scalar_reading_is_an_array_over_its_steps(finished: Path) -> None:
    loss = Store(finished).runs[0]["train_loss"]
    assert loss.dims == ("step",)
    assert loss["step"].values.tolist() == [0, 10, 20, 30]
    assert loss.values[-1] < loss.values[0]


def test_an_array_reading_keeps_its_axes_and_their_labels(finished: Path) -> None:
    norms = Store(finished).runs[0]["parameter_norm"]
    assert norms.dims == ("step", "parameter")
    assert "mlp.W_in" in norms["parameter"].values


def test_a_missing_reading_is_an_error_that_lists_the_readings(finished: Path) -> None:
    with pytest.raises(KeyError, match=r"no reading 'val_los'.*val_loss"):
        Store(finished).runs[0]["val_los"]


def test_the_model_of_a_checkpoint_gives_the_readings_stored_at_its_step(finished: Path) -> None:
    run = Store(finished).runs[0]
    for step in run.checkpoints:
        model = run.model(step)
        again = Curves().observe(model, Observed.of(run.spec.data()), tiny.context(model))
        assert float(again["val_loss"].values) == float(run["val_loss"].sel(step=step))


def test_a_checkpoint_lies_beside_its_config_under_the_fields_names(finished: Path) -> None:
    run = Store(finished).runs[0]
    path = run.checkpoint_path(30)
    assert load_file(path).keys() == state_dict(run.model()).keys()
    config = json.loads((path.parent / "config.json").read_text())
    assert (config["run_id"], config["step"], config["d_vocab_out"]) == (run.id, 30, 5)


def test_the_split_is_stored_with_the_run(finished: Path) -> None:
    run = Store(finished).runs[0]
    stored = load_file(finished / "runs" / run.id / "data.safetensors")
    data = run.spec.data()
    for name in ("inputs", "labels", "is_train"):
        np.testing.assert_array_equal(stored[name], getattr(data, name))


def test_an_intervention_is_an_event_with_what_it_changed(finished: Path) -> None:
    run = Store(finished).select([INTERVENED.seeded(1)])[0]
    assert len(run.events) == 1
    event = run.events.iloc[0]
    assert (event["step"], event["kind"]) == (15, "fired")
    before, after = event["detail"]["changed"]["learning_rate"]
    assert after == pytest.approx(2 * before)


def test_several_runs_come_together_on_one_array(finished: Path) -> None:
    store = Store(finished)
    both = together(store.runs, "train_accuracy")
    assert both.dims == ("run", "step")
    assert both["run"].values.tolist() == [run.id for run in store.runs]


def test_a_run_is_found_by_the_beginning_of_its_id(finished: Path) -> None:
    store = Store(finished)
    assert store.run(store.runs[0].id[:8]).id == store.runs[0].id
    with pytest.raises(KeyError, match="0 runs"):
        store.run("x")


def test_a_directory_that_is_no_store_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not an undergrowth store") as error:
        Store(tmp_path)
    assert "\n" not in str(error.value)


def test_of_several_attempts_the_latest_counts_whatever_its_file_is_called(tmp_path: Path) -> None:
    create(tmp_path)
    spec = INTERVENED
    for name, value in (("worker-1", 1.0), ("worker-0", 2.0)):
        writer = Writer(tmp_path, name)
        writer.begin(spec)
        writer.write(spec, Measured(0, {"train_loss": scalar(value)}))
        writer.write(spec, Measured(int(10 * value), {"train_loss": scalar(value)}))
        writer.write(spec, Fired(int(10 * value), 0, {"learning_rate": (value, 0.0)}))
        writer.close()
    run = Store(tmp_path).runs[0]
    assert run["train_loss"].sel(step=[0, 10, 20]).values.tolist() == [2.0, 1.0, 2.0]
    assert run.events["step"].tolist() == [20]  # an intervention fires once


def test_a_run_taken_up_again_has_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path)
    spec = SPECS[0]
    writer = Writer(tmp_path, "worker-0")
    writer.begin(spec)
    writer.end(spec, "failed", "no luck")
    failed = Store(tmp_path).runs[0]
    assert (failed.status, failed.message) == ("failed", "no luck")
    assert failed.ended is not None
    monkeypatch.setattr("undergrowth.store.writer.environment", lambda threads: {"machine": "other"})
    writer.begin(spec)
    again = Store(tmp_path).runs[0]
    assert (again.status, again.message, again.ended) == ("interrupted", "", None)
    assert again.environment == {"machine": "other"}
    assert again.began > failed.began
    writer.close()
    assert verify(tmp_path).damage == ()


def test_all_curves_together_are_each_reading_alone(finished: Path) -> None:
    for run in Store(finished).runs:
        alone = {name: run[name] for name in run.names if run[name].dims == ("step",)}
        del alone["update_loss"]
        curves = Store(finished).run(run.id).curves
        assert set(map(str, curves)) == set(alone)
        for name, curve in alone.items():
            np.testing.assert_array_equal(curves[name].dropna("step"), curve.dropna("step"))


def test_what_has_axes_since_a_later_attempt_is_one_array_with_them(tmp_path: Path) -> None:
    create(tmp_path)
    spec = SPECS[0]
    for name, value in (("worker-0", scalar(1.0)), ("worker-1", Reading(("a",), np.arange(2.0)))):
        writer = Writer(tmp_path, name)
        writer.begin(spec)
        writer.write(spec, Measured(0, {"x": value, "train_loss": scalar(0.5)}))
        writer.close()
    run = Store(tmp_path).runs[0]
    assert run.curves["train_loss"].values.tolist() == [0.5]
    assert run.curves["x"].dims == run["x"].dims == ("step", "a")
