"""What an action changed: the numbers that describe a run, before and after."""

from __future__ import annotations

import numpy as np
import optax

from undergrowth.models import state_dict
from undergrowth.training.interventions.actions.weights import norm
from undergrowth.training.optimisers import hyperparams
from undergrowth.training.state import Moment


def account(before: Moment, after: Moment) -> dict[str, tuple[float, float]]:
    """By name, each number that an action changed: (before, after); NaN for what was not set."""
    was, is_ = _described(before), _described(after)
    names = [*was, *(name for name in is_ if name not in was)]
    pairs = {name: (was.get(name, np.nan), is_.get(name, np.nan)) for name in names}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if after.state.model is not before.state.model:
        changed["weight_change"] = (0.0, norm(_difference(before, after)))
    relabelled = int((after.regime.data.labels != before.regime.data.labels).sum())
    return changed | ({"n_relabelled": (0.0, float(relabelled))} if relabelled else {})


def _described(moment: Moment) -> dict[str, float]:
    state, data = moment.state, moment.regime.data
    return {
        **hyperparams(state.opt_state),
        **{name: float(value) for name, value in state.knobs.items()},
        "weight_norm": norm(state_dict(state.model)),
        "moments_norm": norm(_moments(state.opt_state)),
        "batch_size": float(moment.regime.batch.batch_size or data.n_train),
        "n_train": float(data.n_train),
        "n_noisy": float(data.is_noisy.sum()),
        "n_ablated": float(sum(np.sum(np.asarray(g) == 0) for g in state.gates.values())),
        "n_scaled": float(sum(np.sum(np.asarray(s) != 1) for s in state.scales.values())),
        "n_frozen": float(sum(np.sum(np.asarray(m) == 0) for m in state.frozen.values())),
        "n_routed": float(sum(np.sum(np.asarray(of) >= 0) for of in state.owners.values())),
    }


def _moments(opt_state: optax.OptState) -> dict[str, np.ndarray]:
    """What an optimiser remembers of past gradients, by name."""
    arrays = state_dict(opt_state)
    return {n: a for n, a in arrays.items() if not any(word in n for word in ("hyperparams", "count"))}


def _difference(before: Moment, after: Moment) -> dict[str, np.ndarray]:
    was, is_ = state_dict(before.state.model), state_dict(after.state.model)
    return {name: is_[name].astype(np.float64) - was[name] for name in was}
