"""A task made concrete: its examples, their labels as trained on, their sides and their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from undergrowth.rng import stream
from undergrowth.tasks.splits import Split
from undergrowth.tasks.task import Task
from undergrowth.tasks.weights import Equal, Given, OfGroups, OfNoisy, PowerLaw
from undergrowth.values import in_brief

Labels = Literal["true", "shuffled", "random"]
EQUAL = Equal()


@dataclass(frozen=True, eq=False)
class Data:
    """Every example of a task with its label as trained on and the side it is on.

    inputs: as in the task's `Examples`; labels: int32 [example]; is_train, is_val: bool [example], no
    example both, and one that has been taken away neither; is_noisy: bool [example], True where label
    noise made the label wrong; weights: float32 [example], at least 0, of mean 1 over the training
    side and 1 off it.
    """

    inputs: np.ndarray
    labels: np.ndarray
    is_train: np.ndarray
    is_val: np.ndarray
    is_noisy: np.ndarray
    weights: np.ndarray

    def __repr__(self) -> str:
        sides = f"{self.n_train} train, {int(self.is_val.sum())} validation"
        return f"Data({len(self.labels)} examples: {sides})"

    @property
    def n_train(self) -> int:
        """Number of training examples."""
        return int(self.is_train.sum())


class EmptySplitError(ValueError):
    """A split leaves no example on one side."""


def make_data(
    task: Task,
    split: Split,
    labels: Labels,
    seed: int,
    label_noise: float = 0.0,
    weights: Equal | OfNoisy | PowerLaw | OfGroups | Given = EQUAL,
) -> Data:
    """Draw split, labels, label noise and weights, each once and by itself from the data seed.

    Shuffled labels are a permutation of the true ones over all examples, so every label stays as
    frequent as it was; random ones are drawn evenly from all labels. Label noise, in [0, 1), is the
    share of training examples, rounded, whose label is replaced by one of the others, drawn evenly;
    validation keeps its labels, and a larger share only adds to the wrong labels of a smaller one.

    Raises EmptySplitError where a side is empty, ValueError where label_noise is out of range or the
    weights do not fit the examples or are 0 on all of the training side.
    """
    examples = task.examples()
    is_train = _train_mask(task, split, len(examples), seed)
    chosen = _chosen_labels(examples.labels, labels, task.n_labels, seed)
    noisy, is_noisy = _with_noise(chosen, is_train, label_noise, task.n_labels, seed)
    drawn = weights.drawn(is_train, is_noisy, task.groups, stream(seed, "weights"))
    return Data(examples.inputs, noisy, is_train, ~is_train, is_noisy, _of_mean_one(drawn, is_train))


def kept(data: Data, share: float, rng: np.random.Generator) -> Data:
    """`data` with a random share of its training examples, in (0, 1]; the others are on neither side.

    The number kept is rounded, and at least 1; weights have mean 1 over it again. With streams that
    start alike a smaller share is part of a larger one, also when it is taken from it.

    Raises ValueError where share is out of range, or all that is kept has weight 0.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share = {share}: the share of examples to keep must be above 0, at most 1")
    place = rng.permutation(len(data.labels))
    n_kept = max(1, _rounded(share * data.n_train))
    last = np.sort(place[data.is_train])[n_kept - 1]
    is_train = data.is_train & (place <= last)
    return replace(data, is_train=is_train, weights=_of_mean_one(data.weights, is_train))


def _train_mask(task: Task, split: Split, n_examples: int, seed: int) -> np.ndarray:
    is_train = split.train_mask(task, stream(seed, "split"))
    if is_train.all() or not is_train.any():
        share = dict(split).get("frac_train")
        raise EmptySplitError(
            f"{in_brief(split) if share is None else f'frac_train = {share}'} leaves no "
            f"{'validation' if is_train.all() else 'training'} example of the {n_examples} of "
            f"{task.describe()}: both sides need at least one, so "
            f"{'change the split' if share is None else 'move frac_train towards 0.5'}"
        )
    return is_train


def _chosen_labels(true: np.ndarray, labels: Labels, n_labels: int, seed: int) -> np.ndarray:
    rng = stream(seed, "labels")
    if labels == "shuffled":
        return rng.permutation(true)
    if labels == "random":
        return rng.integers(n_labels, size=len(true), dtype=np.int32)
    return true


def _with_noise(
    labels: np.ndarray, is_train: np.ndarray, share: float, n_labels: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The labels with noise, and bool [example]: where it is."""
    if not 0 <= share < 1:
        raise ValueError(
            f"label_noise = {share}: the share of training labels made wrong must be from 0 to below 1"
        )
    rng = stream(seed, "label_noise")
    trained = rng.permutation(np.flatnonzero(is_train))
    step = rng.integers(1, n_labels, size=len(trained), dtype=np.int32)
    n_wrong = _rounded(share * len(trained))
    wrong, step = trained[:n_wrong], step[:n_wrong]
    noisy, is_noisy = labels.copy(), np.zeros(len(labels), bool)
    noisy[wrong] = (labels[wrong] + step) % n_labels
    is_noisy[wrong] = True
    return noisy, is_noisy


def _of_mean_one(weights: np.ndarray, is_train: np.ndarray) -> np.ndarray:
    """float32 [example]: scaled to mean 1 over the training side, 1 off it."""
    trained = weights[is_train].astype(np.float64)
    if not trained.any():
        raise ValueError(
            f"weights are 0 on all {len(trained)} training examples, so nothing would be learned: "
            "give at least one of them a weight above 0"
        )
    scaled = np.ones(len(weights), np.float32)
    scaled[is_train] = trained / trained.mean()
    return scaled


def _rounded(number: float) -> int:
    return int(number + 0.5)
