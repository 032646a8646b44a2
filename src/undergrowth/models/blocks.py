"""A transformer's block: attention, an MLP, layer norms, and the textbook pass through them."""

# ruff: noqa: N815 (b_Q: the field's names)

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from undergrowth.models.activations import ACT_FNS, ActFn
from undergrowth.models.mixing import partly_constant
from undergrowth.models.products import product
from undergrowth.models.sites import BlockHooks
from undergrowth.models.write_hooks import WriteHook, no_write_hook, within

NormStyle = Literal["none", "pre", "post"]
Change = Callable[[Array], Array]
"""What a hook does at one site."""

EPS = 1e-5


class LayerNorm(eqx.Module):
    """Mean 0 and variance 1 over the last axis, times w, plus b (Ba et al. 2016, arXiv:1607.06450)."""

    w: Float[Array, " d_model"]
    b: Float[Array, " d_model"]

    def __call__(
        self, resid: Float[Array, "*rows d_model"], write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "*rows d_model"]:
        """As PyTorch has it: the variance is over d_model, not d_model - 1, and EPS is added to it."""
        centred = resid - jnp.mean(resid, axis=-1, keepdims=True)
        variance = jnp.mean(centred**2, axis=-1, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + EPS)
        return write_hook(normed * self.w + self.b, {"w": normed, "b": None})


class Attention(eqx.Module):
    """Causal multi-head attention; rate: see `mixing.partly_constant`."""

    W_Q: Float[Array, "head d_model d_head"]
    W_K: Float[Array, "head d_model d_head"]
    W_V: Float[Array, "head d_model d_head"]
    W_O: Float[Array, "head d_head d_model"]
    b_Q: Float[Array, "head d_head"] | None = None
    b_K: Float[Array, "head d_head"] | None = None
    b_V: Float[Array, "head d_head"] | None = None
    b_O: Float[Array, " d_model"] | None = None
    rate: float = eqx.field(static=True, default=1.0)

    def heads(
        self,
        resid: Float[Array, "example position d_model"],
        hook: Change,
        asking: slice = slice(None),
        write_hook: WriteHook = no_write_hook,
    ) -> Float[Array, "example asking d_model"]:
        """What the asking positions write to the residual stream, as a textbook has it."""

        def projected(read: Array, name: str) -> Array:
            W, b = getattr(self, f"W_{name}"), getattr(self, f"b_{name}")
            written = plus(jnp.einsum("npm,hmd->nphd", read, W), b)
            return write_hook(written, {f"W_{name}": read, f"b_{name}": None})

        q, k, v = projected(resid[:, asking], "Q"), projected(resid, "K"), projected(resid, "V")
        scores = jnp.einsum("nqhd,nkhd->nhqk", q, k) / jnp.sqrt(self.W_Q.shape[-1])
        causal = jnp.tril(jnp.ones((k.shape[1], k.shape[1]), bool))[asking]
        pattern = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
        if self.rate != 1:
            pattern = jnp.where(causal, partly_constant(pattern, self.rate), 0.0)
        z = hook(jnp.einsum("nhqk,nkhd->nqhd", pattern, v))
        written = plus(jnp.einsum("nqhd,hdm->nqm", z, self.W_O), self.b_O)
        return write_hook(written, {"W_O": z, "b_O": None})


class BlockMLP(eqx.Module):
    """One hidden layer."""

    W_in: Float[Array, "d_model d_mlp"]
    b_in: Float[Array, " d_mlp"] | None
    W_out: Float[Array, "d_mlp d_model"]
    b_out: Float[Array, " d_model"] | None


class Block(eqx.Module):
    """Attention, then the MLP, each adding to the residual stream.

    layer_norm: `pre` norms what attention and the MLP read, `post` the stream after each has written.
    residual_from_layer_norm: attention adds to what it read, its norm, instead of the stream before.
    """

    attn: Attention
    mlp: BlockMLP
    ln1: LayerNorm | None = None
    ln2: LayerNorm | None = None
    layer_norm: NormStyle = eqx.field(static=True, default="none")
    act_fn: ActFn = eqx.field(static=True, default="relu")
    residual_from_layer_norm: bool = eqx.field(static=True, default=False)

    def read(
        self, resid: Float[Array, "*rows d_model"], write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "*rows d_model"]:
        """What attention reads of the residual stream."""
        if self.ln1 is None or self.layer_norm != "pre":
            return resid
        return self.ln1(resid, within("ln1", write_hook))

    def carried(
        self, resid: Float[Array, "*rows d_model"], read: Float[Array, "*rows d_model"]
    ) -> Float[Array, "*rows d_model"]:
        """What attention, which read `read` of `resid`, adds to."""
        return read if self.residual_from_layer_norm else resid

    def after_attention(
        self, resid: Float[Array, "*rows d_model"], write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "*rows d_model"]:
        """The residual stream once attention has added to it."""
        if self.ln1 is None or self.layer_norm != "post":
            return resid
        return self.ln1(resid, within("ln1", write_hook))

    def after_mlp(
        self,
        resid: Float[Array, "*rows d_model"],
        hook_post: Change,
        hook_out: Change,
        write_hook: WriteHook = no_write_hook,
    ) -> Float[Array, "*rows d_model"]:
        """The residual stream after the MLP has read it and written to it."""
        ln2, of_norm, of_mlp = self.ln2, within("ln2", write_hook), within("mlp", write_hook)
        read = ln2(resid, of_norm) if ln2 is not None and self.layer_norm == "pre" else resid
        pre = of_mlp(plus(read @ self.mlp.W_in, self.mlp.b_in), {"W_in": read, "b_in": None})
        post = hook_post(ACT_FNS[self.act_fn](pre))
        written = plus(product(post, self.mlp.W_out), self.mlp.b_out)
        after = resid + hook_out(of_mlp(written, {"W_out": post, "b_out": None}))
        return ln2(after, of_norm) if ln2 is not None and self.layer_norm == "post" else after

    def plain(
        self,
        resid: Float[Array, "example position d_model"],
        hooks: BlockHooks,
        asking: slice = slice(None),
        write_hook: WriteHook = no_write_hook,
    ) -> Float[Array, "example asking d_model"]:
        """The residual stream after this block at the asking positions, every example by itself."""
        read = self.read(resid, write_hook)
        written = self.attn.heads(read, hooks.z, asking, within("attn", write_hook))
        resid = self.carried(resid, read)[:, asking] + written
        return self.after_mlp(
            self.after_attention(resid, write_hook), hooks.post, hooks.mlp_out, write_hook
        )


def plus(a: Array, bias: Array | None) -> Array:
    """a + bias, where there is one."""
    return a if bias is None else a + bias


def side_by_side(W: Float[Array, "head d_model d_head"]) -> Float[Array, "d_model head*d_head"]:
    """All heads' matrices as one: XLA's CPU backend is slow at products of three-axis arrays."""
    return W.transpose(1, 0, 2).reshape(W.shape[1], -1)
