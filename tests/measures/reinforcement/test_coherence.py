"""Coherence and stiffness against every pair of brute-force gradients."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_gradients, planted, tiny
from tests.measures.worked_examples import NAMES, Worked, worked
from undergrowth.measures import Observed, Reading
from undergrowth.measures.reinforcement.coherence import Agreement, Coherence, coherence, sign_stiffness
from undergrowth.models import Model

every_model = pytest.mark.parametrize("name", NAMES)
TRAIN, VAL = tiny.observed().sides()
MASK = np.array([True, False, True, False, True, False])


def of_groups(case: Worked) -> dict[str, np.ndarray]:
    """Gradients [group, example, weight]: of each site's components, and of all weights."""
    found = {}
    for site in case.model.sites:
        of_components = [
            brute_gradients.of_component(case.gradients, site.name, c) for c in range(site.n_components)
        ]
        found[site.name] = np.stack(of_components)
    return {**found, "whole": laid_end_to_end(list(case.gradients.values()))[None]}


def of_module(case: Worked, module: str) -> np.ndarray:
    """Gradients [group, example, weight] of the weights that one part of the model holds."""
    names = [name for name in case.gradients if name.rsplit(".", 1)[0] == module]
    return laid_end_to_end([case.gradients[name] for name in names])[None]


