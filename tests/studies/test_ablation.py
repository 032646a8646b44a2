"""The ablation study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.studies.made_up import KS, STEPS, deletion, made_up, norm_share
from undergrowth.studies import ablation, small_arms


def by_damage(damage: list[float], control: list[float]):
    runs = []
    for labels, damages in (("true", damage), ("shuffled", control)):
        for seed in range(3):
            reading = deletion([d * (1 + seed / 100) for d in damages])
            runs.append(
                made_up(
                    seed,
                    labels,
                    deletion_accuracy=reading,
                    deletion_log_prob=reading,
                    deletion_norm_share=SHARE,
                )
            )
    return ablation._verdicts(runs)


SHARE = norm_share(matched_until=len(KS))
GROWING = [0, 0.1, 0.2, 0.3, 0.4, 0.5]
NONE = [0.0] * 6


def test_damage_that_grows_supports_p17_against_every_control() -> None:
    found = by_damage(GROWING, NONE)
    assert {verdict.verdict for verdict in found} == {"supported"}
    assert found[0].estimate.effect == pytest.approx(0.4 * 1.01)
    assert {"random", "least", "norm matched"} <= {
        name for v in found for name in ("random", "least", "norm matched") if name in v.statistic
    }


def test_damage_that_shrinks_contradicts_p17_and_says_when_it_was_largest() -> None:
    found = by_damage([0, 0.3, 0.5, 0.2, 0.1, 0.1], NONE)
    assert {verdict.verdict for verdict in found} == {"contradicted"}
    assert "Largest near step 200" in found[0].note


def test_damage_that_any_deletion_does_as_well_supports_nothing() -> None:
    reading = deletion(GROWING)
    for name in ("random", "least", "norm_matched"):
        reading.loc[{"strategy": name}] = reading.sel(strategy="top").values
    runs = [
        made_up(
            seed, labels, deletion_accuracy=reading, deletion_log_prob=reading, deletion_norm_share=SHARE
        )
        for labels in ("true", "shuffled")
        for seed in range(3)
    ]
    assert {verdict.verdict for verdict in ablation._verdicts(runs)} == {"inconclusive"}


def test_damage_that_grows_as_much_in_the_control_supports_nothing() -> None:
    assert {verdict.verdict for verdict in by_damage(GROWING, GROWING)} == {"inconclusive"}


def test_a_k_that_cannot_be_matched_in_norm_does_not_count() -> None:
    reading = deletion(GROWING)
    reading.loc[{"strategy": "norm_matched", "k": 4}] = -9.0  # all the others deleted: no control
    run = made_up(0, deletion_accuracy=reading, deletion_norm_share=norm_share(matched_until=2))
    assert ablation.change(run, "deletion_accuracy", "norm_matched") == pytest.approx(0.4)
    assert ablation.excess_damage(run, "deletion_accuracy", "norm_matched").isnull().sum() == len(STEPS)


def test_each_arm_is_held_against_its_own_control() -> None:
    damages = {"two-token MLP": (GROWING, NONE), "Muon": (NONE, GROWING), "no decay": (NONE, NONE)}
    runs = []
    for arm, pair in damages.items():
        for labels, damage in zip(("true", "shuffled"), pair, strict=True):
            for seed in range(3):
                reading = deletion([d * (1 + seed / 100) for d in damage])
                readings: dict[str, Any] = {
                    "deletion_accuracy": reading,
                    "deletion_log_prob": reading,
                    "deletion_norm_share": SHARE,
                }
                runs.append(made_up(seed, labels, base=small_arms.ARMS[arm], **readings))
    answer = ablation.answer(runs)
    assert len(answer.verdicts) == 6 * len(damages)
    expected = {"two-token MLP": "supported", "Muon": "contradicted", "no decay": "inconclusive"}
    for arm, verdict in expected.items():
        assert {v.verdict for v in answer.verdicts if v.statistic.startswith(arm)} == {verdict}
    assert [figure.name for figure in answer.figures] == ["deletion_by_arm"]
    backwards = ablation.answer(runs[::-1]).verdicts
    assert [v.to_dict() for v in backwards] == [v.to_dict() for v in answer.verdicts]


def test_runs_without_the_reading_decide_nothing() -> None:
    for runs in ((), (made_up(0),), (made_up(0, base=small_arms.ARMS["Muon"]),)):
        assert {v.verdict for v in ablation.answer(runs).verdicts} <= {"inconclusive"}
