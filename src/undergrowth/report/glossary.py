"""The words that reports and docs use in a special sense, each in one to three sentences."""

from __future__ import annotations

GLOSSARY = {
    "memorised": "The first evaluation at which train accuracy is at least 0.99 (`ug.Rules`).",
    "grokked": (
        "The first at which validation accuracy is at least 0.99; stable: the first from which it held "
        "to the end."
    ),
    "shallow circuit": (
        "A part of the network that makes the answers of one or a few examples, such as a look-up; a "
        "general circuit makes those of many."
    ),
    "arm": "Runs that differ only in their seeds. A study compares arms.",
    "trunk": "The run that a fork branches off from, up to the step at which it branches.",
    "fork": (
        "A run that continues from another run's exact state at some step, with something changed "
        "there. Up to that step the two are identical, bit for bit."
    ),
    "no-op": (
        "A fork that changes nothing: the control for an intervention. It equals its trunk in every bit."
    ),
    "onset": (
        "The start of generalisation: the first evaluation from which validation accuracy stays above "
        "its level at memorisation. By default, above by more than 5 points; other rules are named "
        "where they are used. What a run loses after it has grokked moves no onset. On a random split "
        "of a commutative task the swaps of training pairs are mostly learned first, and that counts as "
        "an onset too unless a rule beyond the leak is named."
    ),
    "lead": "How many training steps, or decades of steps, one event comes before another.",
    "breadth": (
        "How many examples a component's attribution is spread over, as a share of all examples: 1 if "
        "it matters equally for every example, 1/n if it matters for only one."
    ),
    "push": (
        "What one update adds to a component's part of a margin, to first order: the step's product "
        "with that part's gradient."
    ),
    "reach": (
        "On how many examples' margins a step on one example pushes through a component: 1 where each "
        "example pushes for itself alone, k where k examples push alike."
    ),
    "SESOI": (
        "Smallest effect size of interest, stated before the runs. An effect shown to be smaller counts "
        "as no effect."
    ),
    "endpoint": (
        "One number that tests a claim: a statistic of an arm, by itself or against its control. Each "
        "claim has one primary endpoint; the others show how robust the answer is."
    ),
}
