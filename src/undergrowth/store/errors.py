"""What a store refuses."""


class StoreError(Exception):
    """A directory that cannot be used as asked; one line with the value, the rule and the remedy."""
