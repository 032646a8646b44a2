"""How the notebooks of the site run: without a history, and without a word on how messages travel."""

from __future__ import annotations

c = get_config()  # pyright: ignore[reportUndefinedVariable]
c.HistoryManager.enabled = False
c.IPKernelApp.log_level = "ERROR"
