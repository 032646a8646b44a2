"""Heads by hand: what each writes before training, what the tokens share, and who learns from whom."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undergrowth.losses import cross_entropy
from undergrowth.models import ToyHeads, ToyHeadsSpec, gated, state_dict
from undergrowth.models.toy_heads import tokens
from undergrowth.spec import RunSpec, SpecError
from undergrowth.tasks import Tokens

N = 6
POINTS = jnp.repeat(jnp.arange(N)[:, None], 2, axis=1)
LABELS = jnp.arange(N) % 2


def made(**fields: Any) -> ToyHeads:
    return ToyHeadsSpec(**fields).init(Tokens(N), 2, np.random.default_rng(0))


def gradient(model: ToyHeads, points: Any) -> dict[str, np.ndarray]:
    at = jnp.asarray(points)
    loss = lambda m: jnp.mean(cross_entropy(m(POINTS[at]), LABELS[at]))  # noqa: E731
    return state_dict(jax.jit(jax.grad(loss))(model))


@pytest.mark.parametrize("sharing", [0.0, 0.3, 1.0])
def test_tokens_have_the_products_that_are_asked_for(sharing: float) -> None:
    x, y = tokens(N, sharing)
    same = np.where(np.equal.outer(np.arange(N) % 2, np.arange(N) % 2), sharing, -sharing)
    np.testing.assert_allclose(x @ x.T, same + (1 - sharing) * np.eye(N), atol=1e-12)
    np.testing.assert_allclose(y @ y.T, np.eye(N))


@pytest.mark.parametrize("sharing", [0.0, 0.4])
@pytest.mark.parametrize("trains", ["circuits", "strengths"])
def test_before_training_each_head_writes_its_strength_at_what_it_attends_to(
    sharing: float, trains: Any
) -> None:
    model = made(sharing=sharing, trains=trains, general_strength=0.7, shallow_strength=0.2)
    (site,) = model.sites
    attends, rests = (1 / (1 + np.exp(-score)) for score in (4.0, -4.0))
    says = np.where(np.arange(N) % 2 == 0, 0.5, -0.5)
    general = np.asarray(model(POINTS, gated((site,), {site.name: jnp.eye(N + 1)[N]})))
    np.testing.assert_allclose(general[:, 0], 0.7 * attends * says, atol=1e-6)
    for h in (0, 3):
        alone = np.asarray(model(POINTS, gated((site,), {site.name: jnp.eye(N + 1)[h]})))
        shared = np.where(np.arange(N) == h, attends, sharing * rests)
        np.testing.assert_allclose(alone[:, 0], 0.2 * shared * says, atol=1e-6)


def test_routed_a_shallow_head_learns_from_its_own_point_alone() -> None:
    free, routed = (gradient(made(sharing=0.5, routed=r), [1, 2]) for r in (False, True))
    for name in ("W_QK", "W_OV"):
        learns = np.abs(routed[name]).reshape(N + 1, -1).max(axis=1)
        assert (learns[[1, 2, N]] > 0).all()
        assert (learns[[0, 3, 4, 5]] == 0).all()
        assert (np.abs(free[name]).reshape(N + 1, -1).max(axis=1) > 0).all()
    own = gradient(made(sharing=0.5, routed=True), [1])["W_OV"][1]
    np.testing.assert_allclose(routed["W_OV"][1], own / 2, rtol=1e-5)


@pytest.mark.parametrize("sharing", [0.0, 0.25, 1.0])
def test_what_points_push_together_on_each_margin_is_one_plus_the_others_share(sharing: float) -> None:
    """The tangent kernel of the general head's margin, by brute force."""

    def margin(W_OV: jax.Array, i: int) -> jax.Array:
        whole = ToyHeads(model.W_QK, W_OV, None, model.spec, N, 2)
        written = whole(POINTS[i : i + 1], gated((site,), {site.name: jnp.eye(N + 1)[N]}))[0]
        return written[i % 2] - written[1 - i % 2]

    model = made(sharing=sharing)
    (site,) = model.sites
    assert model.W_OV is not None
    slope = jax.jit(jax.grad(margin), static_argnums=1)
    slopes = np.stack([np.asarray(slope(model.W_OV, i)).ravel() for i in range(N)])
    kernel = slopes @ slopes.T
    reach = kernel.sum(axis=1) / np.diag(kernel)
    np.testing.assert_allclose(reach, 1 + (N - 1) * sharing, rtol=1e-5)


def test_heads_fit_their_table_and_no_other() -> None:
    rows = "x,y,label\n0,0,0\n1,1,1\n2,2,0\n"
    model = {"model": {"name": "toy_heads"}}
    assert RunSpec.from_dict({"task": {"name": "table", "csv": rows}, **model})
    for task in (
        {"p": 5},
        {"name": "table", "csv": "x,y,label\n0,0,1\n1,1,0\n"},
        {"name": "table", "csv": "x,y,label\n0,1,0\n1,0,1\n"},
    ):
        with pytest.raises(SpecError, match="take a table whose rows are 0,0,0 and 1,1,1") as error:
            RunSpec.from_dict({"task": task, **model})
        assert "\n" not in str(error.value)
