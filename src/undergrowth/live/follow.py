"""Looking at a store again and again, and telling whoever listens what is new."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from undergrowth.live.tail import Look, Tail
from undergrowth.live.watched import Board

EVERY = 0.5
"""Seconds between two looks."""

STILL = 15.0
"""Seconds of silence after which a stream says that it is still there."""

RETRY = 1000
"""Milliseconds after which a browser whose stream broke asks again."""

IS_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})")


class Follower:
    """A board that is kept up to date, and the streams that tell of it."""

    def __init__(self, root: Path) -> None:
        self.tail, self.board = Tail(root), Board()
        self.changed = asyncio.Event()
        self.is_stopping = False

    async def run(self) -> None:
        """Look at the store until told to stop."""
        while not self.is_stopping:
            look = await asyncio.to_thread(self._look)
            if self.board.take(look, time.monotonic()):
                self._tell()
            if look.is_all:
                await self.news(EVERY)

    def _look(self) -> Look:
        return self.tail.look()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def stop(self) -> None:
        """End all streams, and the looking; to be called in the loop's own thread."""
        self.is_stopping = True
        self.tail.stopped.set()
        self._tell()

    async def news(self, seconds: float) -> bool:
        """Wait until something is new, or so long."""
        try:
            await asyncio.wait_for(self.changed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def stream(self, last: str) -> AsyncGenerator[str, None]:
        """Server-sent events from the one with the id `last` on: `news`, or `all` to one who knows
        nothing that still holds. Each carries everything up to its id, so no listener can fall behind.
        """
        yield f"retry: {RETRY}\n\n"
        told = IS_ID.fullmatch(last)
        epoch, version = (told[1], int(told[2])) if told else ("", 0)
        while not self.is_stopping:
            board = self.board
            if epoch != board.epoch or version > board.version:
                kind, news = "all", board.since(0)
            elif version < board.version:
                kind, news = "news", board.since(version)
            else:
                if not await self.news(STILL):
                    yield ": still here\n\n"
                continue
            epoch, version = board.epoch, board.version
            yield f"id: {epoch}-{version}\nevent: {kind}\ndata: {compact(news)}\n\n"


def compact(value: object) -> str:
    """JSON in one line of ASCII; what is no finite number must be None already."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
