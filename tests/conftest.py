"""Set-up of all tests: one XLA thread, a compile cache, shapes checked, and tiny shared models."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ["NPROC"] = "1"  # before JAX starts: the layout that gives reproducible bits on a CPU

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undergrowth" / "tests"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)

CHECKED = ("analysis", "gating", "losses", "measures", "models", "tasks", "training.batches")
"""Where the shapes and types in signatures are checked at run time, at every call of every test."""

install_import_hook([f"undergrowth.{module}" for module in CHECKED], "beartype.beartype")

settings.register_profile("undergrowth", deadline=None, max_examples=25)
settings.register_profile("ci", parent=settings.get_profile("undergrowth"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "undergrowth")

from tests import tiny  # noqa: E402
from undergrowth.measures import Observed  # noqa: E402
from undergrowth.models import Transformer, TwoTokenMLP  # noqa: E402

MAPS = Path("/proc/self/maps")
MOST_MAPS = 20_000


@pytest.fixture(autouse=True, scope="module")
def _compiled_code_is_let_go() -> Iterator[None]:
    """Compiled code takes memory maps, of which Linux gives a process 65,530: one that runs thousands of
    tests would die of it, in the middle of reading the compile cache.
    """
    yield
    if MAPS.exists() and len(MAPS.read_bytes().splitlines()) > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def transformer() -> Transformer:
    """A transformer of 6 neurons and 2 heads on 5 tokens, every array random, biases too."""
    return tiny.transformer()


@pytest.fixture(scope="session")
def mlp() -> TwoTokenMLP:
    """A two-token MLP of 6 neurons on 5 tokens, every array random, the bias too."""
    return tiny.mlp()


@pytest.fixture(scope="session")
def observed() -> Observed:
    """The 25 examples of x + y mod 5, 15 of them trained on."""
    return tiny.observed()
