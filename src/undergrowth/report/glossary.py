"""The words that reports and docs use in a sense of their own, each in one or two sentences."""

from __future__ import annotations

GLOSSARY = {
    "arm": "Runs that differ only in their seeds. A study compares arms.",
    "trunk": "The run that a fork leaves, up to the step at which it leaves it.",
    "fork": (
        "A run that continues another run's exact state from some step, with something changed there. "
        "Up to that step both are the same, bit for bit."
    ),
    "no-op": (
        "A fork that changes nothing: the control of an intervention. It equals its trunk in every bit."
    ),
    "onset": (
        "The first evaluation from which validation accuracy stays above its level at memorisation: "
        "generalisation has begun. By default above it by more than 5 points; other rules are named "
        "where they are used."
    ),
    "lead": "By how many training steps, or decades of them, one event comes before another.",
    "breadth": (
        "Over how many examples a component's attribution is spread, as a share of all of them: 1 if it "
        "matters equally for every example, 1/n if for one alone."
    ),
    "reach": (
        "How many examples share the reinforcement of a component: the effective number of examples "
        "whose updates strengthen it."
    ),
    "SESOI": (
        "Smallest effect size of interest, stated before the runs. An effect shown to be smaller counts "
        "as no effect."
    ),
    "endpoint": (
        "One number that tests a claim: a statistic of an arm, by itself or against its control. Each "
        "claim has one primary endpoint; the others say how robust its answer is."
    ),
}
