"""For how many examples components are needed or sufficient: in closed form, and in float64."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import undergrowth as ug
from tests import brute_force, planted, tiny
from tests.measures.circuits.test_closing import Unread
from undergrowth.gating import baselines, site_of
from undergrowth.measures import Generality, Observed, Reading, serves
from undergrowth.models import Model, load_state_dict, state_dict
from undergrowth.spec import SpecError
from undergrowth.tasks import CommutationSafe, Modular, make_data

P = 13
PAIRS = ((0, 5), (5, 1), (7, 7), (12, 3))
CELLS = [x * P + y for x, y in PAIRS]
FREQUENCIES = (1, 3, 4)
THRESHOLDS = (0.05, 0.3, 1.0)


def observe(model: Model, data: Observed, **fields: Any) -> dict[str, np.ndarray]:
    measure = Generality(**fields)
    readings: dict[str, Reading] = dict(measure.observe(model, data, tiny.context(tiny.mlp())))
    return {name.removeprefix("generality_"): reading.values for name, reading in readings.items()}


def table(labels: dict[int, int] | None = None) -> Observed:
    """x + y mod 13, with some cells labelled otherwise."""
    data = make_data(Modular(p=P), CommutationSafe(frac_train=0.6), "true", seed=0)
    said = data.labels.copy()
    for cell, label in (labels or {}).items():
        said[cell] = label
    return Observed.of(replace(data, labels=said))


def served_alone(data: Observed, cells: list[int]) -> np.ndarray:
    """[side, cell]: the share of a side that a cell is, where it is on that side."""
    return np.stack([side[cells] / side.sum() for side in data.sides()])


def test_a_look_up_neuron_serves_one_example() -> None:
    data = table()
    found = observe(planted.lookup(P, PAIRS), data, baseline="zero", thresholds=THRESHOLDS)
    expected = served_alone(data, CELLS)
    assert expected.sum(axis=1).min() > 0  # some on each side
    np.testing.assert_allclose(found["needed"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["sufficient"], expected, rtol=1e-6)
    for at_threshold in found["carries"].swapaxes(0, 1):
        np.testing.assert_allclose(at_threshold, expected, rtol=1e-6)
    np.testing.assert_allclose(found["intact"], expected.sum(axis=1), rtol=1e-6)
    assert (found["without"] == 0).all()


def test_a_periodic_circuit_serves_all_that_no_look_up_does() -> None:
    """And no single neuron of it is needed for any: they stand in for one another."""
    labels = [1, 2, 3, 4]
    data = table(dict(zip(CELLS, labels, strict=True)))
    model = planted.both(P, PAIRS, labels, FREQUENCIES)
    n = len(PAIRS) + 15 * len(FREQUENCIES)
    looks_up = np.arange(n) < len(PAIRS)
    served = serves(
        model, data.inputs, data.labels, np.stack([looks_up, ~looks_up]), site=site_of(model, "neuron")
    )
    of_look_up = np.isin(np.arange(P * P), CELLS)
    for found in served:
        assert (found == np.stack([of_look_up, ~of_look_up])).all()
    singles = observe(model, data, baseline="zero")
    expected = served_alone(data, CELLS)
    np.testing.assert_allclose(singles["needed"][:, looks_up], expected, rtol=1e-6)
    assert (singles["needed"][:, ~looks_up] == 0).all()
    assert (singles["sufficient"][:, looks_up] >= expected * (1 - 1e-6)).all()
    assert (singles["intact"] == 1).all()


def test_every_neuron_of_a_periodic_circuit_carries_little_of_many_centred_logits() -> None:
    """The sensitivity to the threshold that tells a look-up from a periodic circuit."""
    data = table()
    periodic = observe(
        planted.periodic(P, FREQUENCIES), data, baseline="zero", thresholds=(0.01, 0.1, 0.5)
    )["carries"]
    assert periodic[:, 0].min() > 0.2
    assert periodic[:, 2].max() == 0
    assert (np.diff(periodic, axis=1) <= 0).all()


def right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    ahead = logits[np.arange(len(labels)), labels, None] > logits
    return ahead.sum(axis=1) == logits.shape[1] - 1


def by_brute_force(component: str, baseline: str) -> dict[str, np.ndarray]:
    """Every gate of the tiny transformer closed, and open alone, in float64."""
    weights, data = state_dict(tiny.transformer()), tiny.observed()
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
    is_train = np.asarray(data.is_train)
    kept: dict[str, np.ndarray] = {}
    brute_force.transformer(weights, inputs[is_train], keep=kept)
    kind, n = ("neuron", 6) if component == "neuron" else ("head", 2)
    stand_in = kept["post" if kind == "neuron" else "z"].mean(axis=0) * (baseline == "mean")

    def through(gates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kwargs: dict[str, Any] = {f"{kind}_gates": gates, f"{kind}_baseline": stand_in}
        logits = brute_force.transformer(weights, inputs, **kwargs)
        return right(logits, labels), brute_force.score("centred_logit", logits, labels)

    whole, centred_logit = through(np.ones(n))
    found: dict[str, list] = {"needed": [], "sufficient": [], "carries": [], "lost": []}
    for only in np.eye(n):
        closed, closed_centred_logit = through(1 - only)
        found["needed"].append(whole & ~closed)
        found["sufficient"].append(through(only)[0])
        lost = centred_logit - closed_centred_logit
        found["carries"].append([whole & (lost >= t * centred_logit) for t in THRESHOLDS])
        found["lost"].append(np.abs(lost))
    found["intact"], found["without"] = [whole], [through(np.zeros(n))[0]]
    return {
        name: np.stack([np.asarray(each)[..., side].mean(axis=-1) for side in data.sides()])
        for name, each in found.items()
    }


@pytest.mark.parametrize("baseline", ["zero", "mean"])
@pytest.mark.parametrize("component", ["neuron", "head"])
def test_shares_are_those_of_closing_every_gate_by_itself(component: str, baseline: str) -> None:
    expected = by_brute_force(component, baseline)
    found = observe(
        tiny.transformer(),
        tiny.observed(),
        component=component,
        baseline=baseline,
        thresholds=THRESHOLDS,
    )
    for name in ("needed", "sufficient"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
        assert expected[name].any()
    np.testing.assert_allclose(found["carries"], expected["carries"].swapaxes(1, 2), atol=1e-6)
    for name in ("intact", "without"):
        np.testing.assert_allclose(found[name], expected[name][:, 0], atol=1e-6)


def test_one_product_each_is_as_good_as_a_forward_pass_each() -> None:
    model, data = tiny.transformer(), tiny.observed()
    fast, slow = (observe(m, data, thresholds=THRESHOLDS) for m in (model, Unread(model, {}, {})))
    for name, values in slow.items():
        np.testing.assert_allclose(fast[name], values, atol=1e-6)


def test_sets_of_one_are_the_components() -> None:
    model, data = tiny.transformer(), tiny.observed()
    site = site_of(model, "neuron")
    stand_in = baselines(model, data.train_inputs(), "mean")
    served = serves(model, data.inputs, data.labels, np.eye(6, dtype=bool), site=site, baseline=stand_in)
    found = observe(model, data)
    for name, each in zip(("needed", "sufficient"), served, strict=True):
        shares = np.stack([each[:, side].mean(axis=1) for side in data.sides()])
        np.testing.assert_allclose(shares, found[name], atol=1e-6)
    one = serves(model, data.inputs, data.labels, np.arange(6) == 2, site=site, baseline=stand_in)
    assert (one.needed == served.needed[[2]]).all()


def test_groups_go_from_what_changes_the_centred_logits_most_to_what_does_least() -> None:
    model, data = tiny.transformer(), tiny.observed()
    lost = by_brute_force("neuron", "mean")["lost"][0]
    order = np.argsort(-lost)
    masks = np.stack([np.isin(np.arange(6), part) for part in (order[:2], order[2:4], order[4:])])
    stand_in = baselines(model, data.train_inputs(), "mean")
    served = serves(
        model, data.inputs, data.labels, masks, site=site_of(model, "neuron"), baseline=stand_in
    )
    found = observe(model, data, groups=3)
    for name, each in zip(("needed", "sufficient"), served, strict=True):
        shares = np.stack([each[:, side].mean(axis=1) for side in data.sides()])
        np.testing.assert_allclose(found[f"group_{name}"], shares, atol=1e-6)
    assert observe(model, data, groups=10)["group_needed"].shape == (2, 6)


def test_groups_ranked_by_attribution_are_the_same_where_logits_are_linear() -> None:
    model, data = tiny.transformer(), tiny.observed()
    for baseline in ("zero", "mean"):
        closing, attribution = (
            observe(model, data, groups=3, rank_by=rule, baseline=baseline)
            for rule in ("closing", "attribution")
        )
        assert attribution.keys() == {"group_needed", "group_sufficient"}
        for name, values in attribution.items():
            np.testing.assert_allclose(values, closing[name], atol=1e-6)


def test_groups_ranked_by_attribution_are_those_of_its_mean_where_logits_are_not_linear() -> None:
    of_two_layers = tiny.TRANSFORMER.model_copy(update={"n_layers": 2, "layer_norm": "pre"})
    model, data = tiny.made(of_two_layers, seed=12), tiny.observed()
    site = site_of(model, "neuron")
    stand_in = baselines(model, data.train_inputs(), "mean")
    assert model.readout(site) is None
    is_train = data.sides()[0]
    slopes = ug.attribute(
        model,
        data.inputs[is_train],
        data.labels[is_train],
        site=site,
        method="gradient_x_activation",
        baseline=stand_in,
    )
    order = np.argsort(-np.abs(slopes).mean(axis=0))
    masks = np.stack([np.isin(np.arange(6), part) for part in np.split(order, 3)])
    served = serves(model, data.inputs, data.labels, masks, site=site, baseline=stand_in)
    found = observe(model, data, groups=3, rank_by="attribution")
    for name, each in zip(("needed", "sufficient"), served, strict=True):
        shares = np.stack([each[:, side].mean(axis=1) for side in data.sides()])
        np.testing.assert_allclose(found[f"group_{name}"], shares, atol=1e-6)


def test_a_dead_component_serves_nothing() -> None:
    """Alone it leaves all logits equal, which is no prediction, not even of the first label."""
    model, data = planted.lookup(P, PAIRS), table()
    arrays = state_dict(model)
    dead = load_state_dict(model, {**arrays, "mlp.b_in": arrays["mlp.b_in"] - 9})
    found = observe(dead, data, baseline="zero")
    assert all((values == 0).all() for values in found.values())


def test_thresholds_ascend() -> None:
    with pytest.raises(SpecError, match=r"must ascend: set \[0.1, 0.5\]"):
        Generality(thresholds=(0.5, 0.1))


def test_the_page_takes_the_first_four_neurons_as_a_set() -> None:
    page = (Path(__file__).parents[3] / "docs" / "measures.md").read_text()
    code = next(c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if ".serves(" in c)
    spec = tiny.spec(model=tiny.TRANSFORMER.model_dump())
    names: dict[str, Any] = {"ug": ug, "np": np}
    names["run"] = SimpleNamespace(model=tiny.transformer, spec=spec)
    exec(code, names)
    model, data = tiny.transformer(), Observed.of(spec.data())
    mean = baselines(model, data.train_inputs(), "mean")
    first_four = np.array([[True, True, True, True, False, False]])
    served = serves(
        model, data.inputs, data.labels, first_four, site=site_of(model, "neuron"), baseline=mean
    )
    assert names["shares"] == (served.needed.mean(), served.sufficient.mean())
