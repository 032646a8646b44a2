"""Decoder transformers of one to four layers, read at the last token, as of `x y =`.

By default the one of Nanda et al. 2023 (arXiv:2301.05217): one layer, no layer norm, a ReLU MLP. With
other fields those of Power et al. 2022 (arXiv:2201.02177) and its replications. Weights have
TransformerLens's names and shapes.
"""

# ruff: noqa: N815 (b_U: the field's names)

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field, model_validator

from undergrowth.models import prompts
from undergrowth.models.blocks import Attention, Block, BlockMLP, LayerNorm, NormStyle, plus
from undergrowth.models.folding import folded_logits
from undergrowth.models.initialisation import ZERO, Chance, Drawer, Scheme, Spread, is_bias, linear
from undergrowth.models.model import ElementRows, ElementWeights, Inputs, Model, NeuronsRead, refuse
from undergrowth.models.model_spec import ModelSpec
from undergrowth.models.products import product
from undergrowth.models.prompts import Prompt
from undergrowth.models.sharing import Position, last_state
from undergrowth.models.sites import HOOK_EMBED, HOOK_POST, HOOK_Z, BlockHooks, Hook, Site, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook, within
from undergrowth.tasks import InputSpace, Tokens

OperandEmbeddings = Literal["shared", "separate"]
InitMode = Literal["nanda", "torch", "torch_linear", "x_transformers"]


