"""Laws of every measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import jax
import numpy as np
import pytest

from tests import tiny
from undergrowth.measures import (
    AnyMeasure,
    Areas,
    ComponentNorms,
    Curves,
    ExpectedReturn,
    GroupAccuracy,
    Measure,
    Observed,
    Reading,
    Saliency,
    SampledFunctions,
    TableMap,
    TrainedFunctions,
)
from undergrowth.measures.reading import OF_THE_ENGINE, check_names
from undergrowth.models import Model, load_state_dict, state_dict
from undergrowth.spec import SpecError

ELSEWHERE = {
    ExpectedReturn: "reads no table: see tests/training/test_policy_gradient.py",
    GroupAccuracy: "needs a task with groups: see tests/measures/test_group_accuracy.py",
    SampledFunctions: "reads fresh networks, not the model: see tests/measures/functions",
    TrainedFunctions: "reads fresh networks, not the model: see tests/measures/functions",
}
"""Measures that these laws are not about, and why."""
KINDS = tuple(kind for kind in get_args(get_args(AnyMeasure)[0]) if kind not in ELSEWHERE)
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "curves": [{}],
    "predictions": [{}],
    "norms": [{}],
    "component_norms": [{}, {"prefix": "head_norms", "component": "head"}],
    "alignment": [{}],
    "collapse": [{}],
    "sharpness": [{"n_eigenvalues": 2}],
    "local_learning_coefficient": [{"n_draws": 10, "burn_in": 2, "batch_size": 8}],
    "kernel": [{"n_examples": 8}],
    "ledger": [{"per_example": True}],
    "routed_reach": [{"preconditioned": False}],
    "reach": [{"irreps": ("1",), "each_irrep": True, "preconditioned": False}],
    "coherence": [{"n_pairs": 30}],
    "confidence": [{}],
    "saliency": [
        {},
        {"prefix": "heads", "component": "head", "baseline": "zero"},
        {"prefix": "ablated", "method": "ablation", "score": "log_prob"},
    ],
    "generality": [
        {"thresholds": (0.1, 0.5), "groups": 3},
        {"prefix": "attributed", "rank_by": "attribution"},
    ],
    "carriers": [{"share": 0.5, "n_pairs": 20}],
    "clock_pizza": [{"n_triples": 40}],
    "shapley": [
        {"n_examples": 8, "score": "log_prob"},
        {"prefix": "head_values", "component": "head", "n_examples": 8, "score": "centred_logit"},
    ],
    "deletion": [{"ks": (0, 1, 3), "repeats": 3}],
    "areas": [{"kind": "sum_band", "draws": 3}],
    "swaps": [{}],
    "table_map": [{}],
    "fourier": [{"mean_logits": True}],
    "representations": [{}],
}
MEASURES = [
    kind.model_validate(parameters)
    for kind in KINDS
    for parameters in PARAMETERS.get(kind.model_fields["name"].default, [])
]
ONLY_ON_AVERAGE = {
    "local_learning_coefficient": "its noise falls on the weights in their order",
}
"""Measures that do not follow a permutation of the neurons, and why."""
MODELS: dict[str, Model] = {"transformer": tiny.transformer(), "mlp": tiny.mlp()}
PERMUTATION = np.array([3, 0, 5, 1, 4, 2])


def fits(measure: Measure, model: Model) -> bool:
    """Whether the model has the components that the measure looks at."""
    component = getattr(measure, "component", None)
    return component is None or component in {site.component for site in model.sites}


every_measure = pytest.mark.parametrize(
    ("measure", "model"),
    [(m, model) for m in MEASURES for model in MODELS.values() if fits(m, model)],
    ids=[f"{m.key}-{name}" for m in MEASURES for name, model in MODELS.items() if fits(m, model)],
)


def observe(measure: Measure, model: Model, seed: int = 0) -> Mapping[str, Reading]:
    return measure.observe(model, tiny.observed(), tiny.context(model, seed))


def bits(readings: Mapping[str, Reading]) -> dict[str, bytes]:
    return {name: np.asarray(reading.values).tobytes() for name, reading in readings.items()}


def with_neurons_permuted(model: Model) -> Model:
    """The same function, its neurons in another order."""
    arrays = state_dict(model)
    for name, array in arrays.items():
        if name.endswith(("mlp.W_in", "mlp.b_in")):
            arrays[name] = array[..., PERMUTATION]
        elif name.endswith("mlp.W_out") or (name == "unembed.W_U" and "mlp.W_in" in arrays):
            arrays[name] = array[PERMUTATION]
    return load_state_dict(model, arrays)


def test_the_suite_covers_every_kind_of_measure() -> None:
    assert {type(measure) for measure in MEASURES} == set(KINDS)


@every_measure
def test_measuring_leaves_model_and_data_as_they_are(measure: Measure, model: Model) -> None:
    data = tiny.observed()
    before = {name: array.copy() for name, array in state_dict(model).items()}
    inputs, labels, is_train = (
        np.array(a, copy=True) for a in (data.inputs, data.labels, data.is_train)
    )
    measure.observe(model, data, tiny.context(model))
    for name, array in state_dict(model).items():
        assert (array == before[name]).all()
    for now, then in (
        (data.inputs, inputs),
        (data.labels, labels),
        (data.is_train, is_train),
    ):
        assert (np.asarray(now) == then).all()


@every_measure
def test_the_same_model_data_and_rng_give_the_same_readings(measure: Measure, model: Model) -> None:
    assert bits(observe(measure, model)) == bits(observe(measure, model))


@every_measure
def test_readings_depend_on_the_model(measure: Measure, model: Model) -> None:
    other = jax.tree.map(lambda w: 0.7 * w, model)
    assert bits(observe(measure, model)) != bits(observe(measure, other))


@every_measure
def test_readings_are_finite_float32_with_labelled_axes(measure: Measure, model: Model) -> None:
    readings = observe(measure, model)
    assert readings
    for name, reading in readings.items():
        assert reading.values.dtype == np.float32, name
        assert np.isfinite(reading.values).all(), name
        assert len(reading.dims) == reading.values.ndim
        assert set(reading.coords) <= set(reading.dims)
        for dim, labels in reading.coords.items():
            assert len(labels) == reading.values.shape[reading.dims.index(dim)]


@every_measure
def test_readings_follow_a_permutation_of_the_neurons(measure: Measure, model: Model) -> None:
    if why := ONLY_ON_AVERAGE.get(dict(measure)["name"]):
        pytest.skip(why)
    before, after = observe(measure, model), observe(measure, with_neurons_permuted(model))
    assert before.keys() == after.keys()
    for name, reading in before.items():
        expected = np.asarray(reading.values)
        if "neuron" in reading.dims:
            expected = expected.take(PERMUTATION, axis=reading.dims.index("neuron"))
            if expected.any():  # an exact value's error is 0
                assert np.abs(expected - reading.values).max() > 1e-3  # the order can be told
        rounding = 1e-4 if name.endswith("_residual") else 1e-5
        np.testing.assert_allclose(after[name].values, expected, rtol=1e-4, atol=rounding)


@every_measure
def test_a_measure_reads_what_it_says_that_it_reads(measure: Measure, model: Model) -> None:
    read = set(observe(measure, model))
    assert read <= set(measure.names)
    assert set(measure.scalars) <= set(measure.names)


def test_every_kind_of_measure_says_what_it_reads() -> None:
    for kind in get_args(get_args(AnyMeasure)[0]):
        names = kind().names
        assert names, kind
        assert len(names) == len(set(names)), kind


def test_measures_of_one_run_name_their_readings_apart() -> None:
    names = [name for m in MEASURES for name in m.names]
    assert len(names) == len(set(names))
    check_names(MEASURES)


@pytest.mark.parametrize(
    ("first", "second", "name", "remedy"),
    [
        (Curves(), Areas(prefix="train"), "train_accuracy", "give it another prefix"),
        (Areas(prefix="val"), Curves(), "val_accuracy", "give the other another prefix"),
        (TableMap(), Areas(prefix="table"), "table_centred_logit", "give it another prefix"),
        (
            ComponentNorms(prefix="saliency_mean"),
            Saliency(),
            "saliency_mean",
            "give it another prefix",
        ),
    ],
)
def test_two_measures_of_one_name_are_refused_in_one_line(
    first: Measure, second: Measure, name: str, remedy: str
) -> None:
    with pytest.raises(ValueError, match="a name that measure") as caught:
        check_names([first, second])
    assert str(caught.value) == (
        f"measure {second.key!r} reads {name!r}, a name that measure {first.key!r} has: {remedy}"
    )


@pytest.mark.parametrize("prefix", OF_THE_ENGINE)
def test_the_names_of_the_laboratory_itself_are_taken(prefix: str) -> None:
    with pytest.raises(ValueError, match=f"reads '{prefix}', a name that the laboratory itself has"):
        check_names([ComponentNorms(prefix=prefix)])


def test_a_run_whose_measures_clash_is_no_run() -> None:
    with pytest.raises(SpecError, match="measure 'train' reads 'train_accuracy', a name that measure"):
        tiny.spec(measures=[{"name": "curves"}, {"name": "areas", "prefix": "train"}])


def test_a_reading_whose_axes_do_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"axes \('side',\) do not fit an array of shape \(2, 3\)"):
        Reading(("side",), np.zeros((2, 3)))


def test_the_observed_sides_part_the_examples(observed: Observed) -> None:
    train, val = observed.sides()
    assert (train ^ val).all()
    assert train.sum() == 15
    assert (np.asarray(observed.train_inputs()) == np.asarray(observed.inputs)[train]).all()
