"""What a run will take is told from its spec, and it is refused where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from undergrowth.spec import RunSpec, SpecError
from undergrowth.sweep import forecast as forecasts
from undergrowth.sweep.forecast import available_bytes, forecast, refuse_what_does_not_fit

GB = 10**9
WIDE = {"name": "two_token_mlp", "d_embed": 4000, "d_mlp": 8000}


def test_a_forecast_is_one_of_the_spec_alone() -> None:
    assert forecast(RunSpec()) == forecast(RunSpec().seeded(3)) < GB


@pytest.mark.parametrize(
    "fields",
    [
        {"task": {"p": 1024}},
        {"model": {"name": "transformer", "d_mlp": 200_000}},
        {"batch": {"name": "with_replacement", "batch_size": 10**6}},
        {"task": {"p": 1024}, "measures": [{"name": "curves"}, {"name": "saliency"}]},
    ],
)
def test_what_takes_more_is_forecast_more(fields: dict[str, Any]) -> None:
    assert forecast(RunSpec.from_dict(fields)) > 1.5 * forecast(RunSpec())


def test_weights_are_counted_with_what_adam_holds_of_them() -> None:
    """64 million weights of four bytes, as weights and two moments, three times over."""
    n = 2 * 5 * 4000 + 8000 * 8000 + 8000 * 5  # embeddings may be shared: within a factor of two
    assert 0.5 < forecast(tiny.spec(model=WIDE)) / (n * 4 * 3 * 3) < 2


def test_a_model_of_any_size_is_forecast_without_drawing_it() -> None:
    huge = tiny.spec(model={"name": "two_token_mlp", "d_embed": 10**6, "d_mlp": 10**6})
    assert forecast(huge) > 10_000 * GB


def test_a_run_that_does_not_fit_is_refused_in_one_line() -> None:
    refuse_what_does_not_fit([tiny.spec()], available=GB)
    with pytest.raises(SpecError, match=r"two_token_mlp needs \d+\.\d GB of memory, and this") as caught:
        refuse_what_does_not_fit([tiny.spec(), tiny.spec(model=WIDE)], available=GB)
    assert "\n" not in str(caught.value)
    assert "this machine has 1.0 GB left: use a smaller task or model" in str(caught.value)


def test_runs_that_do_not_fit_beside_each_other_are_refused() -> None:
    runs = [tiny.spec().seeded(seed) for seed in range(4)]
    refuse_what_does_not_fit(runs, at_once=2, available=GB)
    with pytest.raises(SpecError, match=r"4 runs at once need .* use fewer workers, a smaller task"):
        refuse_what_does_not_fit(runs, at_once=4, available=GB)


def test_what_is_left_is_read_where_the_system_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16000 kB\nMemAvailable:    8000 kB\n")
    monkeypatch.setattr(forecasts, "MEMINFO", meminfo)
    monkeypatch.setattr(forecasts, "CGROUP", tmp_path)
    assert available_bytes() == 8000 * 1024
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert available_bytes() == 4_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes() == 8000 * 1024
    meminfo.unlink()
    assert available_bytes() is None
    refuse_what_does_not_fit([tiny.spec(model=WIDE)])
