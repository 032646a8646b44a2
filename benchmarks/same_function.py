"""Do we and the reference compute the same? At equal weights their logits must be equal.

A comparison of the speeds of two different functions would be worth nothing.
"""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.children import one_thread
from benchmarks.works import TORCH, WORKS, Style, Work
from undergrowth.engine import initial
from undergrowth.models import load_state_dict, state_dict
from undergrowth.spec import RunSpec

TOLERANCE = 1e-4
"""Largest difference of two logits, which are of the order of 1."""


def check() -> None:
    """Hold every work to its reference, in a process of its own; raises where one differs."""
    subprocess.run([sys.executable, "-m", "benchmarks.same_function"], env=one_thread(), check=True)


def difference(work: Work) -> float:
    """The largest difference between the logits of the run's model and those of its reference.

    The weights are untrained ones, jittered, so that none of them (a bias) is 0 by chance.
    """
    spec = work.spec()
    rng = np.random.default_rng(0)
    model = initial(spec).state.model
    weights = {
        name: (array + 0.05 * rng.standard_normal(array.shape)).astype(np.float32)
        for name, array in state_dict(model).items()
    }
    inputs = spec.data().inputs
    ours = np.asarray(load_state_dict(model, weights)(jnp.asarray(inputs)))
    if work.reference == TORCH:
        theirs = _by_torch(spec, work.style, weights, inputs)
    else:
        theirs = _by_plain_jax(weights, inputs)
    return float(np.abs(ours - theirs).max())


def _by_torch(
    spec: RunSpec, style: Style, weights: dict[str, np.ndarray], inputs: np.ndarray
) -> np.ndarray:
    from benchmarks.torch_training import MODELS, shape_of, tokens_of

    model = MODELS[style](shape_of(spec))
    model.load(weights)
    return model(tokens_of(spec, inputs)).detach().numpy()


def _by_plain_jax(weights: dict[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    from benchmarks import plain_jax

    return np.asarray(plain_jax.logits(jax.tree.map(jnp.asarray, weights), jnp.asarray(inputs)))


def main() -> None:
    for work in WORKS:
        if work.reference is None:
            continue
        found = difference(work)
        if not found <= TOLERANCE:
            raise SystemExit(
                f"{work.name}: at equal weights our logits and those of {work.reference} differ by "
                f"{found:.2g}, more than {TOLERANCE:g}: they are not the same function"
            )


if __name__ == "__main__":
    main()
