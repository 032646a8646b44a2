"""Which functions untrained networks compute that happen to fit the training side."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt32
from pydantic import Field

from undergrowth.measures.context import Context
from undergrowth.measures.functions.fitting import Fits, FittingFunctions
from undergrowth.measures.functions.untrained import Untrained, WordStream, lead
from undergrowth.measures.reading import Observed

AT_ONCE = 256
"""Networks of 7-40-40-2 whose weights stay in a core's cache: with 2,048 each takes twice as long."""


class SampledFunctions(FittingFunctions):
    """Guess and check: the functions of n_networks untrained networks that fit the training side.

    Their shares of the fits are P_B(f | S) of Mingard et al. 2021 (arXiv:2006.15191, section 2), with
    the run's initialisation as the prior over weights. All networks are tried on the training examples,
    and only those that fit on the others. Nothing is trained.
    """

    name: Literal["sampled_functions"] = "sampled_functions"
    n_networks: int = Field(default=1_000_000, ge=1, le=2**24)

    def found(self, data: Observed, at: Context) -> Fits:
        return sampled(Untrained.of(at.spec), data, at.rng, self.n_networks)

    def without_fit(self, n_train: int) -> str:
        return (
            f"none of n_networks = {self.n_networks} untrained networks fits the {n_train} training "
            f"examples, so fewer than {1 / self.n_networks:.1g} do, where 2^-{n_train} = "
            f"{2.0**-n_train:.1g} of all functions do: raise n_networks, or lower frac_train"
        )


def sampled(
    untrained: Untrained,
    data: Observed,
    rng: np.random.Generator,
    n_networks: int,
    at_once: int = AT_ONCE,
) -> Fits:
    """Those of the first n_networks untrained networks that fit; which they are at_once decides not."""
    stream, is_train = WordStream(untrained, rng), np.asarray(data.is_train)
    inputs, labels = data.inputs[is_train], data.labels[is_train]
    networks, kept = [], []
    for first in range(0, n_networks, at_once):
        words = stream.next(at_once)
        fits = np.flatnonzero(_fit(words, inputs, labels, untrained))
        fits = fits[first + fits < n_networks]
        networks.append(first + fits)
        kept.append(words[fits])
    return Fits(
        np.concatenate(networks),
        _leads_of(np.concatenate(kept), data.inputs, untrained, at_once),
        np.zeros(sum(map(len, networks)), np.int64),
    )


def _leads_of(
    words: UInt32[np.ndarray, "fit word"], inputs: Array, untrained: Untrained, at_once: int
) -> Float[np.ndarray, "fit example"]:
    """What each says on all inputs; the last ones filled up so that one shape is compiled."""
    padded = np.pad(words, [(0, -len(words) % at_once), (0, 0)])
    leads = [
        np.asarray(_leads(padded[at : at + at_once], inputs, untrained))
        for at in range(0, len(padded), at_once)
    ]
    return np.concatenate([np.zeros((0, len(inputs)), np.float32), *leads])[: len(words)]


@partial(jax.jit, static_argnames="untrained")
def _fit(
    words: UInt32[Array, "network word"], inputs: Array, labels: Array, untrained: Untrained
) -> Bool[Array, " network"]:
    return jnp.all((_leads(words, inputs, untrained) > 0) == (labels == 1), axis=1)


@partial(jax.jit, static_argnames="untrained")
def _leads(
    words: UInt32[Array, "network word"], inputs: Array, untrained: Untrained
) -> Float[Array, "network example"]:
    return jax.vmap(lambda its: lead(untrained.network(its), inputs))(words)
