"""Clock or pizza: whether logits depend on the operands through their sum, and on their distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.reading import Measure, Observed, Reading, scalar
from undergrowth.models import HOOK_EMBED, Inputs, Model
from undergrowth.tasks import Modular

AT_ONCE = 4096


class ClockPizza(Measure):
    """The two numbers by which Zhong et al. 2023 (arXiv:2306.17844) tell a clock from a pizza, on x + y.

    gradient_symmetricity: the mean cosine, in [-1, 1], between the slopes of a logit by the embedding
    of x and by that of y (section 4.1), over `n_triples` drawn (x, y, label): 1 where both are only
    added, as in a pizza. distance_irrelevance: see `distance_irrelevance`, of the logits of the correct
    labels; near 1 in a clock. Theirs are 0.9937 and 0.17 of a pizza, 0.3336 and 0.85 of a clock.
    distance_irrelevance_of_wrong: the same of the highest logit of a wrong label at each pair, which is
    what their training code stores under that name.
    """

    name: Literal["clock_pizza"] = "clock_pizza"
    n_triples: int = Field(default=1000, ge=1)

    @property
    def scalars(self) -> tuple[str, ...]:
        return "gradient_symmetricity", "distance_irrelevance", "distance_irrelevance_of_wrong"

    @property
    def names(self) -> tuple[str, ...]:
        return self.scalars

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the task is not addition, or the model embeds no operands."""
        if not isinstance(run.task, Modular) or run.task.operation != "x+y":
            raise ValueError(
                f"measure 'clock_pizza': {run.task.describe()} is not addition: take task.operation = "
                "'x+y', or measure 'representations'"
            )
        if run.blank_model().operand_positions is None:
            raise ValueError(
                f"measure 'clock_pizza': a {run.model.name} embeds no operands: take model.name = "
                "'transformer' or 'two_token_mlp'"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        assert isinstance(at.spec.task, Modular)
        p = at.spec.task.p
        triples = at.rng.integers(p, size=(self.n_triples, 3)).astype(np.int32)
        cosines = np.concatenate(
            [
                np.asarray(_cosines(model, jnp.asarray(some[:, :2]), jnp.asarray(some[:, 2])))
                for some in np.split(triples, range(AT_ONCE, len(triples), AT_ONCE))
            ]
        )
        x, y = np.divmod(np.arange(p * p, dtype=np.int32), p)
        pairs, labels = jnp.asarray(np.stack([x, y], axis=1)), jnp.asarray((x + y) % p)
        right, wrong = (
            np.asarray(its, np.float64).reshape(p, p) for its in _right_and_wrong(model, pairs, labels)
        )
        known = cosines[np.isfinite(cosines)]
        return {
            "gradient_symmetricity": scalar(float(known.mean()) if len(known) else float("nan")),
            "distance_irrelevance": scalar(distance_irrelevance(right)),
            "distance_irrelevance_of_wrong": scalar(distance_irrelevance(wrong)),
        }


def distance_irrelevance(logits: Float[np.ndarray, "x y"]) -> float:
    """The mean over distances d of the standard deviation of the logits at (x, x + d), over that of all
    (Zhong et al. 2023, section 4.2): 0 where a logit depends on the distance alone; NaN where all are
    equal.

    >>> distance_irrelevance(np.array([[0.0, 1.0], [1.0, 0.0]]))
    0.0
    """
    p = len(logits)
    x, d = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    by_distance = logits[x, (x + d) % p]
    spread = logits.std()
    return float(by_distance.std(axis=0).mean() / spread) if spread > 0 else float("nan")


@eqx.filter_jit
def _cosines(model: Model, pairs: Inputs, labels: Int[Array, " example"]) -> Float[Array, " example"]:
    """Between the slopes of one logit of each pair by the embeddings of its operands; NaN where one of
    them is 0.
    """
    positions = model.network.operand_positions
    assert positions is not None

    def logit(shift: Array, pair: Array, label: Array) -> Array:
        def moved(name: str, written: Array) -> Array:
            return written.at[:, np.array(positions)].add(shift) if name == HOOK_EMBED else written

        return model.plain(pair[None], moved)[0, label]

    width = next(iter(model.network.element_weights().values()))[1].shape[1]
    slopes = jax.vmap(jax.grad(logit), in_axes=(None, 0, 0))(jnp.zeros((2, width)), pairs, labels)
    of_x, of_y = slopes[:, 0], slopes[:, 1]
    norms = jnp.linalg.norm(of_x, axis=1) * jnp.linalg.norm(of_y, axis=1)
    return jnp.sum(of_x * of_y, axis=1) / jnp.where(norms > 0, norms, jnp.nan)


@eqx.filter_jit
def _right_and_wrong(
    model: Model, pairs: Inputs, labels: Int[Array, " example"]
) -> tuple[Float[Array, " example"], Float[Array, " example"]]:
    """The logit of the label of each pair, and the highest of the other logits."""
    logits = model(pairs)
    of_label = jax.nn.one_hot(labels, logits.shape[1], dtype=bool)
    right = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return right, jnp.where(of_label, -jnp.inf, logits).max(axis=1)
