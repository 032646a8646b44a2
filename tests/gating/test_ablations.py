"""Ablating one component and several together, by rank-1 changes and by forward passes."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.gating import attribute, baselines, joint_ablation, site_of
from undergrowth.gating.ablations import single_ablations
from undergrowth.gating.scores import ScoreName
from undergrowth.models import Model, state_dict

SETS = np.array([[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0]], bool)
ALL: tuple[ScoreName, ...] = get_args(ScoreName)
every_score = pytest.mark.parametrize("score", ALL)


def arguments(model: Model) -> dict[str, Any]:
    data = tiny.observed()
    return {
        "model": model,
        "inputs": data.inputs,
        "labels": data.labels,
        "site": site_of(model, "neuron"),
        "baseline": dict(baselines(model, data.train_inputs(), "mean")),
    }


def by_hand(closed: np.ndarray, score: str) -> np.ndarray:
    """What the tiny transformer's score loses when the gates of a set are closed, in float64."""
    of = arguments(tiny.transformer())
    post = np.asarray(of["baseline"][of["site"].name], np.float64)
    scores = [
        brute_force.score(
            score,
            brute_force.transformer(
                state_dict(of["model"]),
                np.asarray(of["inputs"]),
                neuron_gates=gates,
                neuron_baseline=post,
            ),
            np.asarray(of["labels"]),
        )
        for gates in (np.ones(6), 1.0 - closed)
    ]
    return scores[0] - scores[1]


@every_score
def test_joint_ablation_is_what_brute_force_says(score: ScoreName) -> None:
    found = joint_ablation(**arguments(tiny.transformer()), closed=SETS, score=score)
    expected = np.stack([by_hand(closed, score) for closed in SETS], axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("score", ["centred_logit", "correct_logit"])
def test_of_a_linear_score_joint_ablation_is_the_sum_of_single_ones(score: ScoreName) -> None:
    of = arguments(tiny.transformer())
    single = attribute(**of, method="ablation", score=score)
    np.testing.assert_allclose(
        joint_ablation(**of, closed=SETS, score=score), single @ SETS.T, atol=1e-5
    )


def test_of_another_score_the_whole_is_not_the_sum_of_its_parts() -> None:
    of = arguments(tiny.transformer())
    single = attribute(**of, method="ablation", score="log_prob")
    together = joint_ablation(**of, closed=SETS, score="log_prob")
    assert np.abs(together - single @ SETS.T).max() > 0.05


@every_score
@pytest.mark.parametrize("name", ["transformer", "mlp"])
def test_a_rank_one_change_of_the_logits_equals_a_forward_pass(
    name: str, score: ScoreName, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = arguments({"transformer": tiny.transformer, "mlp": tiny.mlp}[name]())
    by_readout = single_ablations(**of, score=score)
    monkeypatch.setattr(type(of["model"]), "readout", lambda self, site: None)
    np.testing.assert_allclose(single_ablations(**of, score=score), by_readout, atol=2e-5)
    assert np.abs(by_readout).max() > 0.1
