"""Streams: who comes back with the id of what it heard last loses nothing, hears nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.live.conftest import PATIENCE, SPEC, Planted
from undergrowth.live import follow
from undergrowth.live.follow import Follower


class Heard:
    """An event of a stream."""

    def __init__(self, text: str) -> None:
        fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
        self.id, self.kind, self.news = fields["id"], fields["event"], json.loads(fields["data"])


async def next_of(stream: AsyncGenerator[str, None]) -> Heard:
    while not (text := await asyncio.wait_for(anext(stream), 30)).startswith("id:"):
        pass
    return Heard(text)


def followed(planted: Planted, play: Any) -> None:
    """Run a play beside a follower of the store."""

    async def played() -> None:
        follower = Follower(planted.root)
        following = asyncio.create_task(follower.run())
        try:
            await asyncio.wait_for(play(follower), PATIENCE)
        finally:
            follower.stop()
            await asyncio.wait_for(following, 30)

    asyncio.run(played())


async def until(stream: AsyncGenerator[str, None], is_there: Any) -> list[Heard]:
    heard = [await next_of(stream)]
    while not is_there(heard[-1]):
        heard.append(await next_of(stream))
    return heard


def has_point(step: int) -> Any:
    return lambda heard: any(point[0] == step for point in heard.news["points"].get(SPEC.id, ()))


def test_a_commit_is_heard_by_who_listens(planted: Planted) -> None:
    async def play(follower: Follower) -> None:
        planted.account(SPEC)
        stream = follower.stream("")
        assert (await next_of(stream)).kind == "all"
        planted.point(SPEC, 10)
        heard = (await until(stream, has_point(10)))[-1]
        assert (heard.kind, heard.id) == ("news", follower.board.since(0)["id"])

    followed(planted, play)


def test_who_comes_back_has_all_and_nothing_twice(planted: Planted) -> None:
    async def play(follower: Follower) -> None:
        planted.account(SPEC)
        stream = follower.stream("")
        await until(stream, lambda heard: heard.news["runs"])
        planted.point(SPEC, 0)
        heard = await until(stream, has_point(0))
        await stream.aclose()  # the connection breaks
        other = follower.stream(heard[-1].id)
        for step in (10, 20, 30):
            planted.point(SPEC, step)
        again = await until(other, has_point(30))
        steps = [point[0] for each in again for point in each.news["points"].get(SPEC.id, ())]
        assert steps == [10, 20, 30]
        assert {each.kind for each in again} == {"news"}

    followed(planted, play)


@pytest.mark.parametrize("last", ["", "nonsense", "00000000-3", "1-2-3", "-1"])
def test_who_knows_nothing_that_holds_is_told_all(planted: Planted, last: str) -> None:
    async def play(follower: Follower) -> None:
        planted.account(SPEC)
        stream = follower.stream("")
        await until(stream, lambda heard: heard.news["runs"])
        heard = await next_of(follower.stream(last))
        assert heard.kind == "all"
        assert [run["id"] for run in heard.news["runs"]] == [SPEC.id]

    followed(planted, play)


def test_who_is_ahead_of_a_server_that_was_started_anew_is_told_all(planted: Planted) -> None:
    async def play(follower: Follower) -> None:
        heard = await next_of(follower.stream(f"{follower.board.epoch}-999999"))
        assert heard.kind == "all"

    followed(planted, play)


def test_a_silent_stream_says_that_it_is_there(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "STILL", 0.01)

    async def play(follower: Follower) -> None:
        stream = follower.stream("")
        texts = [await asyncio.wait_for(anext(stream), 30) for _ in range(10)]
        assert texts[0] == "retry: 1000\n\n"
        assert ": still here\n\n" in texts

    followed(planted, play)


def test_streams_end_when_it_is_told_to_stop(planted: Planted) -> None:
    async def play(follower: Follower) -> None:
        stream = follower.stream("")
        await next_of(stream)
        listening = asyncio.create_task(_all(stream))
        await asyncio.sleep(0)
        follower.stop()
        await asyncio.wait_for(listening, 30)

    followed(planted, play)


async def _all(stream: AsyncGenerator[str, None]) -> None:
    async for _ in stream:
        pass
