"""When a run memorised, began to generalise and grokked: what analyses take from `store.events`."""

from undergrowth.store.events import (
    DEFAULT_RULES,
    Event,
    EventName,
    Rules,
    events,
    onset_by_loss,
)

__all__ = ["DEFAULT_RULES", "Event", "EventName", "Rules", "events", "onset_by_loss"]
