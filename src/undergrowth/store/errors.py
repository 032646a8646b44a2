"""What a store refuses."""


class StoreError(Exception):
    """A directory that cannot be used as asked; one line with the value, the rule and the remedy."""


class UnknownPartError(StoreError):
    """A run with a part of somebody's own that is not known here, or not as it was."""
