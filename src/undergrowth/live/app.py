"""The pages and streams of the live view, as an ASGI application that only shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from undergrowth.live import pages
from undergrowth.live.follow import Follower, compact
from undergrowth.live.guard import Guard
from undergrowth.live.snapshot import ReportError, Reports
from undergrowth.store.rows import IS_RUN_ID
from undergrowth.store.temporary import temporary_folder

MOST_CURVES = 200
"""Runs whose curves are given at once."""

REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The report carries its script and style in itself, and fetches nothing."""


class Live:
    """The application of one store.

    wrong: why it can no longer follow the store, which is an error of ours; end: called then.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.follower = root, Follower(root)
        self.wrong: BaseException | None = None
        self.end: Callable[[], None] = lambda: None
        self.reports: Reports | None = None
        self.assets = pages.assets()
        routes = [
            Route("/", self.page),
            Route("/events", self.events),
            Route("/curves", self.curves),
            Route("/report", self.report),
            Route("/report/made", self.report_made),
            Route("/report/page", self.report_page),
            *(Route(f"/{name}", self.asset) for name in self.assets),
        ]
        guard = Middleware(Guard)
        self.app = Starlette(routes=routes, middleware=[guard], lifespan=self._life)
        self.app.router.redirect_slashes = False

    @asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        with temporary_folder("undergrowth-live-") as folder:
            self.reports = Reports(self.root, folder)
            following = asyncio.create_task(self.follower.run())
            following.add_done_callback(lambda _: self.end())
            try:
                yield
            finally:
                self.stop()
                await asyncio.wait([following])
                self.wrong = following.exception()

    def stop(self) -> None:
        """End everything that is under way; to be called in the loop's own thread."""
        self.follower.stop()
        if self.reports is not None:
            self.reports.stop()

    async def page(self, _: Request) -> Response:
        """The page, with all that is known of the runs but their curves in it."""
        html = pages.live(str(self.root), self.follower.board.since(0))
        return Response(html, media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """A script or style sheet of the page."""
        content, media_type = self.assets[request.url.path.removeprefix("/")]
        return Response(content, media_type=media_type)

    async def events(self, request: Request) -> Response:
        """What is new, for as long as somebody listens."""
        last = request.headers.get("last-event-id") or request.query_params.get("since", "")
        stream = self.follower.stream(last)
        body = _nothing() if request.method == "HEAD" else stream
        return StreamingResponse(body, media_type="text/event-stream")

    async def curves(self, request: Request) -> Response:
        """All points so far of the runs that are named, by id."""
        ids = request.query_params.getlist("run")
        if len(ids) > MOST_CURVES or not all(IS_RUN_ID.fullmatch(id_) for id_ in ids):
            return PlainTextResponse(f"give up to {MOST_CURVES} ids of runs, each as run=ID\n", 400)
        board = self.follower.board
        told = {"epoch": board.epoch, "curves": {id_: board.curves(id_) for id_ in ids}}
        return Response(compact(told), media_type="application/json")

    async def report(self, _: Request) -> Response:
        """The page that waits for a new report, and then shows it."""
        assert self.reports is not None
        self.reports.is_fresh = False
        return Response(pages.waiting(str(self.root)), media_type="text/html")

    async def report_made(self, _: Request) -> Response:
        """That the report has been made, once it has been, or why not."""
        made = await self._report()
        return PlainTextResponse("made\n") if isinstance(made, Path) else made

    async def report_page(self, _: Request) -> Response:
        """The whole report, as the store was when it was last asked for."""
        made = await self._report()
        if not isinstance(made, Path):
            return made
        headers = {"content-security-policy": REPORT_POLICY}
        return FileResponse(made, media_type="text/html", headers=headers)

    async def _report(self) -> Path | Response:
        assert self.reports is not None
        try:
            return await self.reports.made()
        except ReportError as error:
            return PlainTextResponse(f"{error}\n", 503)


async def _nothing() -> AsyncIterator[str]:
    return
    yield ""
