"""A small store of real runs, the page of them, and a browser that has it open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.report.driving import opened
from undergrowth.analysis import Above, Verdict, estimate
from undergrowth.analysis.predictions import Prediction, Scored
from undergrowth.report.ablation import deletion_by_k_figure
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.front import Section
from undergrowth.report.page import write_page
from undergrowth.report.saliency import concentration_figure, saliency_histogram
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.sweep import Layout, train

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<script>alert('x')</script> & </style> \u2028"
"""Text that would break a page that does not escape it."""


OFTEN = {"every": 2, "until": 20, "per_decade": 10}
SELDOM = {"every": 15, "until": 30, "per_decade": 3}
SPEC = RunSpec.from_dict(
    {
        "task": {"name": "modular", "p": 7},
        "model": {"name": "transformer", "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32},
        "optimiser": {"name": "adamw", "lr": 0.01, "weight_decay": 1.0},
        "steps": 60,
        "measures": [
            {"name": "curves", "schedule": OFTEN},
            {"name": "norms", "schedule": OFTEN},
            {"name": "saliency", "n_nodes": 2, "schedule": SELDOM},
            {"name": "deletion", "ks": [0, 1, 4, 16], "n_nodes": 2, "schedule": SELDOM},
        ],
    }
)
SPECS = (SPEC, SPEC.seeded(1), SPEC.replace(labels="shuffled"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ...]:
    """The runs, true labels first."""
    root = tmp_path_factory.mktemp("report") / "store"
    return train(SPECS, root, layout=Layout(workers=1)).runs


def verdict(claim: str, values: list[float], note: str = "", **fields: Any) -> Verdict:
    fields = {"is_primary": True, "says": "12 steps later", "arm": "an arm"} | fields
    name = f"{claim}-{sum(values)}"
    return Verdict(
        claim, "grokking", name, "effect in steps", estimate(values), Above(1.0), note=note, **fields
    )


@pytest.fixture(scope="session")
def report(runs: tuple[Run, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every kind of figure and of verdict."""
    verdicts = (
        verdict("P1", [2.0, 2.1, 2.2]),
        verdict("P1", [3.0, 3.1, 0.2], is_primary=False, missing={"never memorised": 2}),
        verdict("P2", [0.1, 0.2, 0.3] * 6),
        verdict("P3", [0.0, 2.0, 1.0]),
        verdict("P4", [3.0], note=HOSTILE),
        verdict("P14", [2.0, 2.1, 2.2], waits_for="longer runs"),
    )
    claims = {v.claim: f"It is so: {v.claim}." for v in verdicts}
    predictions = {"Delay": "It is late.", HOSTILE: "It is not."}
    scores = [
        Scored(Prediction("Delay", verdicts[0].endpoint, ">"), verdicts[0]),
        Scored(Prediction(HOSTILE, verdicts[2].endpoint, ">"), verdicts[2]),
    ]
    curves = (accuracy_figure(runs), loss_figure(runs))
    spread = (saliency_histogram(runs), concentration_figure(runs), deletion_by_k_figure(runs))
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_page(
        out,
        title="What happened",
        sections=(
            Section("grokking", "Is it late?", claims, predictions, verdicts, curves, tuple(scores)),
            Section("saliency", "Is it sparse?", {"P16": "It is sparse."}, {}, (), spread),
            Section("other-1", "The same figure again?", {}, {}, (), curves[:1]),
        ),
        runs=runs,
        commands=("undergrowth demo --out demo",),
    )
    return out


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report as opened from disk; fails on any request but that for the file, and on any error."""
    with opened(report, browser) as page:
        yield page
