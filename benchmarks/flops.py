"""Essential floating-point operations of a training step, counted from shapes.

Essential is what remains when every distinct state is computed once: two thirds of the positions of a
one-layer transformer are tables of p rows, whatever the batch. Products of matrices alone are counted,
as they stand in the model (unfolded): a multiplication and an addition each, and three times the
forward pass for forward and backward.
"""

from __future__ import annotations

from collections.abc import Sequence

Operands = frozenset[str]


def transformer(
    *,
    prompt: Sequence[str],
    n_examples: int,
    n_operands: int,
    n_labels: int,
    n_layers: int,
    d_model: int,
    d_attn: int,
    d_mlp: int,
) -> int:
    """Of a decoder transformer read at its last position; `x` and `y` in the prompt are operands.

    d_attn: the width of all heads together.
    """

    def rows(operands: Operands) -> int:
        return (1, n_operands, n_examples)[len(operands)]

    depends = [frozenset({token} & {"x", "y"}) for token in prompt]  # each position's state
    total = 0
    for layer in range(n_layers):
        positions = range(len(prompt))
        asking = positions if layer < n_layers - 1 else positions[-1:]
        above = [frozenset().union(*depends[: i + 1]) for i in positions]
        products = sum(rows(depends[i]) for i in asking) + 2 * sum(map(rows, depends))  # q; k and v
        scores = sum(rows(depends[i] | depends[j]) for i in asking for j in range(i + 1))
        mixed = sum(rows(above[i]) * (i + 1) for i in asking)
        written = sum(rows(above[i]) for i in asking)  # W_O, then W_in and W_out
        total += products * d_model * d_attn + (scores + mixed) * d_attn
        total += written * (d_model * d_attn + 2 * d_model * d_mlp)
        depends = above
    return 6 * (total + rows(depends[-1]) * d_model * n_labels)


def two_token_mlp(*, n_examples: int, n_operands: int, n_labels: int, d_embed: int, d_mlp: int) -> int:
    """Of the two-token MLP: a table of hidden activations for each operand, and the unembedding."""
    tables = 2 * n_operands * d_embed * d_mlp
    return 6 * (tables + n_examples * d_mlp * n_labels)
