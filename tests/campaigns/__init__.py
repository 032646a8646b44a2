"""Campaigns: many mutated inputs, each of which must be refused in one line or give sound numbers."""
