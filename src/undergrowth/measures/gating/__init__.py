"""What of a score is whose: functionals of score(gates, example)."""