class Embed(eqx.Module):
    """Token embedding: the operands (with separate embeddings those of x, then those of y), then the
    special tokens in the order of `prompts.SPECIAL`, of which there are so many.
    """

    W_E: Float[Array, "d_vocab d_model"]
    n_special: int = eqx.field(static=True, default=1)
    operands: OperandEmbeddings = eqx.field(static=True, default="shared")

    def of_operand(self, which: int) -> Float[Array, "operand d_model"]:
        """The embedding of x (0) or of y (1)."""
        return self.W_E[self.rows(which)]

    def rows(self, which: int) -> slice:
        """Where the embedding of x (0) or of y (1) is."""
        n = len(self.W_E) - self.n_special
        if self.operands == "shared":
            return slice(0, n)
        return slice(which * n // 2, (which + 1) * n // 2)

    def row(self, token: str) -> int:
        """That of a special token."""
        return len(self.W_E) - self.n_special + prompts.SPECIAL.index(token)


class PosEmbed(eqx.Module):
    """Learned position embedding, which is multiplied by `scale` before it is added."""

    W_pos: Float[Array, "position d_model"]
    scale: float = eqx.field(static=True, default=1.0)


class Unembed(eqx.Module):
    """Residual stream to logits."""

    W_U: Float[Array, "d_model d_vocab_out"]
    b_U: Float[Array, " d_vocab_out"] | None = None


class Transformer(Model):
    """A decoder transformer read at its last position.

    The logits of the labels are the first ones; those of the special tokens, if any, follow.
    """

    embed: Embed
    pos_embed: PosEmbed | None
    blocks: tuple[Block, ...]
    ln_final: LayerNorm | None
    unembed: Unembed
    prompt: Prompt = eqx.field(static=True, default="x y =")

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(
            site
            for layer, block in enumerate(self.blocks)
            for site in (
                Site(HOOK_Z.format(layer), "head", block.attn.W_O.shape[0], axis=-2),
                Site(HOOK_POST.format(layer), "neuron", block.mlp.W_in.shape[1], axis=-1),
            )
        )

    def slices(self, site: Site) -> Mapping[str, int]:
        layer = self.sites.index(site) // 2
        block = self.blocks[layer]
        if site.component == "head":
            axes = dict.fromkeys(("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V"), 0)
            part, within = block.attn, f"blocks.{layer}.attn"
        else:
            axes = {"W_in": 1, "b_in": 0, "W_out": 0}
            part, within = block.mlp, f"blocks.{layer}.mlp"
        had = {name: axis for name, axis in axes.items() if getattr(part, name) is not None}
        return {f"{within}.{name}": axis for name, axis in had.items()}

    def readout(self, site: Site) -> Float[Array, "neuron d_vocab_out"] | None:
        """W_out W_U of the last layer, which is W_L of Nanda et al. 2023."""
        last = self.blocks[-1]
        is_linear = last.layer_norm != "post" and self.ln_final is None
        return last.mlp.W_out @ self.unembed.W_U if is_linear and site == self.sites[-1] else None

    @property
    def unembedding(self) -> Float[Array, "d_model d_vocab_out"]:
        return self.unembed.W_U

    def element_weights(self) -> ElementWeights:
        embed = self.embed
        if embed.operands == "shared":
            return {"W_E": ("x", embed.of_operand(0))}
        return {"W_E[x]": ("x", embed.of_operand(0)), "W_E[y]": ("y", embed.of_operand(1))}

    def element_rows(self) -> ElementRows:
        operands = ("x",) if self.embed.operands == "shared" else ("x", "y")
        return {"embed.W_E": {operand: self.embed.rows("xy".index(operand)) for operand in operands}}

    @property
    def operand_positions(self) -> tuple[int, int]:
        x, y = map(prompts.positions(self.prompt).index, (0, 1))
        return x, y

    def neurons_read(self) -> NeuronsRead:
        """Nothing: attention stands between."""
        return {}

    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example d_vocab_out"]:
        """Logits at the last position, sharing prefixes (`sharing`); exact up to rounding.

        One layer without layer norm is folded as well (`folding`), where the last token is the same for
        all examples. In the last layer a hook sees the last position only, in the others all of them.
        """
        (block, *others), W_U, b_U = self.blocks, self.unembed.W_U, self.unembed.b_U
        embedded = self._embedded()
        asks_alike = not embedded[-1].operands
        if asks_alike and not others and block.layer_norm == "none" and self.ln_final is None:
            return plus(folded_logits(block, W_U, embedded, inputs, hook), b_U)
        read = self._normed(last_state(self.blocks, embedded, inputs, hook))
        return plus(product(read, W_U), b_U)

    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example d_vocab_out"]:
        """Logits at the last position, every example and position computed as a textbook has it.

        Where it has a write hook, nothing is computed in the last layer but what the last position
        needs.
        """
        resid = self._embedded_plainly(inputs, hook, write_hook)
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            hooks = BlockHooks.of(hook, layer)
            asking = (
                slice(-1, None) if layer == last and write_hook is not no_write_hook else slice(None)
            )
            resid = block.plain(resid, hooks, asking, within(f"blocks.{layer}", write_hook))
        read = self._normed(resid[:, -1], write_hook)
        logits = plus(read @ self.unembed.W_U, self.unembed.b_U)
        return write_hook(logits, {"unembed.W_U": read, "unembed.b_U": None})

    def _embedded_plainly(
        self, inputs: Inputs, hook: Hook, write_hook: WriteHook
    ) -> Float[Array, "example position d_model"]:
        tokens = [
            inputs[:, token] + self.embed.rows(token).start
            if isinstance(token, int)
            else jnp.full(len(inputs), self.embed.row(token))
            for token in prompts.positions(self.prompt)
        ]
        token = jax.nn.one_hot(jnp.stack(tokens, axis=1), len(self.embed.W_E))
        scale = 1.0 if self.pos_embed is None else self.pos_embed.scale
        position = jnp.broadcast_to(scale * jnp.eye(len(tokens)), (len(inputs), *(len(tokens),) * 2))
        resid = hook(HOOK_EMBED, self.embed.W_E[jnp.stack(tokens, axis=1)]) + self._W_pos()
        return write_hook(resid, {"embed.W_E": token, "pos_embed.W_pos": position})

    def _embedded(self) -> list[Position]:
        """The states of each position before the first block, one for each token that it may be."""
        found = []
        for token, W_pos in zip(prompts.positions(self.prompt), self._W_pos(), strict=True):
            if isinstance(token, int):
                found.append(Position(self.embed.of_operand(token) + W_pos, frozenset({token})))
            else:
                found.append(
                    Position((self.embed.W_E[self.embed.row(token)] + W_pos)[None], frozenset())
                )
        return found

    def _W_pos(self) -> Float[Array, "position d_model"]:  # noqa: N802
        if self.pos_embed is not None:
            W_pos, scale = self.pos_embed.W_pos, self.pos_embed.scale
            return W_pos if scale == 1 else scale * W_pos
        n_positions = len(prompts.positions(self.prompt))
        return jnp.asarray(prompts.sinusoids(n_positions, self.embed.W_E.shape[1]))

    def _normed(
        self, resid: Float[Array, "example d_model"], write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example d_model"]:
        return resid if self.ln_final is None else self.ln_final(resid, within("ln_final", write_hook))


class TransformerSpec(ModelSpec):
    """Shape and initialisation of a `Transformer`.

    layer_norm: `pre` norms what attention and the MLP read, and what is unembedded; `post` norms only
    the residual stream after each has added to it (Vaswani et al. 2017; openai/grok).
    final_layer_norm: whether what is unembedded is normed, overriding the style's default.
    residual_from_layer_norm: attention adds to the normed stream that it read (teddykoker/grokking).
    n_heads * d_head, the width inside attention, need not be d_model.
    act_fn: `gelu` is the exact form. mlp_bias, attn_bias: attention's are b_Q, b_K, b_V and b_O, or with
    `output` b_O alone. unembed_bias: b_U, on every logit.
    attention_rate: which part of attention is the pattern, the rest a constant 1 (Zhong et al. 2023,
    arXiv:2306.17844).
    prompt: the tokens; d_vocab counts the operands, twice where operand_embeddings are `separate`, and
    then `=`, `o` (the operator) and `<eos>`, if the prompt has them. pos_embed: `sinusoidal` is a fixed
    table and no parameter; `scaled` is a learned one that is multiplied by d_model^-1/2 before it is
    added, and so learns that much slower.
    logits: one per label, or one per token, of which the labels are the first (Nanda et al.: p + 1).

    init_mode: `nanda`: every weight normal with standard deviation 1 / sqrt(d_model), W_U with
    1 / sqrt(d_vocab); biases zero (Nanda et al.'s code). `torch`: what PyTorch draws for nn.Embedding
    (W_E and W_pos normal with standard deviation 1), nn.MultiheadAttention (W_Q, W_K, W_V uniform within
    sqrt(6 / (4 d_model)), its biases zero) and nn.Linear (all else, biases too, uniform within
    1 / sqrt(fan-in)), as in teddykoker/grokking. `torch_linear`: the same with W_Q, W_K, W_V and
    attention's biases as of nn.Linear, as in openai/grok. `x_transformers`: the same with W_E normal of
    standard deviation sqrt(2 / d_model), as x-transformers 0.21.1 has it. Layer norms start at w = 1,
    b = 0. init_scale multiplies everything drawn.

    Parameters: 226,816 with the defaults and logits = "vocabulary" at p = 113. With two layers, GELU,
    attn_bias, the prompt "x o y =", logits = "vocabulary" and layer_norm = "pre" at p = 97: 422,656,
    which is teddykoker/grokking without the unused row of W_pos.
    """

    components: ClassVar[tuple[str, ...]] = ("head", "neuron")

    name: Literal["transformer"] = "transformer"
    n_layers: int = Field(default=1, ge=1, le=4)
    d_model: int = Field(default=128, ge=1)
    n_heads: int = Field(default=4, ge=1)
    d_head: int = Field(default=32, ge=1)
    d_mlp: int = Field(default=512, ge=1)
    act_fn: Literal["relu", "gelu"] = "relu"
    layer_norm: NormStyle = "none"
    final_layer_norm: bool | Literal["auto"] = "auto"
    residual_from_layer_norm: bool = False
    mlp_bias: bool = True
    attn_bias: bool | Literal["output"] = False
    attention_rate: float = Field(default=1.0, ge=0, le=1)
    prompt: Prompt = "x y ="
    operand_embeddings: OperandEmbeddings = "shared"
    pos_embed: Literal["learned", "scaled", "sinusoidal"] = "learned"
    logits: Literal["labels", "vocabulary"] = "labels"
    unembed_bias: bool = False
    init_mode: InitMode = "nanda"
    init_scale: float = Field(default=1.0, gt=0)

    @property
    def has_mlp_out(self) -> bool:
        """Whether the model makes what each MLP writes, or folds it away (`folding`)."""
        is_folded = prompts.positions(self.prompt)[-1] == "="
        return self.n_layers > 1 or self.layer_norm != "none" or self._ends_normed() or not is_folded

    @model_validator(mode="after")
    def _reads_a_layer_norm(self) -> TransformerSpec:
        if self.residual_from_layer_norm and self.layer_norm != "pre":
            raise ValueError(
                f"residual_from_layer_norm = true with layer_norm = {self.layer_norm!r}: "
                "attention reads a layer norm only with layer_norm = 'pre': set that"
            )
        return self

    def takes(self, inputs: InputSpace) -> bool:
        """Whether such a model can read these inputs: two tokens, not numbers."""
        return isinstance(inputs, Tokens)

    def init(self, inputs: InputSpace, n_labels: int, rng: Chance | None) -> Transformer:
        """A freshly drawn model; equal generators give equal models."""
        if not isinstance(inputs, Tokens):
            raise refuse(self.name, inputs)
        n_more = prompts.n_special(self.prompt)
        if self.operand_embeddings == "separate":
            n_more += inputs.n_operands
        d_vocab = inputs.n_operands + n_more
        d_out = n_labels + (n_more if self.logits == "vocabulary" else 0)
        draw = Drawer(rng, self._scheme(d_vocab), self.init_scale)
        blocks = tuple(self._block(draw) for _ in range(self.n_layers))
        W_E = draw("W_E", d_vocab, self.d_model, fan_in=self.d_model)
        embed = Embed(W_E, prompts.n_special(self.prompt), self.operand_embeddings)
        return Transformer(
            embed,
            self._pos_embed(draw),
            blocks,
            self._norm() if self._ends_normed() else None,
            Unembed(
                draw("W_U", self.d_model, d_out, fan_in=self.d_model),
                draw("b_U", d_out, fan_in=self.d_model) if self.unembed_bias else None,
            ),
            self.prompt,
        )

    def _ends_normed(self) -> bool:
        return self.layer_norm == "pre" if self.final_layer_norm == "auto" else self.final_layer_norm

    def _block(self, draw: Drawer) -> Block:
        normed = self.layer_norm != "none"
        return Block(
            self._attention(draw),
            self._mlp(draw),
            self._norm() if normed else None,
            self._norm() if normed else None,
            self.layer_norm,
            self.act_fn,
            self.residual_from_layer_norm,
        )

    def _attention(self, draw: Drawer) -> Attention:
        n_heads, d_model, d_head = self.n_heads, self.d_model, self.d_head
        W_Q, W_K, W_V = (
            draw(name, n_heads, d_model, d_head, fan_in=d_model) for name in ("W_Q", "W_K", "W_V")
        )
        W_O = draw("W_O", n_heads, d_head, d_model, fan_in=n_heads * d_head)
        rate = self.attention_rate
        if not self.attn_bias:
            return Attention(W_Q, W_K, W_V, W_O, rate=rate)
        b_Q = b_K = b_V = None
        if self.attn_bias != "output":
            b_Q, b_K, b_V = (draw(n, n_heads, d_head, fan_in=d_model) for n in ("b_Q", "b_K", "b_V"))
        b_O = draw("b_O", d_model, fan_in=n_heads * d_head)
        return Attention(W_Q, W_K, W_V, W_O, b_Q, b_K, b_V, b_O, rate)

    def _mlp(self, draw: Drawer) -> BlockMLP:
        d_model, d_mlp = self.d_model, self.d_mlp
        return BlockMLP(
            draw("W_in", d_model, d_mlp, fan_in=d_model),
            draw("b_in", d_mlp, fan_in=d_model) if self.mlp_bias else None,
            draw("W_out", d_mlp, d_model, fan_in=d_mlp),
            draw("b_out", d_model, fan_in=d_mlp) if self.mlp_bias else None,
        )

    def _pos_embed(self, draw: Drawer) -> PosEmbed | None:
        if self.pos_embed == "sinusoidal":
            return None
        n_positions = len(prompts.positions(self.prompt))
        W_pos = draw("W_pos", n_positions, self.d_model, fan_in=self.d_model)
        return PosEmbed(W_pos, self.d_model**-0.5 if self.pos_embed == "scaled" else 1.0)

    def _norm(self) -> LayerNorm:
        w, b = jax.device_put((np.ones(self.d_model, np.float32), np.zeros(self.d_model, np.float32)))
        return LayerNorm(w, b)

    def _scheme(self, d_vocab: int) -> Scheme:
        d_model = self.d_model
        if self.init_mode == "nanda":
            return lambda name, fan_in: (
                ZERO if is_bias(name) else Spread((d_vocab if name == "W_U" else d_model) ** -0.5)
            )
        return partial(_torch, init_mode=self.init_mode, d_model=d_model)


def _torch(name: str, fan_in: int, *, init_mode: InitMode, d_model: int) -> Spread:
    """What PyTorch draws; `torch`: by nn.MultiheadAttention, which stacks W_Q, W_K and W_V before."""
    fused = init_mode == "torch"
    if name == "W_E" and init_mode == "x_transformers":
        return Spread((2 / d_model) ** 0.5)  # kaiming_normal_ takes d_model for the fan-in
    if name in ("W_E", "W_pos"):
        return Spread(1.0)
    if fused and name in ("b_Q", "b_K", "b_V", "b_O"):
        return ZERO
    if fused and name in ("W_Q", "W_K", "W_V"):
        return Spread((6 / (d_model + 3 * d_model)) ** 0.5, "uniform")
    return linear(name, fan_in)
