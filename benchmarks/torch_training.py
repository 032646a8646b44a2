"""A child that trains a transformer in PyTorch: a step as published code has it, and nothing more."""
# pyright: reportMissingImports=false
# PyTorch is here for `make bench` only.

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.children import Answer, cores, serve
from benchmarks.torch_einsums import EinsumTransformer
from benchmarks.torch_transformer import Shape, Transformer
from benchmarks.works import Style, n_logits
from undergrowth.models import TransformerSpec, prompts
from undergrowth.spec import RunSpec
from undergrowth.tasks import Tokens
from undergrowth.training.batches import MiniBatch
from undergrowth.training.optimisers import AdamW

MODELS = {"modules": Transformer, "einsums": EinsumTransformer}


def prepare(setup: dict[str, Any]) -> Any:
    """The first steps are taken here. setup: spec, stretch (steps), style."""
    torch.set_num_threads(cores())
    steps = trained(RunSpec.from_dict(setup["spec"]), setup["style"])

    def obey(order: str) -> Answer:
        began = time.perf_counter()
        for _ in range(setup["stretch"]):
            next(steps)
        return {"ms": (time.perf_counter() - began) * 1e3 / setup["stretch"]}

    for _ in range(3):
        next(steps)
    return obey


def trained(spec: RunSpec, style: Style) -> Iterator[None]:
    """A step at each call. Beside the exact loss stands that in float64, which published code takes for
    the same purpose.
    """
    precision = torch.float64 if spec.loss == "cross_entropy" else torch.float32
    model, optimiser = MODELS[style](shape_of(spec)), spec.optimiser
    assert isinstance(optimiser, AdamW)
    descent = torch.optim.AdamW(
        model.parameters(),
        lr=optimiser.lr,
        betas=optimiser.betas,
        eps=optimiser.eps,
        weight_decay=optimiser.weight_decay,
    )
    for tokens, labels in _batches(spec):
        descent.zero_grad()
        F.cross_entropy(model(tokens).to(precision), labels).backward()
        descent.step()
        yield


def _batches(spec: RunSpec) -> Iterator[tuple[Tensor, Tensor]]:
    data = spec.data()
    tokens = tokens_of(spec, data.inputs[data.is_train])
    labels = torch.from_numpy(data.labels[data.is_train]).long()
    size = spec.batch.batch_size if isinstance(spec.batch, MiniBatch) else len(labels)
    while True:
        if size == len(labels):
            yield tokens, labels
            continue
        for batch in torch.randperm(len(labels)).split(size)[:-1]:
            yield tokens[batch], labels[batch]


def tokens_of(spec: RunSpec, inputs: np.ndarray) -> Tensor:
    """int64 [example, position]: the prompts of operands [example, 2]."""
    n_operands = _n_operands(spec)
    columns = [
        inputs[:, token]
        if isinstance(token, int)
        else np.full(len(inputs), n_operands + prompts.SPECIAL.index(token))
        for token in prompts.positions(_model(spec).prompt)
    ]
    return torch.from_numpy(np.stack(columns, axis=1)).long()


def shape_of(spec: RunSpec) -> Shape:
    """The shape of a run's model, which must be one that the reference has."""
    model = _model(spec)
    n_ctx = len(prompts.positions(model.prompt))
    assert model.act_fn == "relu"
    assert model.layer_norm != "pre"
    assert not model.attn_bias
    return Shape(
        n_vocab=_n_operands(spec) + prompts.n_special(model.prompt),
        n_labels=n_logits(spec),
        n_ctx=n_ctx,
        n_layers=model.n_layers,
        d_model=model.d_model,
        n_heads=model.n_heads,
        d_mlp=model.d_mlp,
        layer_norm=model.layer_norm == "post",
        mlp_bias=model.mlp_bias,
        positions=prompts.sinusoids(n_ctx, model.d_model) if model.pos_embed == "sinusoidal" else None,
    )


def _model(spec: RunSpec) -> TransformerSpec:
    assert isinstance(spec.model, TransformerSpec)
    return spec.model


def _n_operands(spec: RunSpec) -> int:
    assert isinstance(spec.task.input_space, Tokens)
    return spec.task.input_space.n_operands


if __name__ == "__main__":
    serve(prepare)
