"""Published results say what the store said, alone and beside those published before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.studies.test_study import small, stored
from undergrowth.analysis import Estimate, Value, estimate
from undergrowth.analysis.verdicts import Several
from undergrowth.published.columns import as_columns, from_columns
from undergrowth.published.reading import (
    ABOUT,
    FILES,
    VALUES,
    Published,
    ResultsError,
    claims,
    results,
)
from undergrowth.published.writing import answer_anew, publish
from undergrowth.store import Run, Store
from undergrowth.studies import Endpoint, Statistic, Study
from undergrowth.studies.conducting import parts_in
from undergrowth.studies.endpoint import measured_by_seed
from undergrowth.studies.statistic import Missing
from undergrowth.sweep import Layout, train

STUDY = small()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return stored(STUDY, tmp_path_factory.mktemp("published") / "store")


@pytest.fixture
def there(store: Store, tmp_path: Path) -> Published:
    return publish(store, STUDY, ["undergrowth study run small"], tmp_path)


def test_the_verdicts_values_and_curves_are_the_stores(store: Store, there: Published) -> None:
    by_name = {verdict["endpoint"]: verdict for verdict in there.verdicts}
    runs = {run.id: run for run in store.runs}
    assert by_name["differ"]["n_seeds"] == 3
    values = there.values[there.values["endpoint"] == "small"]
    ends = [float(run["train_loss"][-1]) for run in runs.values() if run.parts[0].arm == "true"]
    assert sorted(values["low"]) == pytest.approx(sorted(ends), rel=1e-6)
    assert values["low"].tolist() == values["high"].tolist()
    curves = there.curves
    assert set(curves["run"]) == set(runs)
    for run_id, its in curves.groupby("run"):
        np.testing.assert_array_equal(its["val_loss"], runs[str(run_id)]["val_loss"].values)
    assert there.about["seeds"] == [0, 1, 2]
    assert there.about["commands"] == ["undergrowth study run small"]


def test_published_runs_are_those_of_the_store_and_give_the_same_answer(
    store: Store, there: Published
) -> None:
    assert {run.id for run in there.runs} == {run.id for run in store.runs}
    for run in there.runs:
        assert run.events.equals(store.run(run.id).events)
        assert run.parts == store.run(run.id).parts
        with pytest.raises(KeyError, match="published without 'norms'"):
            run["norms"]
    answer = STUDY.answer(there.table(STUDY))
    again = [json.loads(json.dumps(verdict.to_dict())) for verdict in answer.verdicts]
    assert again == there.verdicts


def seeds_of(study: Study, seeds: tuple[int, ...], root: Path) -> Store:
    """A store of some seeds of a study."""
    some = [each for each in study.planned("quick", 3) if each.part.seed in seeds]
    specs = [each.spec for each in some]
    return train(specs, root, layout=Layout(workers=1), parts=parts_in(some))


def published_in_turn(study: Study, into: Path) -> Published:
    """A study whose seeds were trained in two stores."""
    publish(seeds_of(study, (0, 2), into / "first"), study, ["first"], into)
    return publish(seeds_of(study, (1,), into / "second"), study, ["second"], into)


def test_seeds_trained_one_after_the_other_are_published_together(tmp_path: Path, store: Store) -> None:
    found = published_in_turn(STUDY, tmp_path)
    whole = publish(store, STUDY, (), tmp_path / "whole")
    assert found.verdicts == whole.verdicts
    assert found.about["commands"] == ["first", "second"]
    assert found.about["seeds"] == [0, 1, 2]


OTHER = small(
    "other",
    arms=lambda budget: [replace(a, name=f"its {a.name}") for a in STUDY.arms(budget)],
    endpoints=lambda budget: [
        replace(e, arm=f"its {e.arm}", control=e.control and f"its {e.control}")
        for e in STUDY.endpoints(budget)
    ],
)
"""The same runs by other names."""


def test_runs_in_a_store_that_were_trained_for_another_study_are_published_as_this_ones(
    tmp_path: Path,
) -> None:
    seeds = (1, 2)
    own, others = (
        publish(seeds_of(study, seeds, tmp_path / study.name), STUDY, [], tmp_path / f"of {study.name}")
        for study in (STUDY, OTHER)
    )
    assert others.verdicts == own.verdicts
    assert others.about["seeds"] == list(seeds)
    assert {part.study for run in others.runs for part in run.parts} == {"small"}


def test_runs_that_another_study_has_published_are_this_ones_too(tmp_path: Path) -> None:
    publish(seeds_of(STUDY, (0, 2), tmp_path / "one"), STUDY, ["mine"], tmp_path)
    publish(seeds_of(OTHER, (1, 2), tmp_path / "two"), OTHER, ["the other's"], tmp_path)
    found = answer_anew(STUDY, tmp_path)
    assert found.about["seeds"] == [0, 1, 2]
    assert found.about["commands"] == ["mine", "the other's"]
    whole = published_in_turn(STUDY, tmp_path / "whole")
    assert found.verdicts == whole.verdicts
    assert {part.study for run in found.runs for part in run.parts} == {"small"}
    assert answer_anew(STUDY, tmp_path).about == found.about


def last_update(run: Run) -> float | Missing:
    if run.spec.labels == "true" and run.spec.seeds.model == 2:
        return Missing("too noisy")
    return float(run["update_loss"][-1])


OF_UPDATES = small(
    endpoints=lambda budget: tuple(
        replace(
            each,
            statistic=Statistic("last update", how, last_update),
            note=lambda table: f"{len(table.of('shuffled'))} runs.",
        )
        for each, how in zip(STUDY.endpoints(budget), ("at the end", "of all"), strict=True)
    )
)
"""What decides is no curve, so it cannot be measured again in published runs."""


def test_values_that_no_curve_gives_stay_when_other_seeds_are_published(
    tmp_path: Path, store: Store
) -> None:
    whole = publish(store, OF_UPDATES, (), tmp_path / "whole")
    assert not whole.has_all_steps
    found = published_in_turn(OF_UPDATES, tmp_path)
    assert found.about["commands"] == ["first", "second"]
    assert (found.about["seeds"], set(found.ids)) == ([0, 1, 2], set(whole.ids))
    for mine, its in zip(found.verdicts, whole.verdicts, strict=True):
        assert mine["missing"] == its["missing"] == {"too noisy": 1}
        assert mine["effect"] == pytest.approx(its["effect"], abs=1e-6)  # seven digits are published
        assert mine["n_seeds"] == its["n_seeds"]
        assert (its["note"], mine["note"]) == ("2 runs.", "Of seeds 1: 1 runs.")


def losses_of(run: Run) -> Several | Missing:
    found = last_update(run)
    return found if isinstance(found, Missing) else Several((found, 1.0 / 3 + run.spec.seeds.model))


def weighed(given: Mapping[int, Several]) -> tuple[Estimate, dict[int, Value]]:
    """A ratio of means, which no mean of ratios is."""
    losses, weights = np.array([its.numbers for its in given.values()]).T
    return estimate(losses / weights.mean()), dict(zip(given, losses.tolist(), strict=True))


def test_what_is_pooled_stays_number_by_number(tmp_path: Path, store: Store) -> None:
    pooled = small(
        endpoints=lambda budget: tuple(
            replace(each, statistic=replace(each.statistic, of=losses_of), control=None, pooled=weighed)
            for each in OF_UPDATES.endpoints(budget)
        )
    )
    whole = publish(store, pooled, (), tmp_path / "whole")
    found = published_in_turn(pooled, tmp_path)
    assert not found.has_all_steps
    for mine, its in zip(found.verdicts, whole.verdicts, strict=True):
        assert mine["effect"] == pytest.approx(its["effect"], rel=1e-6)
        assert mine["n_seeds"] == its["n_seeds"] == 2
    assert [len(several) for several in found.values["several"]] == [2] * 4
    assert found.values["several"].tolist() == whole.values["several"].tolist()
    plain = publish(store, OF_UPDATES, (), tmp_path / "plain")
    assert "several" not in (plain.where / VALUES).read_text().splitlines()[0]
    assert not any(plain.values["several"])


def squared(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, statistic=replace(endpoint.statistic, how="squared"))


def of_the_whole_arm(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, measured=measured_by_seed)


@pytest.mark.parametrize("changed", [squared, of_the_whole_arm])
def test_values_that_are_measured_otherwise_do_not_stay(
    tmp_path: Path, changed: Callable[[Endpoint], Endpoint]
) -> None:
    otherwise = small(
        endpoints=lambda budget: tuple(changed(each) for each in OF_UPDATES.endpoints(budget))
    )
    publish(seeds_of(OF_UPDATES, (0, 2), tmp_path / "one"), OF_UPDATES, (), tmp_path)
    found = publish(seeds_of(OF_UPDATES, (1,), tmp_path / "other"), otherwise, (), tmp_path)
    assert set(found.values["seed"]) == {1}


def test_the_commands_of_another_budget_are_not_kept(tmp_path: Path, store: Store) -> None:
    publish(store, STUDY, ["quick"], tmp_path)
    planned = STUDY.planned("full", 1)
    specs = [each.spec for each in planned]
    other = train(specs, tmp_path / "store", layout=Layout(workers=1), parts=parts_in(planned))
    found = publish(other, STUDY, ["full"], tmp_path)
    assert found.about["budget"] == "full"
    assert found.about["commands"] == ["full"]


def test_runs_that_were_planned_and_not_trained_leave_the_rest_what_it_is(tmp_path: Path) -> None:
    planned = STUDY.planned("quick", 2)
    trained = [each for each in planned if each.part.seed == 0 or each.part.role == "trunk"]
    specs = [each.spec for each in trained[:-1]]
    part = train(specs, tmp_path / "store", layout=Layout(workers=1), parts=parts_in(planned))
    found = publish(part, STUDY, (), tmp_path)
    assert any(verdict["missing"].get("not trained") for verdict in found.verdicts)
    assert found.about["from_curves_alone"]


def test_thinned_curves_keep_their_ends_and_do_not_stand_beside_others(
    there: Published, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = from_columns(as_columns(there.runs, ["val_loss"], None))
    thin = from_columns(as_columns(there.runs, ["val_loss"], 2))
    for some, all_ in zip(thin, whole, strict=True):
        assert list(some["step"].values) == [all_["step"].values[0], all_["step"].values[-1]]
        assert some["val_loss"].equals(all_["val_loss"].sel(step=some["step"]))
    size = sum(path.stat().st_size for path in there.where.iterdir())
    monkeypatch.setattr("undergrowth.published.writing.MOST_BYTES", size - 1_000)
    monkeypatch.setattr("undergrowth.published.writing.THINNED", (None, 3, 2))
    publish(store, STUDY, ["trained so"], tmp_path / "thin")
    thinned = publish(store, STUDY, (), tmp_path / "thin")
    assert thinned.about["commands"] == ["trained so"], "of the same runs"
    assert thinned.about["most_steps"] in (3, 2)
    assert sum(path.stat().st_size for path in thinned.where.iterdir()) < size
    assert not thinned.has_all_steps
    assert thinned.verdicts == there.verdicts


def test_claims_are_read_with_p_adjusted(there: Published) -> None:
    rows = claims(there.where.parent)
    assert [row["claim"] for row in rows] == ["P1", "P2"]
    assert all(row["p_adjusted"] is None or row["p_adjusted"] >= row["p"] for row in rows)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_told(name: str, there: Published) -> None:
    path = there.where / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    fresh = results("small", there.where.parent)
    with pytest.raises(ResultsError, match=f"{name}: its bytes are not those that were published"):
        _ = fresh.runs, fresh.values, fresh.verdicts


def test_a_changed_account_a_newer_schema_and_a_study_without_results_are_told(there: Published) -> None:
    path = there.where / ABOUT
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "runs": 99}))
    with pytest.raises(ResultsError, match="its bytes are not those"):
        results("small", there.where.parent)
    path.write_text(json.dumps({**about, "schema": 7}))
    with pytest.raises(
        ResultsError, match=r"its schema is 7, and undergrowth .* reads 1: take a version"
    ):
        results("small", there.where.parent)
    path.write_text("[")
    with pytest.raises(ResultsError, match="no account of results"):
        results("small", there.where.parent)
    with pytest.raises(ResultsError, match=r"'large' has no published results in .*: there are small"):
        results("large", there.where.parent)


def test_a_store_without_a_run_of_the_study_is_told(store: Store, tmp_path: Path) -> None:
    another = small(
        "another",
        arms=lambda budget: [replace(a, spec=a.spec.replace(steps=7)) for a in STUDY.arms(budget)],
    )
    with pytest.raises(
        ResultsError, match="no run of the study 'another' has ended: `undergrowth study"
    ):
        publish(store, another, (), tmp_path)


def test_an_id_that_the_spec_no_longer_gives_is_told(there: Published) -> None:
    from undergrowth.published.reading import RUNS, digest, digest_of_about

    accounts = json.loads((there.where / RUNS).read_text())
    accounts[0]["id"] = "0" * 16
    data = json.dumps(accounts).encode()
    (there.where / RUNS).write_bytes(data)
    about = {**there.about, "files": {**there.about["files"], RUNS: digest(data)}}
    about["digest"] = digest_of_about(about)
    (there.where / ABOUT).write_text(json.dumps(about))
    fresh = results("small", there.where.parent)
    with pytest.raises(ResultsError, match="has a spec whose id is"):
        _ = fresh.runs
    assert len(fresh.verdicts) == 2
