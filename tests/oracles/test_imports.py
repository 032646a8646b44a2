"""Imported networks go on as PyTorch's own AdamW goes on from the same file, read by PyTorch itself."""
# pyright: reportMissingImports=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor

import undergrowth as ug
from tests import tiny
from tests.imports import layouts
from tests.imports.public import FOLDER, needs_public
from tests.sweep.in_process import work
from undergrowth.imports import import_run
from undergrowth.imports.files import read
from undergrowth.spec import RunSpec

SPLIT: Any = {"name": "shuffled", "by": "python", "seed": 3, "frac_train": 0.6}
RARELY = {"every": 10_000, "until": 10_000, "per_decade": 1}
SEEN: Any = {"measures": [{"name": "curves", "schedule": RARELY}], "checkpoints": RARELY}


def logits(w: dict[str, Tensor], pairs: Tensor) -> Tensor:
    """Nanda et al.'s network at `=`, in their layout: matrices times columns."""
    p = w["embed.W_E"].shape[1] - 1
    tokens = torch.cat([pairs, torch.full_like(pairs[:, :1], p)], dim=1)
    x = torch.einsum("dbp->bpd", w["embed.W_E"][:, tokens]) + w["pos_embed.W_pos"]
    k, q, v = (torch.einsum("ihd,bpd->biph", w[f"blocks.0.attn.W_{n}"], x) for n in "KQV")
    scores = torch.einsum("biph,biqh->biqp", k, q) / k.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.triu(torch.ones(3, 3, dtype=torch.bool), 1), -1e10)
    z = torch.einsum("biqp,biph->biqh", scores.softmax(-1), v)
    x = x + torch.einsum("df,bqf->bqd", w["blocks.0.attn.W_O"], z.transpose(1, 2).flatten(2))
    hidden = torch.einsum("md,bpd->bpm", w["blocks.0.mlp.W_in"], x) + w["blocks.0.mlp.b_in"]
    x = x + torch.einsum("dm,bpm->bpd", w["blocks.0.mlp.W_out"], hidden.relu())
    return (x + w["blocks.0.mlp.b_out"])[:, -1] @ w["unembed.W_U"]


def continued(path: Path, pairs: np.ndarray, steps: int) -> np.ndarray:
    """The loss of each update that PyTorch makes from a file on, as the file's optimiser makes them."""
    held = torch.load(path, map_location="cpu", weights_only=True)
    weights = {
        name: array.detach().clone().requires_grad_(not name.endswith("mask"))
        for name, array in held["model"].items()
    }
    optimiser = torch.optim.AdamW([array for array in weights.values() if array.requires_grad])
    state = held["optimizer"]
    for each in state["state"].values():
        each["step"] = torch.as_tensor(float(each["step"]))
    optimiser.load_state_dict(state)
    p = weights["embed.W_E"].shape[1] - 1
    inputs = torch.as_tensor(pairs)
    labels = inputs.sum(dim=1) % p
    losses = []
    for _ in range(steps):
        log_p = logits(weights, inputs).double().log_softmax(-1)  # as published: in float64
        loss = -log_p.gather(1, labels[:, None]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return np.array(losses)


def ours_continued(run: ug.Run, steps: int) -> np.ndarray:
    """The loss of each update that the imported run makes here from its last step on."""
    at = run.checkpoints[-1]
    arm = run.spec.forked(ug.AtStep(step=at), steps=at + steps, **SEEN)
    work(run.store.root, [arm])
    return run.store.run(arm.id)["update_loss"].sel(step=slice(at, None)).values.astype(np.float64)


def trained_on(spec: RunSpec) -> np.ndarray:
    data = spec.data()
    return data.inputs[data.is_train].astype(np.int64)


def small_file(folder: Path) -> Path:
    """A tiny run of ours after 20 steps, as a file of theirs."""
    ours = tiny.spec(
        model={**tiny.TRANSFORMER.model_dump(), "logits": "vocabulary"}, split=SPLIT, steps=20
    )
    work(folder / "ours", [ours])
    checkpoint = ug.open(folder / "ours").run(ours.id).checkpoint_path(20)
    training = load_file(checkpoint.with_name("training.safetensors"))

    def of(kind: str) -> list[np.ndarray]:
        marked = {n.split(f".{kind}.")[1]: a for n, a in training.items() if f".{kind}." in n}
        return [a for name, a in layouts.nanda(marked).items() if not name.endswith("mask")]

    optimiser: Any = layouts.adamw(of("mu"), of("nu"), 20)
    held = {"model": layouts.nanda(load_file(checkpoint)), "optimizer": optimiser}
    return layouts.write(folder / "net.pth", held)


def test_a_small_network_goes_on_as_in_pytorch(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    run = import_run(path, tmp_path / "store", split=SPLIT, **SEEN)
    theirs = continued(path, trained_on(run.spec), 60)
    mine = ours_continued(run, 60)
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    assert mine[-1] < 0.9 * mine[0]  # it has learned meanwhile


def test_pytorch_reads_what_the_tests_write_and_the_reader_what_pytorch_writes(tmp_path: Path) -> None:
    value = {
        "weight": torch.arange(6.0).reshape(2, 3).T,  # a view whose strides are its own
        "half": torch.ones(3, dtype=torch.float16),
        "list": [1, 2.5, "text", None, True],
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save(value, tmp_path / "theirs.pt")
    found = read(tmp_path / "theirs.pt").held
    np.testing.assert_array_equal(found["weight"], value["weight"].numpy())
    np.testing.assert_array_equal(found["half"], np.ones(3, np.float16))
    np.testing.assert_array_equal(found["parameter"], np.ones(2))
    assert found["list"] == value["list"]
    path = layouts.write(tmp_path / "ours.pt", {"W": np.arange(6, dtype=np.float32).reshape(2, 3)})
    again = torch.load(path, weights_only=True)
    np.testing.assert_array_equal(again["W"].numpy(), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_torch_shuffle_is_torchs(seed: int) -> None:
    for p in (2, 5, 97):
        mask = ug.Shuffled(by="torch", seed=seed, frac_train=0.3).train_mask(
            ug.Modular(p=p), np.random.default_rng(0)
        )
        torch.manual_seed(seed)
        order = torch.randperm(p * p).tolist()
        assert sorted(np.flatnonzero(mask)) == sorted(order[: int(0.3 * p * p)])


@needs_public
def test_nandas_network_without_decay_goes_on_as_in_pytorch(tmp_path: Path) -> None:
    path = FOLDER / "nanda" / "mod_addition_no_wd.pth"
    run = import_run(path, tmp_path / "store", **SEEN)
    mine = ours_continued(run, 500)
    theirs = continued(path, trained_on(run.spec), 50)
    assert len(mine) == 500
    np.testing.assert_allclose(mine[:50], theirs, rtol=0, atol=1e-4)
    # the losses are near 1e-10, so what has meaning is how far they are from one another
    assert np.abs(np.log(mine[:50] / theirs)).max() < 0.01
