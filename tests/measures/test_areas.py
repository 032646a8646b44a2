"""Areas against enumeration by hand on x + y mod 5, and their chance against its closed form."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests import brute_force, planted, tiny
from undergrowth.measures import Areas, Observed, Swaps, TableMap, areas_of
from undergrowth.models import state_dict
from undergrowth.spec import SpecError
from undergrowth.tasks import Modular, SparseParity, make_data

GRID = np.asarray(tiny.pairs())
SUM = Modular(p=5)


def test_the_strips_of_the_product_are_as_counted_by_hand() -> None:
    assert areas_of(SUM, GRID, "xy_band").reshape(5, 5).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1],
        [0, 0, 1, 1, 2],
        [0, 0, 1, 2, 3],
    ]


def test_the_bands_of_the_sum_are_as_counted_by_hand() -> None:
    assert areas_of(SUM, GRID, "sum_band").reshape(5, 5).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 1, 1, 1],
        [0, 1, 1, 1, 1],
    ]


def test_blocks_are_numbered_row_by_row_and_cut_off_at_the_edge() -> None:
    assert areas_of(SUM, GRID, "block", block=2).reshape(5, 5).tolist() == [
        [0, 0, 1, 1, 2],
        [0, 0, 1, 1, 2],
        [3, 3, 4, 4, 5],
        [3, 3, 4, 4, 5],
        [6, 6, 7, 7, 8],
    ]


def scores(model: object, labels: np.ndarray) -> np.ndarray:
    """[score, example]: accuracy and centred logit by brute force."""
    logits = brute_force.mlp(state_dict(model), GRID)
    return np.stack(
        [logits.argmax(axis=1) == labels, brute_force.score("centred_logit", logits, labels)]
    )


def test_each_area_has_the_mean_of_its_examples() -> None:
    model, data = tiny.mlp(), tiny.observed()
    found = Areas(kind="block", block=3, draws=2).observe(model, data, tiny.context(model))
    values = scores(model, np.asarray(data.labels))
    area = areas_of(SUM, GRID, "block", block=3)
    assert found["areas_accuracy"].values.shape == (2, 4)
    for s, side in enumerate(data.sides()):
        for a in range(4):
            expected = values[:, side & (area == a)].mean(axis=1)
            reached = [found[f"areas_{name}"].values[s, a] for name in ("accuracy", "centred_logit")]
            np.testing.assert_allclose(reached, expected, atol=1e-5)


def test_an_area_without_examples_on_a_side_is_nan() -> None:
    model, data = tiny.mlp(), tiny.observed()
    found = Areas(kind="block", block=1, draws=2).observe(model, data, tiny.context(model))
    assert (~np.isnan(found["areas_centred_logit"].values) == np.stack(data.sides())).all()


def test_the_variance_between_areas_and_its_chance_are_those_of_their_formulas() -> None:
    model, data = tiny.mlp(), tiny.observed()
    n_draws = 4000
    found = Areas(kind="sum_band", draws=n_draws).observe(model, data, tiny.context(model))
    values = scores(model, np.asarray(data.labels))
    area = areas_of(SUM, GRID, "sum_band")
    for s, side in enumerate(data.sides()):
        of_side, n = values[:, side], side.sum()
        mean = of_side.mean(axis=1)
        between = sum(
            (area[side] == a).sum() / n * (of_side[:, area[side] == a].mean(axis=1) - mean) ** 2
            for a in (0, 1)
        )
        np.testing.assert_allclose(found["areas_variance"].values[s], between, rtol=1e-4)
        expected = of_side.var(axis=1) / (n - 1)  # of (number of areas - 1) = 1 degree of freedom
        chance, sd = (found[f"areas_{name}"].values[s] for name in ("chance", "chance_sd"))
        assert (abs(chance - expected) < 4 * sd / n_draws**0.5 + 1e-6).all()
        assert 0.9 * expected[1] < sd[1] < 1.5 * expected[1]  # near chi-squared's, sqrt(2) of its mean


def test_areas_that_are_learned_one_by_one_stand_out() -> None:
    """A look-up of one band is right there and nowhere else."""
    band = [(x, y) for x, y in GRID.tolist() if x + y >= 5]
    model, data = planted.lookup(5, band), tiny.observed()
    found = Areas(kind="sum_band").observe(model, data, tiny.context(tiny.mlp()))
    is_train, _ = data.sides()
    outside = np.array([x + y < 5 for x, y in GRID.tolist()]) & is_train
    chance = (np.asarray(data.labels)[outside] == 0).mean()  # logits are alike there, so it says 0
    np.testing.assert_allclose(found["areas_accuracy"].values[0], [chance, 1], atol=1e-6)
    beyond = found["areas_variance"].values - found["areas_chance"].values
    assert (beyond > 3 * found["areas_chance_sd"].values).all()


def test_swaps_in_training_are_told_from_pairs_that_are_unseen() -> None:
    """Trained: (0,1), (2,3), (4,4) and (3,0); the swaps of the first, second and fourth are known."""
    trained = [(0, 1), (2, 3), (4, 4), (3, 0)]
    is_train = np.array([tuple(pair) in trained for pair in GRID.tolist()])
    data = make_data(SUM, tiny.SPLIT, "true", seed=0)
    data = type(data)(GRID, data.labels, is_train, ~is_train, data.is_noisy, data.weights)
    known = planted.lookup(5, [(1, 0), (3, 2), (1, 1)])
    found = Swaps().observe(known, Observed.of(data), tiny.context(tiny.mlp()))
    silent = {(x, y) for x, y in GRID.tolist() if (x + y) % 5 == 0}  # the label of no logits at all
    unseen = {(x, y) for x, y in GRID.tolist()} - set(trained) - {(1, 0), (3, 2), (0, 3)}
    assert found["swap_in_train_accuracy"].values == pytest.approx(2 / 3)
    assert found["unseen_accuracy"].values == pytest.approx((len(unseen & silent) + 1) / len(unseen))
    assert found["swap_in_train_centred_logit"].values == pytest.approx(2 / 3)


def test_a_class_without_examples_has_no_readings() -> None:
    model = tiny.mlp()
    found = Swaps().observe(model, tiny.observed(), tiny.context(model))
    assert set(found) == {"unseen_accuracy", "unseen_centred_logit"}


def test_the_map_holds_every_cell_and_no_other() -> None:
    division = Modular(operation="x/y", p=5)
    data = Observed.of(make_data(division, tiny.SPLIT, "true", seed=0))
    model = tiny.mlp()
    at = tiny.context(model, task={"name": "modular", "operation": "x/y", "p": 5})
    found = TableMap().observe(model, data, at)
    logits = brute_force.mlp(state_dict(model), GRID).reshape(5, 5, 5)
    for x in range(5):
        assert np.isnan(found["table_centred_logit"].values[x, 0])
        for y in range(1, 5):
            label = next(q for q in range(5) if q * y % 5 == x)
            rest = np.delete(logits[x, y], label).mean()
            assert found["table_centred_logit"].values[x, y] == pytest.approx(
                logits[x, y, label] - rest, abs=1e-5
            )
            assert found["table_correct"].values[x, y] == (logits[x, y].argmax() == label)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"task": SparseParity(n_bits=4, k=2), "measures": ["areas"]},
            "'areas' needs a table of two operands, and .* has none: take 'curves'",
        ),
        (
            {"task": Modular(operation="x-y", p=5), "measures": ["swaps"]},
            "x-y mod 5 commutes nowhere, so no swap has an equal label: take 'areas'",
        ),
        ({"task": SUM, "measures": ["swaps"]}, "use split.name = 'leaky_random', or measure 'areas'"),
    ],
)
def test_a_run_that_does_not_fit_is_told_what_does(fields: dict, message: str) -> None:
    measures = [{"name": "curves"}, *({"name": name} for name in fields.pop("measures"))]
    model = {"name": "mlp"}
    with pytest.raises(SpecError, match=message):
        tiny.spec(task=fields["task"].model_dump(), measures=measures, model=model)


def test_prefixes_keep_two_kinds_of_areas_apart() -> None:
    two = [{"name": "areas"}, {"name": "areas", "prefix": "blocks", "kind": "block"}]
    keys = [measure.key for measure in tiny.spec(measures=[{"name": "curves"}, *two]).measures]
    assert keys == ["curves", "areas", "blocks"]
    with pytest.raises(SpecError, match=re.escape("measures contain 'areas' twice")):
        tiny.spec(measures=[{"name": "curves"}, two[0], two[0]])
