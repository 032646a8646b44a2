"""What the server refuses before anything else is asked, and what it says with every answer."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names under which a browser on this machine knows it, also at the other end of a tunnel. A page of
somebody else's whose name was made to lead here says that name.
"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Lets through what a page of this server may ask for; an ASGI application around another."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("content-security-policy", POLICY)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (refusal(scope) or self.app)(scope, receive, send_with_headers)


def refusal(scope: Scope) -> PlainTextResponse | None:
    """What to answer to a request that is refused; None for one that is not."""
    headers = Headers(scope=scope)
    if _host(headers.get("host", "")) not in HOSTS or len(headers.getlist("host")) != 1:
        return _said("this is not the host that was asked for: use 127.0.0.1 or localhost", 400)
    if scope["method"] not in ("GET", "HEAD"):
        return _said("this server only shows: use GET or HEAD", 405, {"allow": "GET, HEAD"})
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_visit(headers):
        return _said("another site asked for this: open it yourself", 403)
    return None


def _host(header: str) -> str:
    """The name in a Host header, without a port."""
    name, colon, port = header.rpartition(":")
    return name.lower() if colon and port.isdecimal() and port.isascii() else header.lower()


def _is_visit(headers: Headers) -> bool:
    """Whether a link was followed to here, into a tab of its own."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _said(text: str, status: int, headers: dict[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status, headers)
