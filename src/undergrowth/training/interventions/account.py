"""What an action changed: the numbers that describe a run, before and after."""

from __future__ import annotations

import numpy as np

from undergrowth.models import state_dict
from undergrowth.training.optimisers import hyperparams
from undergrowth.training.state import Moment


def account(before: Moment, after: Moment) -> dict[str, tuple[float, float]]:
    """By name, each number that an action changed: (before, after); NaN for what was not set."""
    was, is_ = _described(before), _described(after)
    names = [*was, *(name for name in is_ if name not in was)]
    pairs = {name: (was.get(name, np.nan), is_.get(name, np.nan)) for name in names}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if after.state.model is not before.state.model:
        changed["weight_change"] = (0.0, _distance(before, after))
    relabelled = int((after.regime.data.labels != before.regime.data.labels).sum())
    return changed | ({"n_relabelled": (0.0, float(relabelled))} if relabelled else {})


def _described(moment: Moment) -> dict[str, float]:
    state, data = moment.state, moment.regime.data
    return {
        **hyperparams(state.opt_state),
        **{name: float(value) for name, value in state.knobs.items()},
        "weight_norm": _norm(state.model),
        "moments_norm": _norm(state.opt_state, but=("hyperparams", "count")),
        "batch_size": float(moment.regime.batch.batch_size or data.n_train),
        "n_train": float(data.n_train),
        "n_noisy": float(data.is_noisy.sum()),
        "n_ablated": float(sum(np.sum(np.asarray(g) == 0) for g in state.gates.values())),
        "n_frozen": float(sum(np.sum(np.asarray(m) == 0) for m in state.frozen.values())),
    }


def _norm(tree: object, but: tuple[str, ...] = ()) -> float:
    arrays = (a for n, a in state_dict(tree).items() if not any(word in n for word in but))
    return float(np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays)))


def _distance(before: Moment, after: Moment) -> float:
    was, is_ = state_dict(before.state.model), state_dict(after.state.model)
    return float(np.sqrt(sum(np.sum((is_[n].astype(float) - was[n]) ** 2) for n in was)))
