"""Who may do what: every route against strangers, other sites, rebound names and forged forms."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.routing import Route

from probes import pipeline
from probes.local.web import app
from probes.local.web.routes import TABLE
from probes.local.web.security import CSP, SESSION, Keys, is_loopback
from tests.local.web.fleets import Serving

FILLED = {
    "{id}": "search",
    "{id:path}": "search/2026",
    "{name}": "checkout",
    "{panel}": "latency",
    "{check}": "invoices",
    "{exit}": "0",
}
NOBODY_NEEDS = {"/health", "/static/{name}", "/login"}


def filled(path: str) -> str:
    for name, value in FILLED.items():
        path = path.replace(name, value)
    return path.replace("/static/checkout", "/static/page.css")


ROUTES = [(path, method) for path, methods, _, _ in TABLE for method in methods]


@pytest.fixture
async def stranger(serving: Serving) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody on the network, in front of a page that is bound to every address."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app(serving, "0.0.0.0")), base_url="http://192.0.2.1:8080") as made:
        yield made


def test_the_table_is_all_there_is(serving: Serving) -> None:
    built = app(serving)
    assert [route.path for route in built.routes if isinstance(route, Route)] == [path for path, *_ in TABLE]
    assert len(built.routes) == len(TABLE)


@pytest.mark.parametrize(("path", "method"), ROUTES)
async def test_on_a_network_nothing_is_open_without_the_token(stranger: httpx.AsyncClient, path: str, method: str) -> None:
    answer = await stranger.request(method, filled(path))
    if path in NOBODY_NEEDS:
        assert answer.status_code in (200, 401)
    else:
        assert answer.status_code == 401, "refused before anything was looked up"
    assert "price-a-basket" not in answer.text


@pytest.mark.parametrize(("path", "method"), [row for row in ROUTES if row[0] not in NOBODY_NEEDS | {"/events"}])
async def test_with_the_token_everything_is(stranger: httpx.AsyncClient, serving: Serving, path: str, method: str) -> None:
    answer = await stranger.request(method, filled(path), headers={"authorization": f"Bearer {serving.token}"})
    assert answer.status_code not in (401, 403, 405, 421, 500)


@pytest.mark.parametrize(("path", "method"), ROUTES)
async def test_a_wrong_token_opens_nothing(client: httpx.AsyncClient, path: str, method: str) -> None:
    for token in (
        "",
        "Bearer",
        "Bearer x",
        "Basic dXNlcjpwdw==",
        "Bearer the-token-of-this-test-service-012345678",
        "Bearer \u00e4",
    ):
        if path == "/events" and token in ("", "Bearer"):
            continue  # open to this machine, and endless
        headers = {"authorization": token.encode()} if not token.isascii() else {"authorization": token}
        answer = await client.request(method, filled(path), headers=headers)  # type: ignore[arg-type]  # bytes are fine
        if path.startswith("/api/") and method == "POST":
            assert answer.status_code in (401, 403)
        elif token and token != "Bearer":
            assert answer.status_code == 401


async def test_signing_in(stranger: httpx.AsyncClient, serving: Serving) -> None:
    page = await stranger.get("/checks/search", headers={"accept": "text/html"})
    assert page.status_code == 303
    assert page.headers["location"] == "/login?next=/checks/search"
    wrong = await stranger.post("/login", data={"token": "guess", "back": "/checks/search"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    right = await stranger.post("/login", data={"token": serving.token, "back": "/checks/search"})
    assert right.status_code == 303
    assert right.headers["location"] == "/checks/search"
    cookie = right.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert serving.token not in cookie
    assert (await stranger.get("/checks/search")).status_code == 200
    assert (await stranger.post("/beat/invoices")).status_code == 401, "a cookie does not report for a job"


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nset-cookie: x=1"]
)
async def test_nobody_is_sent_elsewhere(stranger: httpx.AsyncClient, serving: Serving, back: str) -> None:
    answer = await stranger.post("/login", data={"token": serving.token, "back": back})
    assert answer.headers["location"] == "/"
    assert "x=1" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.nip.example",
        "localhost.evil.example",
        "",
        "[::1",
        "192.0.2.1",
        "\u0660.0.0.1".encode(),
    ],
)
async def test_a_rebound_name_is_refused_everywhere(client: httpx.AsyncClient, host: str) -> None:
    for path, method in ROUTES:
        answer = await client.request(method, filled(path), headers={"host": host})
        assert answer.status_code == 421, path
        assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:9", "[::1]:8080", "127.0.0.1:1"])
async def test_our_own_names_are_served(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/health", headers={"host": host})).status_code == 200


OTHERS = [
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    {"origin": "https://evil.example"},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "http://localhost:8080"},
    {"origin": "null"},
]


@pytest.mark.parametrize(("headers", "row"), list(itertools.product(OTHERS, ROUTES)))
async def test_another_site_reaches_nothing(client: httpx.AsyncClient, headers: dict[str, str], row: tuple[str, str]) -> None:
    path, method = row
    answer = await client.request(method, filled(path), headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("path", "method"), ROUTES)
async def test_a_link_on_another_site_opens_pages_and_nothing_else(client: httpx.AsyncClient, path: str, method: str) -> None:
    if path == "/events":
        return  # an endless answer; the browser test opens it
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = await client.request(method, filled(path), headers=headers)
    opens = method == "GET" and not path.startswith("/beat/")
    assert (answer.status_code in (200, 404)) is opens, "a heartbeat must not be sent by a link"


async def test_a_button_needs_cookie_token_and_origin(client: httpx.AsyncClient, serving: Serving) -> None:
    page = await client.get("/checks/search")
    keys = Keys(serving.token)
    assert keys.form in page.text
    assert serving.token not in page.text
    form = {"check": "search", "for": "1h", "by": "Ana", "because": "deploying", "token": keys.form, "back": "/checks/search"}
    cookies = dict(client.cookies)
    client.cookies.clear()
    assert (await client.post("/api/silence", data=form)).status_code == 401, "no cookie"
    client.cookies.update(cookies)
    for token in ("", "x", keys.form[:-1]):
        assert (await client.post("/api/silence", data={**form, "token": token})).status_code == 403
    assert (await client.post("/api/silence", data=form, headers={"origin": "http://evil.example"})).status_code == 403
    assert await pipeline.silences(serving.world) == []
    done = await client.post(
        "/api/silence", data=form, headers={"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}
    )
    assert done.status_code == 303
    assert done.headers["location"] == "/checks/search?notice=silenced"
    made = await pipeline.silences(serving.world)
    assert [(one.by, one.because, one.when) for one in made] == [("Ana", "deploying", ('check == "search"',))]


async def test_the_header_is_as_good_as_the_field(client: httpx.AsyncClient, serving: Serving) -> None:
    await client.get("/")
    body = {"check": "search", "for": "1h", "by": "Ana", "because": "deploying"}
    assert (await client.post("/api/silence", json=body)).status_code == 403
    assert (await client.post("/api/silence", json=body, headers={"x-probes-token": Keys(serving.token).form})).status_code == 200


async def test_a_cookie_is_ours_and_of_today(client: httpx.AsyncClient, serving: Serving) -> None:
    keys, now = Keys(serving.token), time.time()
    good = keys.session(int(now) + 60)
    assert keys.good(good, now)
    until, _, mac = good.partition(".")
    for bad in (
        keys.session(int(now) - 1),
        f"{int(until) + 1}.{mac}",
        f"{until}.",
        until,
        "",
        ".",
        "9" * 400,
        f"\u0661.{mac}",
        Keys("other").session(int(until)),
    ):
        assert not keys.good(bad, now), bad
    first = await client.get("/")
    assert f"Max-Age={SESSION}" in first.headers["set-cookie"]
    assert "set-cookie" not in (await client.get("/")).headers, "one cookie is enough"


async def test_every_answer_carries_the_policy(client: httpx.AsyncClient) -> None:
    for path in ("/", "/nowhere", "/api/status", "/health", "/static/page.css", "/static/plotly.js", "/api/silence"):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"] == CSP
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers
        assert ("immutable" in headers["cache-control"]) is False
    assert "unsafe" not in CSP
    assert "frame-ancestors 'none'" in CSP


async def test_a_body_above_the_limit_is_not_read(client: httpx.AsyncClient, serving: Serving) -> None:
    await client.get("/")
    for path in ("/api/ack", "/login", "/beat/invoices"):
        answer = await client.post(path, content=b"x" * 70_000, headers={"content-type": "application/x-www-form-urlencoded"})
        assert answer.status_code == 413, path


async def test_a_web_socket_is_not_taken(serving: Serving) -> None:
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    await app(serving)({"type": "websocket", "path": "/events", "headers": [], "query_string": b""}, receive, send)  # type: ignore[arg-type]
    assert sent == []


@pytest.mark.parametrize(
    ("host", "is_"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("127.8.8.8", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("monitor.example", False),
    ],
)
def test_loopback(host: str, is_: bool) -> None:
    assert is_loopback(host) is is_


async def test_a_page_on_every_address_answers_to_addresses_and_its_own_name_only(serving: Serving) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app(serving, "0.0.0.0")), base_url="http://127.0.0.1") as made:
        assert (await made.get("/health", headers={"host": "192.0.2.7:8080"})).status_code == 200
        assert (await made.get("/health", headers={"host": "rebound.example"})).status_code == 421
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app(serving, "monitor.example")), base_url="http://127.0.0.1"
    ) as made:
        assert (await made.get("/health", headers={"host": "monitor.example"})).status_code == 200
        assert (await made.get("/health", headers={"host": "192.0.2.7"})).status_code == 421
