"""Exported runs read back, by the libraries that they are for, as what the store has."""
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import undergrowth as ug
from tests.exports.stores import EVENTFUL, PLAIN
from undergrowth.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries' own dependencies

CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "weight_norm")


class TestParquet:
    """By pyarrow, and against the CSV, which is read back number by number elsewhere."""

    def test_the_tables_are_those_of_the_csv(self, store: Store, tmp_path: Path) -> None:
        import pandas as pd
        import pyarrow.parquet as pq

        text, typed = (ug.export(store, to=to, out=tmp_path / to) for to in ("csv", "parquet"))
        assert {path.stem for path in typed.iterdir()} == {path.stem for path in text.iterdir()}
        for path in typed.iterdir():
            table = pq.read_table(path).to_pandas()
            csv = pd.read_csv(text / f"{path.stem}.csv", dtype={"run": str, "labels": str})
            assert list(table.columns) == list(csv.columns)
            assert len(table) == len(csv)
            for name in table.columns:
                is_text = pq.read_schema(path).field(name).type == "string"
                if is_text:
                    assert table[name].fillna("").tolist() == csv[name].fillna("").astype(str).tolist()
                else:
                    ours, theirs = table[name].astype("float32"), csv[name].astype("float32")
                    np.testing.assert_array_equal(ours, theirs, err_msg=name)

    def test_columns_have_types(self, store: Store, tmp_path: Path) -> None:
        import pyarrow.parquet as pq

        folder = ug.export(store, to="parquet", out=tmp_path / "out")
        runs = pq.read_schema(folder / "runs.parquet")
        told = {name: str(runs.field(name).type) for name in runs.names}
        assert told["optimiser.lr"] == "double"
        assert told["steps"] == told["memorised"] == "int64"
        assert told["memorised_censored"] == told["model.mlp_bias"] == "bool"
        assert told["labels"] == told["optimiser.betas"] == "string"
        by_neuron = pq.read_schema(folder / "readings_by_neuron.parquet")
        assert str(by_neuron.field("neuron").type) == "int64"
        by_name = pq.read_schema(folder / "readings_by_parameter.parquet")
        assert str(by_name.field("parameter").type) == "string"

    def test_rows_are_written_in_large_groups(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import pyarrow.parquet as pq

        whole = ug.export(store, to="parquet", out=tmp_path / "whole") / "readings.parquet"
        assert pq.ParquetFile(whole).num_row_groups == 1
        monkeypatch.setattr("undergrowth.exports.parquet.ROWS", 20)
        parts = ug.export(store, to="parquet", out=tmp_path / "parts") / "readings.parquet"
        assert pq.ParquetFile(parts).num_row_groups > 1
        assert pq.read_table(parts).equals(pq.read_table(whole))


class TestTensorBoard:
    """By TensorBoard's own reader of event files."""

    @pytest.fixture(scope="class")
    def logdir(self, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return ug.export(store, to="tensorboard", out=tmp_path_factory.mktemp("tensorboard") / "logs")

    def read(self, logdir: Path, run_id: str) -> Any:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (place,) = logdir.glob(f"*/seed-*-{run_id}")
        read = EventAccumulator(str(place), size_guidance={"tensors": 0, "scalars": 0})
        return read.Reload()

    def curve(self, read: Any, tag: str) -> dict[int, float]:
        return {each.step: each.value for each in read.Scalars(tag)}

    def points(self, read: Any, tag: str) -> dict[int, Any]:
        from tensorboard.util.tensor_util import make_ndarray

        return {each.step: make_ndarray(each.tensor_proto) for each in read.Tensors(tag)}

    def test_curves_are_at_their_steps(self, store: Store, logdir: Path) -> None:
        for run in store.runs:
            read = self.read(logdir, run.id)
            for name in CURVES:
                points = self.curve(read, name)
                assert list(points) == run[name]["step"].values.tolist()
                np.testing.assert_array_equal(list(points.values()), run[name].values.astype("float32"))

    def test_runs_lie_by_arm_and_seed_dated_to_their_beginning(self, store: Store, logdir: Path) -> None:
        places = {str(path.parent.relative_to(logdir)) for path in logdir.rglob("events*")}
        assert {place.rsplit("-", 1)[0] for place in places} == {
            "wide/seed-0",
            "wide/seed-2",
            "lr x2 _ at 15/seed-1",
        }
        read = self.read(logdir, PLAIN.id)
        assert {each.wall_time for each in read.Scalars("val_loss")} == {store.run(PLAIN.id).began}

    def test_events_and_settings_are_told(self, store: Store, logdir: Path) -> None:
        from tensorboard.plugins.hparams import metadata

        read = self.read(logdir, EVENTFUL.id)
        assert self.curve(read, "events/fired") == {15: 15.0}
        (told,) = self.points(read, "events").values()
        assert told.item().startswith(b"fired {")
        summary = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG)
        hparams = metadata.parse_session_start_info_plugin_data(summary.plugin_data.content).hparams
        assert hparams["optimiser.lr"].number_value == EVENTFUL.optimiser.lr
        assert hparams["model.name"].string_value == "transformer"
        spec = self.points(read, "spec")[0].item().decode()
        assert ug.RunSpec.from_toml(spec.split("```toml\n")[1].split("```")[0]) == EVENTFUL
        memorised = store.table().loc[PLAIN.id, "memorised"]
        assert self.curve(self.read(logdir, PLAIN.id), "events/memorised") == {memorised: memorised}

    def test_many_numbers_are_a_distribution_and_few_are_curves(
        self, store: Store, logdir: Path
    ) -> None:
        run, read = store.run(EVENTFUL.id), self.read(logdir, EVENTFUL.id)
        many = run["saliency_mean"].transpose("step", ...)
        points = self.points(read, "saliency_mean")
        assert list(points) == many["step"].values.tolist()
        for step, buckets in points.items():
            numbers = many.sel(step=step).values
            assert buckets[:, 2].sum() == numbers.size
            assert buckets[0, 0] == pytest.approx(numbers.min())
            assert buckets[-1, 1] == pytest.approx(numbers.max())
        norm = self.curve(read, "parameter_norm/parameter=embed.W_E")
        np.testing.assert_array_equal(
            list(norm.values()), run["parameter_norm"].sel(parameter="embed.W_E").values
        )


def records(path: Path) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format: blocks of 32 KiB, pieces with a header of 7 bytes.

    Weights & Biases's own reader is a program that uploads; its messages are read by its own classes.
    """
    content, whole, at = path.read_bytes(), b"", 7
    while at < len(content):
        left = 2**15 - at % 2**15
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            yield whole
            whole = b""


class TestWeightsAndBiases:
    """By its own messages, and its own account of what it would upload."""

    @pytest.fixture(scope="class")
    def folder(self, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return ug.export(store, to="wandb", out=tmp_path_factory.mktemp("wandb") / "out")

    def read(self, folder: Path, run_id: str) -> list[Any]:
        from wandb.proto.wandb_internal_pb2 import Record

        (path,) = folder.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb")
        return [Record.FromString(each) for each in records(path)]

    def told(self, items: Any) -> dict[str, Any]:
        return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}

    def history(self, found: list[Any]) -> list[dict[str, Any]]:
        return [
            self.told(each.history.item) for each in found if each.WhichOneof("record_type") == "history"
        ]

    def test_curves_are_at_their_steps(self, store: Store, folder: Path) -> None:
        for run in store.runs:
            rows = self.history(self.read(folder, run.id))
            for name in CURVES:
                points = {row["_step"]: row[name] for row in rows if name in row}
                assert list(points) == run[name]["step"].values.tolist()
                np.testing.assert_array_equal(list(points.values()), run[name].values)

    def test_a_run_has_its_name_arm_seed_tags_and_spec(self, store: Store, folder: Path) -> None:
        (its,) = [each.run for each in self.read(folder, PLAIN.id) if each.HasField("run")]
        assert its.run_id == PLAIN.id
        assert (its.run_group, its.project) == ("wide", "undergrowth")
        assert its.display_name == f"wide, seed 0, {PLAIN.id[:8]}"
        assert set(its.tags) == {"made-up", "done"}
        config = self.told(its.config.update)
        assert config["seed"] == 0
        assert config["arms"] == ["wide"]
        assert ug.RunSpec.from_dict({name: config[name] for name in type(PLAIN).model_fields}) == PLAIN

    def test_events_are_at_their_steps_and_in_the_summary(self, store: Store, folder: Path) -> None:
        found = self.read(folder, EVENTFUL.id)
        (fired,) = [row for row in self.history(found) if "events/fired" in row]
        assert fired["_step"] == fired["events/fired"] == 15
        assert fired["event"].startswith("fired {")
        summary: dict[str, Any] = {}
        for each in self.read(folder, PLAIN.id):
            if each.WhichOneof("record_type") == "summary":
                summary |= self.told(each.summary.update)
        run = store.run(PLAIN.id)
        assert summary["memorised"] == store.table().loc[PLAIN.id, "memorised"]
        assert "grokked" not in summary or store.table().loc[PLAIN.id, "grokked"] == summary["grokked"]
        assert summary["val_loss"] == pytest.approx(float(run["val_loss"].values[-1]))

    def test_many_numbers_are_a_histogram(self, store: Store, folder: Path) -> None:
        rows = self.history(self.read(folder, EVENTFUL.id))
        many = store.run(EVENTFUL.id)["saliency_mean"].transpose("step", ...)
        found = {
            row["_step"]: self.histogram(row)
            for row in rows
            if any("saliency_mean" in key for key in row)
        }
        assert list(found) == many["step"].values.tolist()
        for step, told in found.items():
            assert sum(told["values"]) == many.sel(step=step).size

    def histogram(self, row: dict[str, Any]) -> dict[str, Any]:
        whole = row.get("saliency_mean")
        if whole is not None:
            return whole
        return {key.removeprefix("saliency_mean/"): value for key, value in row.items()}

    def test_its_own_program_would_upload_every_run(self, store: Store, folder: Path) -> None:
        command = [sys.executable, "-m", "wandb", "sync", "--dry-run"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        said = done.stdout + done.stderr
        assert f"Would sync {len(store.runs)} run(s)" in said
        for run in store.runs:
            assert f"run-{run.id}.wandb" in said

    def test_nothing_of_the_machine_is_in_what_would_be_uploaded(self, folder: Path) -> None:
        assert [path for path in folder.rglob("files/*") if path.is_file()] == []
        assert [path for path in folder.rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize("study", ["toy-heads", "lr-boost"])
def test_a_crate_is_one_to_its_library(study: str, tmp_path: Path) -> None:
    from rocrate.rocrate import ROCrate

    its = ug.results(study)
    crate = ROCrate(str(ug.export(its, to="ro-crate", out=tmp_path / "crate")))
    assert crate.name == f"Results of the study {study}"
    assert crate.datePublished.date().isoformat() == its.about["date"]
    assert {each.id for each in crate.data_entities} == {*its.about["files"], "about.json"}
    for each in crate.data_entities:
        assert each["sha256"] == its.about["files"].get(each.id, each["sha256"])
    action = crate.get("#training")
    assert {each.id for each in action["result"]} == {each.id for each in crate.data_entities}
    assert {each["name"] for each in action["instrument"]} == set(its.about["versions"])