def laid_end_to_end(gradients: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([g.reshape(len(g), -1) for g in gradients], axis=1)


def m_coherence(g: np.ndarray) -> np.ndarray:
    """[group, example, weight] to [group]."""
    squares = (g**2).sum(axis=(1, 2))
    return (g.sum(axis=1) ** 2).sum(axis=1) / np.where(squares > 0, squares, 1)


def pair_dots(g: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[group, pair] of all pairs of two different examples."""
    i, j = (a.ravel() for a in np.meshgrid(np.flatnonzero(first), np.flatnonzero(second)))
    return np.einsum("gpw,gpw->gp", g[:, i[i != j]], g[:, j[i != j]])


def cosine(g: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    norm = np.sqrt((g**2).sum(axis=2, keepdims=True))
    return pair_dots(g / np.where(norm > 0, norm, 1), first, second).mean(axis=1)


def assert_agree(found: Agreement, g: np.ndarray) -> None:
    expected = (
        [m_coherence(g[:, side]) for side in (TRAIN, VAL)],
        [(np.abs(g[:, side]).max(axis=2) > 0).mean(axis=1) for side in (TRAIN, VAL)],
        [cosine(g, TRAIN, TRAIN), cosine(g, TRAIN, VAL)],
    )
    for values, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, truth, rtol=2e-4, atol=2e-5)


def found_in(case: Worked) -> dict[str, Agreement]:
    spec = case.context().spec
    return coherence(case.model, tiny.observed(), loss=spec.loss, temperature=spec.temperature)


@every_model
def test_every_component_module_and_the_whole_agree_as_all_pairs_do(name: str) -> None:
    case = worked(name)
    found = found_in(case)
    for grouping, g in of_groups(case).items():
        assert_agree(found[grouping], g)
    readings = Coherence(n_pairs=0).observe(case.model, tiny.observed(), case.context())
    modules = readings["coherence_module"].coords["module"]
    assert len(modules) > 2
    for k, module in enumerate(modules):
        of_one = Agreement(*(values[:, k : k + 1] for values in found["module"]))
        assert_agree(of_one, of_module(case, str(module)))


@every_model
def test_the_sign_stiffness_of_all_pairs_is_that_of_all_dot_products(name: str) -> None:
    case = worked(name)
    first, second = np.array([(i, j) for i in range(25) for j in range(i)]).T[:, None]
    spec = case.context().spec
    found = sign_stiffness(
        case.model,
        tiny.observed(),
        first,
        second,
        loss=spec.loss,
        temperature=spec.temperature,
    )
    for grouping, g in of_groups(case).items():
        dots = np.einsum("gpw,gpw->gp", g[:, first[0]], g[:, second[0]])
        largest = np.abs(dots).max(axis=1, keepdims=True)
        is_unsure = (dots != 0) & (np.abs(dots) < 1e-5 * largest)  # of either sign by rounding
        difference = np.abs(found[grouping][0] - np.sign(dots).mean(axis=1))
        assert (difference <= 2 * is_unsure.mean(axis=1) + 1e-9).all()
        assert is_unsure.mean() < 0.02


def test_a_mask_is_one_group_of_its_components() -> None:
    case = worked("transformer")
    site = case.model.sites[1].name
    masks = {"some": (site, MASK)}
    spec = case.context().spec
    found = coherence(case.model, tiny.observed(), masks=masks, temperature=spec.temperature)["some"]
    g = np.concatenate(list(of_groups(case)[site][MASK]), axis=1)[None]
    assert_agree(found, g)


def test_a_mask_of_no_site_is_an_error_that_names_the_sites() -> None:
    with pytest.raises(ValueError, match=r"masks\['some'\]: no site 'mlp' .*mlp\.hook_post"):
        coherence(tiny.mlp(), tiny.observed(), masks={"some": ("mlp", MASK)})


def with_inputs(inputs: np.ndarray, labels: np.ndarray) -> Observed:
    data = tiny.observed()
    return replace(data, inputs=jnp.asarray(inputs, jnp.int32), labels=jnp.asarray(labels, jnp.int32))


@pytest.mark.parametrize("model", [tiny.transformer(), tiny.mlp()], ids=["transformer", "mlp"])
def test_identical_examples_agree_fully(model: Model) -> None:
    data = with_inputs(np.tile([[1, 3]], (25, 1)), np.full(25, 2))
    of = coherence(model, data)
    assert of["whole"].m_coherence[:, 0] == pytest.approx([15, 10], rel=1e-4)
    assert of["whole"].cosine[:, 0] == pytest.approx([1, 1], rel=1e-4)
    for site in model.sites:
        is_active = of[site.name].active[0] == 1
        assert is_active.any()
        expected = np.where(is_active, 15, 0)
        assert of[site.name].m_coherence[0] == pytest.approx(expected, rel=1e-4)
        assert of[site.name].cosine[1] == pytest.approx(is_active.astype(float), rel=1e-4)


def test_examples_that_share_no_weight_are_unrelated() -> None:
    """Look-up neurons, each with its own example and label: every product of two gradients is 0."""
    pairs = [(x, x) for x in range(5)]
    lookup = planted.lookup(5, pairs, labels=range(5), strength=60.0)
    inputs = np.array(pairs + 20 * [pairs[0]])
    side = np.arange(25) < 5
    data = replace(
        with_inputs(inputs, inputs[:, 0]), is_train=jnp.asarray(side), is_val=jnp.asarray(~side)
    )
    of = coherence(lookup, data)
    site = lookup.sites[0].name
    assert of[site].m_coherence[0] == pytest.approx(np.ones(5), rel=1e-5)  # one example each
    assert of[site].active[0] == pytest.approx(np.full(5, 0.2))
    assert of[site].cosine[0] == pytest.approx(np.zeros(5), abs=1e-7)
    assert of["whole"].m_coherence[0, 0] == pytest.approx(1, rel=1e-5)
    assert of["whole"].cosine[0, 0] == pytest.approx(0, abs=1e-6)
    assert of["whole"].m_coherence[1, 0] == pytest.approx(20, rel=1e-5)  # the others are one example
    assert of["whole"].cosine[1, 0] == pytest.approx(0.2, rel=1e-5)  # alike with one in five


def test_examples_in_several_chunks_agree_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    case = worked("transformer")
    together = found_in(case)
    monkeypatch.setattr("undergrowth.measures.reinforcement.example_gradients.EXAMPLES_AT_ONCE", 7)
    for name, found in found_in(case).items():
        for a, b in zip(found, together[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def readings_of(model: Model, n_pairs: int) -> dict[str, Reading]:
    return dict(Coherence(n_pairs=n_pairs).observe(model, tiny.observed(), tiny.context(model)))


def test_signs_are_left_out_where_no_pairs_are_drawn() -> None:
    assert not [name for name in readings_of(tiny.mlp(), n_pairs=0) if "sign" in name]
    drawn = readings_of(tiny.mlp(), n_pairs=30)
    assert drawn["coherence_neuron_sign"].dims == ("layer", "pair", "neuron")
    assert set(Coherence(n_pairs=30).scalars) == {n for n, r in drawn.items() if not r.dims}
