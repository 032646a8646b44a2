"""Planted circuits equal their closed form: the general one answers all cells, a look-up its own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undergrowth.analysis.rivals import Rivals
from undergrowth.models import Planted, PlantedSpec, PlantedWeights, gated, parameter_names
from undergrowth.models.circuits import Circuits
from undergrowth.spec import RunSpec, SpecError
from undergrowth.tasks import Tokens
from undergrowth.tasks.groups import products

GENERAL = [("C5", "fourier"), ("C9", "fourier"), ("C9", "irreps"), ("D4", "irreps"), ("A4", "irreps")]


def made(group: str, general: str = "fourier", **fields: Any) -> Planted | PlantedWeights:
    spec = PlantedSpec(group=group, general=general, **fields)  # pyright: ignore[reportArgumentType]
    return spec.init(Tokens(len(products(group))), len(products(group)), np.random.default_rng(0))


def all_cells(group: str) -> tuple[np.ndarray, np.ndarray]:
    table = products(group)
    return np.argwhere(table >= 0).astype(np.int32), table.ravel()


def centred(logits: Any) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    return logits - logits.mean(axis=1, keepdims=True)


def said(group: str, cells: Any) -> np.ndarray:
    """1 at the label of each of some cells, in their rows."""
    labels = all_cells(group)[1]
    truth = np.zeros((len(labels), len(products(group))))
    truth[cells, labels[cells]] = 1
    return centred(truth)


@pytest.mark.parametrize(("group", "general"), GENERAL)
@pytest.mark.parametrize("plain", [False, True])
def test_the_general_block_alone_answers_every_cell_by_one(
    group: str, general: str, plain: bool
) -> None:
    model = made(group, general, general_strength=1.0, shallow_strength=0.0)
    inputs, labels = all_cells(group)
    logits = (model.plain if plain else model)(jnp.asarray(inputs))
    np.testing.assert_allclose(centred(logits), said(group, np.arange(len(labels))), atol=1e-5)
    assert (np.asarray(logits).argmax(axis=1) == labels).all()


@pytest.mark.parametrize("group", ["C5", "S3"])
@pytest.mark.parametrize("trains", ["strengths", "weights"])
def test_each_look_up_and_each_strip_answers_its_own_cells_and_no_other(group: str, trains: str) -> None:
    general = "fourier" if group == "C5" else "irreps"
    model = made(
        group, general, strips=(3, 7), general_strength=1.0, shallow_strength=1.0, trains=trains
    )
    inputs, _ = all_cells(group)
    (site,) = model.sites
    cells = model.circuits.cells
    assert model.circuits.generality == (*(1,) * len(inputs), 3, 7, len(inputs))
    for block in (0, 8, len(inputs) - 1, len(inputs), len(inputs) + 1, len(inputs) + 2):
        alone = gated((site,), {site.name: jnp.zeros(len(cells)).at[block].set(1)})
        logits = model(jnp.asarray(inputs), alone)
        np.testing.assert_allclose(centred(logits), said(group, list(cells[block])), atol=1e-5)


@pytest.mark.parametrize("trains", ["strengths", "weights"])
def test_together_they_add_up_by_their_strengths(trains: str) -> None:
    model = made("C5", strips=(5,), general_strength=0.7, shallow_strength=0.2, trains=trains)
    inputs, _ = all_cells("C5")
    logits = centred(model(jnp.asarray(inputs)))
    margin = np.where(np.arange(25) < 5, 0.7 + 0.2 + 0.2, 0.7 + 0.2)
    np.testing.assert_allclose(logits, margin[:, None] * said("C5", np.arange(25)), atol=1e-5)


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_a_general_block_of_several_layers_begins_with_its_strength_and_grows_as_the_flow_says(
    factors: int,
) -> None:
    fields: Any = {"general_strength": 0.3, "shallow_strength": 0.2, "general_factors": factors}
    cells, labels = all_cells("C5")
    inputs = jnp.asarray(cells)
    one, several = made("C5", **fields | {"general_factors": 1}), made("C5", **fields)
    for model in (one, several):
        np.testing.assert_allclose(model(inputs), model.plain(inputs), atol=1e-6)
        np.testing.assert_allclose(model(inputs), one(inputs), atol=1e-6)
    assert parameter_names(several) == ("strength", *(f"factors.{i}" for i in range(factors - 1)))

    def loss(model: Planted) -> Any:
        return -jnp.mean(jax.nn.log_softmax(model(inputs))[np.arange(25), labels])

    slopes = jax.jit(jax.grad(loss))(several)
    assert isinstance(several, Planted)
    assert isinstance(slopes, Planted)
    rho = Rivals(25, 5).residual(np.array(0.5))
    u = 0.3 ** (1 / factors)
    for mine in (slopes.strength, *slopes.factors):
        assert float(mine[-1]) == pytest.approx(-rho * u ** (factors - 1), rel=1e-4)
    np.testing.assert_allclose(slopes.strength[:-1], -rho / 25, rtol=1e-4)
    assert not any(np.any(factor[:-1]) for factor in (*slopes.factors, *several.factors))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"general_factors": 2, "trains": "weights"}, "general_factors = 2 with trains = 'weights'"),
        ({"general_factors": 2, "general": "none"}, "general_factors = 2 with general = 'none'"),
        ({"strips": (20, 6)}, "strips of 26 cells in all do not fit: the table of C5 has 25"),
        ({"group": "C4"}, "general = 'fourier' does not fit C4"),
        ({"group": "S3"}, "general = 'fourier' does not fit S3"),
        ({"group": "Q8", "general": "irreps"}, "the irreps of Q's are not known here"),
        ({"lookups": False, "general": "none"}, "no block is planted"),
        ({"group": "C31"}, "set lookups = false, or take a smaller group"),
        ({"group": "C113"}, "at most 64 operands"),
        ({"group": "Z5"}, "is not known: use C, D, S or A"),
    ],
)
def test_blocks_that_do_not_fit_are_refused_in_one_line(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(SpecError, match=wrong) as error:
        PlantedSpec(**fields)
    assert "\n" not in str(error.value)


def test_circuits_answer_one_task_and_no_other() -> None:
    planted = {"model": {"name": "planted"}}
    assert RunSpec.from_dict({"task": {"name": "modular", "p": 5}, **planted})
    assert RunSpec.from_dict({"task": {"name": "group", "group": "C5"}, **planted})
    for task in ({"operation": "x*y", "p": 5}, {"p": 7}):
        with pytest.raises(SpecError, match="the blocks answer C5, not x"):
            RunSpec.from_dict({"task": task, **planted})
    with pytest.raises(ValueError, match="do not fit two tokens out of 7"):
        PlantedSpec().init(Tokens(7), 7, None)


def test_measures_of_neurons_say_that_there_are_none() -> None:
    for name in ("fourier", "representations"):
        with pytest.raises(SpecError, match="looks at neurons, which a planted lacks"):
            RunSpec.from_dict(
                {
                    "task": {"p": 5},
                    "model": {"name": "planted"},
                    "measures": [{"name": "curves"}, {"name": name}],
                }
            )


def test_circuits_are_values() -> None:
    assert Circuits("C5") == Circuits("C5") != Circuits("C5", strips=(2,))
    assert Circuits("C5").neurons() is Circuits("C5").neurons()
