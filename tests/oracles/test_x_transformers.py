"""Lieberum's networks against the library that he trained them with, x-transformers 0.21.1."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.oracles import torch_presets
from tests.oracles.library import SPECIAL, decoder_of_library
from tests.oracles.test_presets import theirs
from undergrowth.spec.presets import preset

PAIRS = {
    "token_emb.weight": "tokens.weight",
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
    "to_logits.weight": "head.weight",
    "to_logits.bias": "head.bias",
}
OF_ATTENTION = {"0.0.{}": "ln1.{}", "1.to_out.{}": "o.{}"}
OF_MLP = {"0.0.{}": "ln2.{}", "1.net.0.0.{}": "up.{}", "1.net.3.{}": "down.{}"}


def _ours(name: str) -> str:
    """The transcription's name of one of the library's weights: its layers take turns."""
    if name in PAIRS:
        return PAIRS[name]
    _, _, layer, rest = name.split(".", 3)
    names = OF_MLP if int(layer) % 2 else OF_ATTENTION
    found = {
        theirs.format(end): ours.format(end)
        for theirs, ours in names.items()
        for end in ("weight", "bias")
    }
    found |= {f"1.to_{which}.weight": f"{which}.weight" for which in "qkv"}
    return f"blocks.{int(layer) // 2}.{found[rest]}"


def _library_with(decoder: torch_presets.Decoder) -> torch.nn.Module:
    """The library's network with the transcription's weights, of four of its five positions."""
    library = decoder_of_library(decoder.n_operands)
    weights: dict[str, Any] = dict(decoder.named_parameters())
    with torch.no_grad():
        for name, tensor in library.named_parameters():
            if name == "pos_emb.emb.weight":
                tensor[: len(decoder.style.prompt)] = weights.pop("positions.weight")
            else:
                tensor.copy_(weights.pop(_ours(name)))
    assert not weights
    return library


@pytest.mark.parametrize("name", ["lieberum2021", "lieberum2021_division", "lieberum2021_s5"])
def test_logits_are_the_librarys(name: str) -> None:
    """With those of `test_presets.py`, the package's too."""
    spec = preset(name)
    ours = theirs(spec, "lieberum2021")
    pairs = torch.from_numpy(spec.data().inputs[:500].astype(np.int64))
    with torch.no_grad():
        expected = _library_with(ours)(ours.sequence(pairs))[:, -1].numpy()
        found = ours(pairs).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_operands", [97, 120])
def test_the_transcription_draws_its_weights_as_the_library_does(n_operands: int) -> None:
    """The spread of each weight over twenty draws, and the largest of them where it is bounded."""
    torch.manual_seed(0)
    sides = [
        [dict(make().named_parameters()) for _ in range(20)]
        for make in (
            lambda: decoder_of_library(n_operands),
            lambda: torch_presets.Decoder(torch_presets.LIEBERUM, n_operands),
        )
    ]
    for name in sides[0][0]:
        ours = "positions.weight" if name == "pos_emb.emb.weight" else _ours(name)
        theirs, mine = (
            torch.cat([draw[key].detach().flatten() for draw in side])
            for side, key in zip(sides, (name, ours), strict=True)
        )
        assert float(mine.std()) == pytest.approx(float(theirs.std()), rel=0.03), name
        if name not in ("pos_emb.emb.weight", "token_emb.weight"):  # those are normal
            assert float(mine.abs().max()) == pytest.approx(float(theirs.abs().max()), rel=0.02), name


def test_there_are_as_many_special_tokens_as_in_the_prompt() -> None:
    assert len(torch_presets.Decoder(torch_presets.LIEBERUM, 97).special) == SPECIAL
