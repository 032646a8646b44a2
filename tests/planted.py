"""Two-token MLPs written down by hand on x + y mod p: a look-up, a periodic circuit, and both in one.

What each neuron does, which frequencies are used and how general each circuit is are known in closed
form. Each is built of tables, one number an operand and neuron: post = act(T_x[x] + T_y[y] + b). The
tables are the embeddings, so the hidden layer's W_in is the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from undergrowth.models import TwoTokenMLP
from undergrowth.models.activations import ActFn
from undergrowth.models.two_token_mlp import Hidden, PairEmbed, Unembed

Pair = tuple[int, int]


@dataclass(frozen=True)
class _Block:
    """Neurons: their tables [operand, neuron], bias [neuron] and readout [neuron, label]."""

    T_x: np.ndarray
    T_y: np.ndarray
    b: np.ndarray
    W_U: np.ndarray


def lookup(
    p: int, pairs: Sequence[Pair], labels: Sequence[int] | None = None, strength: float = 1.0
) -> TwoTokenMLP:
    """One neuron a pair, ReLU(1[x] + 1[y] - 3/2), in the order of the pairs.

    The logits are `strength` at the pair's label (x + y mod p if none are given) and 0 elsewhere; for
    any other pair all of them are 0, so nothing is predicted. Each neuron is needed and sufficient for
    its own pair and for no other: its generality is 1 of p^2.
    """
    return _built("relu", _lookup(p, pairs, labels, strength))


def periodic(
    p: int,
    frequencies: Sequence[int],
    n_per_frequency: int = 8,
    act_fn: ActFn = "square",
    strength: float = 1.0,
) -> TwoTokenMLP:
    """Neurons of one frequency each, `n_per_frequency` a frequency in the order given, of even phases.

    square (Gromov 2023, arXiv:2301.02679, with even phases in place of random ones; 6 neurons or more a
    frequency): (cos(w x + a) + cos(w y - 2 a))^2, read by cos(w c - a); all terms but one cancel.
    relu (an odd number of 9 or more): ReLU(cos(w x + a) + cos(w y + a)), read by cos(w c + 2 a).
    The logits are `strength` times `periodic_logits`, exactly or nearly so.
    """
    return _built(act_fn, _periodic(p, frequencies, n_per_frequency, act_fn, strength))


def both(
    p: int,
    pairs: Sequence[Pair],
    labels: Sequence[int],
    frequencies: Sequence[int],
    n_per_frequency: int = 15,
) -> TwoTokenMLP:
    """The neurons of `lookup`, then those of `periodic` with relu; the look-up overrules on its pairs.

    Its strength is 3 for each frequency, and the periodic logits lie within 1 for each, so a pair of the
    look-up is predicted as `labels` say, and all others as x + y mod p. Where all `labels` are wrong
    ones, the periodic neurons as a set are sufficient and needed for all other pairs, a look-up neuron
    for its own, and no prediction has two causes.
    """
    return _built(
        "relu",
        _lookup(p, pairs, labels, 3.0 * len(frequencies)),
        _periodic(p, frequencies, n_per_frequency, "relu", 1.0),
    )


def periodic_logits(
    p: int, frequencies: Sequence[int], inputs: np.ndarray, act_fn: ActFn = "square"
) -> np.ndarray:
    """Logits [example, label]: sum over frequencies of A cos(w (x + y - c)), w = 2 pi k / p.

    A is 1 for square. For relu it is |cos(w (x - y) / 2)|, from the second harmonic of ReLU(cos); of
    n odd phases the harmonics 2 n - 2 and 2 n + 2 remain too, together within A 2 / n^2.
    """
    x, y = (np.asarray(inputs, np.int64)[:, i, None] for i in (0, 1))
    logits = np.zeros((len(x), p))
    for k in frequencies:
        w = 2 * math.pi * k / p
        amplitude = np.abs(np.cos(w * (x - y) / 2)) if act_fn == "relu" else 1.0
        logits += amplitude * np.cos(w * (x + y - np.arange(p)))
    return logits


def _lookup(p: int, pairs: Sequence[Pair], labels: Sequence[int] | None, strength: float) -> _Block:
    x, y = np.asarray(pairs).T
    said = (x + y) % p if labels is None else np.asarray(labels)
    one_hot = np.eye(p)
    return _Block(
        one_hot[:, x], one_hot[:, y], np.full(len(x), -1.5), 2 * strength * one_hot[said]
    )  # the activation at the pair is 1/2


def _periodic(
    p: int, frequencies: Sequence[int], n_per_frequency: int, act_fn: ActFn, strength: float
) -> _Block:
    phase = np.tile(2 * math.pi * np.arange(n_per_frequency) / n_per_frequency, len(frequencies))
    w = np.repeat(2 * math.pi * np.asarray(frequencies) / p, n_per_frequency)
    at = np.arange(p)[:, None]
    if act_fn == "square":
        of_y, of_c, gain = -2 * phase, -phase, 2 / n_per_frequency
    else:
        of_y, of_c, gain = phase, 2 * phase, 3 * math.pi / (2 * n_per_frequency)
    return _Block(
        np.cos(w * at + phase),
        np.cos(w * at + of_y),
        np.zeros(len(w)),
        strength * gain * np.cos(w * at + of_c).T,
    )


def _built(act_fn: ActFn, *blocks: _Block) -> TwoTokenMLP:
    def joined(name: str, axis: int) -> jnp.ndarray:
        return jnp.asarray(np.concatenate([getattr(b, name) for b in blocks], axis), jnp.float32)

    T_x = joined("T_x", 1)
    return TwoTokenMLP(
        PairEmbed(T_x, joined("T_y", 1)),
        Hidden(jnp.eye(T_x.shape[1]), joined("b", 0)),
        Unembed(joined("W_U", 0)),
        act_fn,
        "summed",
    )
