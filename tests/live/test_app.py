"""The server answers what its page asks, read-only, and nothing else to nobody else."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.live.conftest import SPEC, Planted, eventually
from undergrowth.live.app import Live
from undergrowth.plain_text import in_one_line
from undergrowth.sweep import Layout, train

with warnings.catch_warnings():  # it wishes for a successor of httpx, which answers the same
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", UserWarning)
    from starlette.testclient import TestClient

HERE = "http://127.0.0.1:8642"
PATHS = ("/", "/events", "/curves", "/report", "/live.js", "/chart.js", "/theme.js", "/style.css")


def client_of(root: Path, host: str = HERE) -> TestClient:
    return TestClient(Live(root).app, base_url=host)


@pytest.fixture
def client(planted: Planted) -> Iterator[TestClient]:
    planted.account(SPEC)
    planted.point(SPEC, 10)
    with client_of(planted.root) as client:
        wait_for(client, SPEC.id)
        yield client


def wait_for(client: TestClient, text: str) -> None:
    """Ask for the page until the store has been looked at."""
    eventually(lambda: text in client.get("/").text)


def data_in(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*)</script>', html)
    assert found
    return json.loads(found.group(1))


def test_the_page_has_the_runs_in_it_and_asks_this_server_only(client: TestClient) -> None:
    html = client.get("/").text
    assert data_in(html)["news"]["runs"][0]["id"] == SPEC.id
    asked = re.findall(r'(?:src|href)="([^"#]+)"', html)
    assert all(each.startswith("/") and not each.startswith("//") for each in asked)
    for each in asked:
        assert client.head(each).status_code == 200
    for name in ("live.js", "chart.js", "theme.js", "waiting.js", "style.css", "icon.svg"):
        assert not re.search(r"https?://(?!www\.w3\.org/)", client.get(f"/{name}").text)


def test_curves_are_given_by_run(client: TestClient) -> None:
    found = client.get("/curves", params={"run": [SPEC.id, "f" * 16]}).json()
    assert found["curves"] == {SPEC.id: [[10, 0.5, 0.25, 1.0, 2.0]], "f" * 16: []}
    assert found["epoch"] == data_in(client.get("/").text)["news"]["id"].split("-")[0]


@pytest.mark.parametrize("run", ["../..", "x", "", "A" * 16, "0" * 17, "%00", "0" * 15 + "'"])
def test_ids_that_are_none_are_refused(client: TestClient, run: str) -> None:
    assert client.get("/curves", params={"run": run}).status_code == 400


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X"]
)
@pytest.mark.parametrize("path", ["/", "/events", "/report/page", "/nothing"])
def test_nothing_but_get_and_head_is_allowed(client: TestClient, method: str, path: str) -> None:
    refused = client.request(method, path)
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", PATHS)
def test_head_says_what_get_would(client: TestClient, path: str) -> None:
    found = client.head(path)
    assert found.status_code == 200
    assert found.content == b""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8642",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8642",
        "127.0.0.1@evil.example",
        "0.0.0.0:8642",
        "127.0.0.1:8642:80",
        "localhost:",
        "",
    ],
)
def test_foreign_hosts_are_refused_everywhere(client: TestClient, host: str) -> None:
    for path in (*PATHS, "/nothing"):
        refused = client.get(path, headers={"host": host})
        assert refused.status_code == 400
        assert SPEC.id not in refused.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:8642"])
def test_this_machines_names_are_known_with_any_port_for_a_tunnel_may_have_another(
    client: TestClient, host: str
) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_can_link_here_but_make_it_do_nothing(client: TestClient, site: str) -> None:
    fetched = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    assert client.get("/report/page", headers=fetched).status_code == 403
    framed = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert client.get("/", headers=framed).status_code == 403
    followed = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/", headers=followed).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/undergrowth.json",
        "/../undergrowth.json",
        "/%2e%2e/undergrowth.json",
        "/..%2fundergrowth.json",
        "/live.js/../../undergrowth.json",
        "//etc/passwd",
        "/etc/passwd",
        "/%2fetc%2fpasswd",
        "/live.js%00",
        "/%00",
        "/live.js/",
        "/report/",
        "/report/page/x",
        "/..\\..\\x",
        "/runs/" + SPEC.id,
    ],
)
def test_no_path_leads_elsewhere(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_every_answer_has_the_headers_that_keep_others_out(client: TestClient) -> None:
    answers = [client.head(path) for path in (*PATHS, "/nothing")]
    answers += [client.post("/"), client.get("/", headers={"host": "evil.example"})]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert re.findall(r"'self'|https?:|\*", policy).count("'self'") == 4
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


def test_hostile_text_stays_text(planted: Planted) -> None:
    from undergrowth.store import rows

    hostile = "</script><script>alert(1)</script>\u2028<!--"
    planted.account(SPEC, "failed", hostile, ended=101.0)
    planted.kept("names").insert("names", [rows.name_row(SPEC.id, hostile)])
    with client_of(planted.root) as client:
        wait_for(client, SPEC.id)
        html = client.get("/").text
        assert "<script>alert" not in html
        run = data_in(html)["news"]["runs"][0]
        assert (run["arm"], run["message"]) == (in_one_line(hostile), in_one_line(hostile))


def test_a_store_that_is_deleted_is_said_to_be(planted: Planted) -> None:
    planted.account(SPEC)
    with client_of(planted.root) as client:
        wait_for(client, SPEC.id)
        (planted.root / "undergrowth.json").unlink()
        wait_for(client, "is not an undergrowth store")
        assert client.get("/").status_code == 200


def test_the_report_is_made_when_asked_for_and_says_that_it_is_a_snapshot(tmp_path: Path) -> None:
    root = tmp_path / "store"
    train(tiny.spec(), root, layout=Layout(workers=1))
    planted = Planted(root)  # another run begins
    planted.account(SPEC)
    before = {path.name for path in root.iterdir()}
    try:
        with client_of(root) as client:
            waiting = client.get("/report")
            assert "The report is being made" in waiting.text
            made = client.get("/report/page")
            assert made.status_code == 200
            assert "A snapshot: of 2 runs, 1 still running" in made.text
            assert f"undergrowth report {root}" in made.text
            assert "connect-src" not in made.headers["content-security-policy"]
            assert "default-src 'none'" in made.headers["content-security-policy"]
            assert client.get("/report/made").text == "made\n"  # the same, until it is asked for anew
            assert client.head("/report/page").headers["etag"] == made.headers["etag"]
            client.get("/report")
            assert client.head("/report/page").headers["etag"] != made.headers["etag"]
    finally:
        planted.kept().connection.close()
        planted.lock.close()
    assert {path.name for path in root.iterdir()} == before


def test_a_report_that_cannot_be_made_says_why_in_one_line(planted: Planted) -> None:
    with client_of(planted.root) as client:
        failed = client.get("/report/page")
    assert failed.status_code == 503
    assert failed.text == f"{planted.root} has no runs to report: train some first\n"
