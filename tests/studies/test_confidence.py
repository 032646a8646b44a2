"""The confidence study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr
from undergrowth.studies.confidence import BASE, STUDY

from tests.studies.made_up import STEPS, made_up
from undergrowth.measures.reinforcement.confidence import EDGES, QUANTILES
from undergrowth.store import Run
from undergrowth.studies import confidence
from undergrowth.training.optimisers import AdamW

FREE = BASE.replace(optimiser=AdamW(weight_decay=0.0))
SIDES = ["train", "val"]
NEVER_SURE = (0, -1, -1, -1, -1, -1)
SURE = (0, -1, -3, -3, -3, -3)
"""Medians of log10(1 - p) by step: memorised at the second."""


def over_steps(values: Sequence[float]) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, float), dims="step", coords={"step": list(STEPS)})


def run(
    seed: int,
    arm: str = "with decay",
    *,
    doubt: Sequence[float] = NEVER_SURE,
    gradient: Sequence[float] = (1, 1, 1, 1, 1, 1),
    data: Sequence[float] = (1, 1, 1, 1, 1, 1),
    pushing: float = 0.5,
    grokked: int | None = 4,
) -> Run:
    """A run with readings that hardly differ between seeds; with decay it groks at step 800."""
    base = FREE if arm == "without decay" else BASE
    labels = "shuffled" if arm == "shuffled labels" else "true"
    wiggle = 1 + seed / 1000
    medians = np.asarray(doubt, float)[:, None, None] * wiggle
    quantiles = medians + np.log10(np.asarray(QUANTILES) / 0.5)
    by_quantile = {"step": list(STEPS), "side": SIDES, "quantile": [f"{q:g}" for q in QUANTILES]}
    shares = np.zeros((len(STEPS), 2, len(EDGES) - 1))
    shares[:, :, -2] = 1
    by_bin = {"step": list(STEPS), "side": SIDES, "bin": [f"{edge:g}" for edge in EDGES[:-1]]}
    n_train = BASE.data().n_train
    return made_up(
        seed,
        labels,
        base=base,
        grokked=grokked if arm == "with decay" else None,
        confidence_doubt=xr.DataArray(
            np.repeat(quantiles, 2, axis=1), dims=("step", "side", "quantile"), coords=by_quantile
        ),
        confidence_histogram=xr.DataArray(shares, dims=("step", "side", "bin"), coords=by_bin),
        confidence_gradient_norm=over_steps(gradient) ** wiggle,
        confidence_data_norm=over_steps(data) ** wiggle * wiggle,
        confidence_decay_norm=over_steps([0 if arm == "without decay" else 1] * 6),
        confidence_pull_norm=over_steps([0 if arm == "without decay" else 1] * 6),
        confidence_pull_cosine=over_steps([-0.5] * 6),
        confidence_pushing_train=over_steps([pushing * n_train * wiggle] * 6),
    )


def verdicts(*runs: Run, claim: str):
    return [verdict for verdict in confidence._verdicts(runs) if verdict.claim == claim]


def four(arm: str = "with decay", **readings) -> list[Run]:
    return [run(seed, arm, **readings) for seed in range(4)]


def test_memorising_that_stops_at_nine_tenths_supports_c1_in_every_arm() -> None:
    found = verdicts(*four(), *four("without decay"), *four("shuffled labels"), claim="C1")
    assert [verdict.verdict for verdict in found] == ["supported"] * 5
    assert found[0].estimate.effect == pytest.approx(-1.0015)
    assert "1 - p = 0.0997 in geometric mean" in found[0].note


def test_memorising_that_goes_on_contradicts_c1_though_not_when_it_has_just_memorised() -> None:
    runs = [*four(doubt=SURE), *four("without decay", doubt=SURE), *four("shuffled labels", doubt=SURE)]
    rulings = [verdict.verdict for verdict in verdicts(*runs, claim="C1")]
    assert rulings == ["supported", *["contradicted"] * 4]


def test_what_comes_after_the_onset_does_not_count_against_c1() -> None:
    late = (0, -1, -1, -1, -8, -8)
    found = verdicts(*four(doubt=late), claim="C1")
    assert found[1].verdict == "supported"


def test_seeds_that_differ_say_nothing_of_c1() -> None:
    found = verdicts(run(0, doubt=SURE), run(1, doubt=NEVER_SURE), run(2, doubt=SURE), claim="C1")
    assert found[1].verdict == "inconclusive"


DYING = (1, 1, 1e-2, 1e-3, 1e-4, 1e-5)


def test_a_gradient_that_dies_out_supports_c2_and_contradicts_p4() -> None:
    runs = [*four(gradient=DYING, data=DYING), *four("without decay", gradient=DYING, data=DYING)]
    found = verdicts(*runs, claim="C2")
    assert [verdict.verdict for verdict in found] == ["supported"] * 4
    assert found[0].estimate.effect == pytest.approx(2, rel=0.01)  # at step 200, before the onset
    assert found[1].estimate.effect == pytest.approx(5, rel=0.01)  # at the last step: no onset
    assert "4 of 4 runs without decay never set off" in found[3].note
    flowing = verdicts(*runs, claim="P4")
    assert [verdict.verdict for verdict in flowing[:2]] == ["contradicted"] * 2


def test_a_gradient_that_stays_contradicts_c2_and_supports_p4() -> None:
    wavers = (1, 1, 0.9, 0.8, 0.9, 1)
    runs = [
        *four(gradient=wavers, data=wavers),
        *four("without decay", gradient=wavers, data=wavers),
        *four("shuffled labels"),
    ]
    assert [v.verdict for v in verdicts(*runs, claim="C2")] == ["contradicted"] * 4
    flowing = verdicts(*runs, claim="P4")
    assert [verdict.verdict for verdict in flowing] == ["supported"] * 3
    assert "Shuffled labels, to their last step: 0.501" in flowing[2].note


def test_a_push_of_few_examples_contradicts_p4() -> None:
    assert verdicts(*four(pushing=0.01), claim="P4")[2].verdict == "contradicted"


def test_gradients_of_both_kinds_are_inconclusive() -> None:
    runs = [run(0, gradient=DYING, data=DYING), run(1), run(2, pushing=1e-3)]
    for claim in ("C2", "P4"):
        assert verdicts(*runs, claim=claim)[0].verdict == "inconclusive"
    assert verdicts(*runs, claim="P4")[2].verdict == "inconclusive"


def test_runs_that_never_grok_count_to_their_last_step() -> None:
    found = verdicts(*four(grokked=None, gradient=DYING), claim="C2")
    assert found[0].estimate.n == 4
    assert found[0].estimate.effect == pytest.approx(5, rel=0.01)


def test_runs_that_never_memorise_are_left_out_and_said_to_be() -> None:
    never = run(4)
    never.curves["train_accuracy"][:] = 0.5
    found = verdicts(*four(), never, claim="C1")
    assert found[0].estimate.n == 4
    assert "1 of 5 runs failed, never memorised" in found[0].note


def test_a_missing_arm_is_said_and_nothing_invented() -> None:
    found = verdicts(*four(), claim="C1")
    assert found[3].verdict == found[4].verdict == "inconclusive"
    assert found[3].note == "No runs of this arm."
    assert found[3].estimate.n == 0


def test_one_seed_has_no_interval() -> None:
    for verdict in confidence._verdicts([run(0), run(0, "without decay")]):
        assert verdict.verdict == "inconclusive"


def test_the_order_of_the_runs_does_not_matter() -> None:
    runs = [*four(), *four("without decay", doubt=SURE), *four("shuffled labels", gradient=DYING)]
    assert confidence._verdicts(runs) == confidence._verdicts(runs[::-1])


def test_figures_show_every_arm_that_there_is() -> None:
    for runs in ([*four(), *four("without decay"), *four("shuffled labels")], four("without decay")):
        answer = STUDY.answer(runs)
        names = {confidence.arm_of(each) for each in runs}
        doubt, push = answer.figures
        assert set(doubt.table["arm"]) == names
        assert set(push.table["line"]) == names


def test_the_arms_differ_in_decay_and_labels_alone() -> None:
    specs = STUDY.runs("quick", None)
    alike = {spec.replace(labels="true", optimiser=AdamW()).without_seeds().id for spec in specs}
    assert len(alike) == 1
