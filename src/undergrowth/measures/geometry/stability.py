"""How sharp a loss an optimiser can descend as it stands, and by what metric it measures that."""

from __future__ import annotations

import math
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from undergrowth.measures.context import Context
from undergrowth.models import Model
from undergrowth.training.interventions.actions.learning_rate import annealed
from undergrowth.training.optimisers import SGD, Adam, AdamW, NoFilter, Optimiser, hyperparams
from undergrowth.training.optimisers.rates import scale_by_rate


def has_preconditioner(optimiser: Optimiser) -> bool:
    """Whether it divides all of the gradient by Adam's root mean square."""
    return isinstance(optimiser, Adam | AdamW)


def preconditioner(at: Context, gradient: Model) -> Float[np.ndarray, " weight"]:
    r"""What Adam divides the mean gradient of each weight by, as it stands.

    After t updates P = (1 - beta1^t) (sqrt(v / (1 - beta2^t)) + eps) with v the mean squared gradient
    (Cohen et al. 2022, arXiv:2207.14484, section 2); before the first it is the first one's, v being
    (1 - beta2) times the squared `gradient`. Only where `has_preconditioner`.
    """
    set_to = hyperparams(at.state.opt_state)
    leaves = jax.tree.leaves(at.state.opt_state, is_leaf=_is_adam)
    (moments,) = filter(_is_adam, leaves)
    t = int(moments.count)
    v = np.asarray(ravel_pytree(moments.nu)[0], np.float64)
    if t == 0:
        t, v = 1, (1 - set_to["b2"]) * np.asarray(ravel_pytree(gradient)[0], np.float64) ** 2
    root = np.sqrt(v / (1 - set_to["b2"] ** t))
    return (1 - set_to["b1"] ** t) * (root + set_to["eps"])


def edge(at: Context) -> float | None:
    r"""The curvature above which the next updates would diverge on a quadratic, all else standing still.

    For SGD with momentum beta and rate lr it is of the loss, 2 (1 + beta) / lr, with Nesterov's momentum
    2 (1 + beta) / ((1 + 2 beta) lr) (Cohen et al. 2021, arXiv:2103.00065, equation 1), less the weight
    decay, which is curvature of its own. For Adam it is of the loss seen through the `preconditioner`,
    2 (1 + beta1) / ((1 - beta1) lr) (Cohen et al. 2022, arXiv:2207.14484), for AdamW times
    1 - lr weight_decay / 2, since the decoupled decay takes part. lr is the present one, after warm-up
    and annealing.

    None where no such curvature is known: for other optimisers, and behind a gradient filter.
    """
    optimiser = at.spec.optimiser
    if not isinstance(optimiser.filter, NoFilter):
        return None
    set_to = hyperparams(at.state.opt_state)
    lr, decay = _rate(at) * set_to["learning_rate"], set_to["weight_decay"]
    if lr == 0:
        return math.inf
    if isinstance(optimiser, SGD):
        beta = set_to["momentum"]
        heavy = 2 * (1 + beta) / lr
        return (heavy / (1 + 2 * beta) if optimiser.nesterov else heavy) - decay
    if isinstance(optimiser, Adam | AdamW):
        of_adam = 2 * (1 + set_to["b1"]) / ((1 - set_to["b1"]) * lr)
        return of_adam * (1 - lr * decay / 2) if isinstance(optimiser, AdamW) else of_adam
    return None


def coupled_decay(at: Context) -> float:
    """The L2 term that Adam adds to the gradient, and so to the curvature it sees; 0 for AdamW."""
    is_coupled = isinstance(at.spec.optimiser, Adam)
    return hyperparams(at.state.opt_state)["weight_decay"] if is_coupled else 0.0


def _rate(at: Context) -> float:
    """By what warm-up and annealing multiply the next update."""
    optimiser, state = at.spec.optimiser, at.state
    tx = scale_by_rate(optimiser.warmup_steps, optimiser.annealing)
    scaled, _ = tx.update(jnp.ones(()), cast(tuple[optax.OptState, ...], state.opt_state)[-1])
    return float(cast(jax.Array, scaled)) * float(annealed(state.knobs, jnp.asarray(at.step)))


def _is_adam(node: object) -> bool:
    return isinstance(node, optax.ScaleByAdamState)
