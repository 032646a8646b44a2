"""Set-up of all tests: one XLA thread, a compile cache, shapes checked, tiny models, a browser."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Without one the tests are skipped, but never where CI is set."""
    found = next((path for name in CHROMIUMS if (path := shutil.which(name))), None)
    if found is None:
        why = f"no Chromium on this machine: none of {', '.join(CHROMIUMS)} is on the PATH"
        if os.environ.get("CI"):
            pytest.fail(f"{why}, and CI must not skip this: install one")
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield chromium
        chromium.close()
