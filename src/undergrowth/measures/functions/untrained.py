"""Many untrained networks of a run's own initialisation, drawn one after the other from one stream."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float, UInt32

from undergrowth.measures.context import MeasuredRun
from undergrowth.models import Model, ModelSpec
from undergrowth.models.random_words import CountedWords, RandomWords
from undergrowth.tasks import InputSpace


@dataclass(frozen=True)
class Untrained:
    """The distribution that a run's weights are drawn from; a network is drawn from random words.

    Its networks have the distribution of the run's own network, not the same bits: numpy draws that one.
    """

    spec: ModelSpec
    inputs: InputSpace
    n_labels: int

    @classmethod
    def of(cls, run: MeasuredRun) -> Untrained:
        """That of a run."""
        return cls(run.model, run.task.input_space, run.task.n_labels)

    @property
    def n_words(self) -> int:
        """How many words a network takes: one for each weight that is drawn."""
        counted = CountedWords()
        jax.eval_shape(lambda: self.spec.init(self.inputs, self.n_labels, counted))
        return counted.taken

    def network(self, words: UInt32[Array, " word"]) -> Model:
        """The network of these words."""
        return self.spec.init(self.inputs, self.n_labels, RandomWords(words))


class WordStream:
    """Random words, network after network: the i-th has the same ones however many are taken at once.

    SFC64 takes a microsecond for the 1,964 weights of 7-40-40-2, Philox four.
    """

    def __init__(self, untrained: Untrained, rng: np.random.Generator) -> None:
        self.bits = np.random.SFC64(rng.integers(2**63))
        self.pairs = -(-untrained.n_words // 2)

    def next(self, n_networks: int) -> UInt32[np.ndarray, "network word"]:
        """Those of the next networks."""
        drawn = self.bits.random_raw(n_networks * self.pairs)
        return drawn.view(np.uint32).reshape(n_networks, -1)


def lead(model: Model, inputs: Array) -> Float[Array, " example"]:
    """By what the logit of label 1 is ahead of that of label 0: what one output unit would say.

    It is that of a network with one output unit whose weights are differences of two columns. Label 1 is
    predicted where it is above 0.
    """
    logits = model(inputs)
    return logits[:, 1] - logits[:, 0]
