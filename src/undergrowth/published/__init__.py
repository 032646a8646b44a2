"""Results that ship with the project: `writing` makes them from a store, `reading` needs no training."""
