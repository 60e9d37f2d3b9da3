"""The JSON interface: its contracts, its refusals, heartbeats, and the buttons behind it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from probes import pipeline, view
from tests.local.web.fleets import Serving


@pytest.fixture
def program(client: httpx.AsyncClient, serving: Serving) -> httpx.AsyncClient:
    """The command line."""
    client.headers.update({"authorization": f"Bearer {serving.token}", "accept": "application/json"})
    return client


async def test_status(program: httpx.AsyncClient) -> None:
    document = (await program.get("/api/status")).json()
    assert document["service"] == "shop"
    assert sum(document["counts"].values()) == len(document["checks"]) == 40
    one = {check["check"]: check for check in document["checks"]}["price-a-basket"]
    assert one["status"] == "down"
    assert one["locations"] == {"dublin": "down", "virginia": "down", "sydney": "up"}
    assert 0 < one["availability_percent"] < 100
    assert one["incident"] in {incident["id"] for incident in document["incidents"]}
    assert all(incident["status"] == "open" for incident in document["incidents"])


async def test_a_check_and_its_runs(program: httpx.AsyncClient, serving: Serving) -> None:
    check = (await program.get("/api/checks/price-a-basket")).json()
    assert check["definition"]["must"] == ["status == 200"]
    assert "literal-in-the-file" not in str(check)
    runs = (await program.get("/api/checks/price-a-basket/runs?since=10m&limit=5")).json()["runs"]
    assert len(runs) == 5
    assert runs == (await view.history(serving.world, "price-a-basket", 0, 5))
    assert [run["at"] for run in runs] == sorted(run["at"] for run in runs)
    for since in ("2026-01-01T00:00Z", "1770000000", "24h"):
        assert (await program.get(f"/api/checks/search/runs?since={since}")).json()["runs"]


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=", "since=nan", "since=1e400", "limit=-1", "limit=x", "limit=99999999", "limit=\u0663"]
)
async def test_a_wrong_question_is_answered_with_the_right_one(program: httpx.AsyncClient, query: str) -> None:
    answer = await program.get(f"/api/checks/search/runs?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("path", ["/api/checks/serch", "/api/checks/serch/runs", "/api/checks/serch/panels/latency"])
async def test_an_unknown_check_is_404_with_the_nearest(program: httpx.AsyncClient, path: str) -> None:
    answer = await program.get(path)
    assert answer.status_code == 404
    assert "Did you mean 'search'?" in answer.json()["error"]


async def test_a_panel(program: httpx.AsyncClient, serving: Serving) -> None:
    document = (await program.get("/api/checks/price-a-basket/panels/latency?range=1h")).json()
    assert document["unit"] == "Milliseconds"
    assert [line["name"] for line in document["lines"]] == ["dublin", "sydney", "virginia"]
    assert {mark["outcome"] for mark in document["marks"]} == {"failed"}
    assert [band["severity"] for band in document["bands"]] == ["critical"]
    assert document["start"] < document["bands"][0]["start"] < document["bands"][0]["end"] <= document["end"]
    phases = (await program.get("/api/checks/price-a-basket/panels/phases")).json()
    assert [line["name"] for line in phases["lines"]] == ["resolve", "connect", "tls", "wait", "receive"]
    for panel in ("states", "failures", "nothing"):
        assert (await program.get(f"/api/checks/price-a-basket/panels/{panel}")).status_code == 404


async def test_incidents(program: httpx.AsyncClient) -> None:
    every = (await program.get("/api/incidents?since=7d")).json()["incidents"]
    open_ = (await program.get("/api/incidents?open=true")).json()["incidents"]
    assert {one["status"] for one in every} == {"open", "resolved"}
    assert {one["status"] for one in open_} == {"open"}
    held = next(one for one in every if one["check"] == "place-an-order")
    assert {alert["outcome"] for alert in held["alerts"]} == {"suppressed"}


async def test_acknowledge(program: httpx.AsyncClient, serving: Serving) -> None:
    answer = await program.post("/api/ack", json={"incident": "log-in", "by": "Ana"})
    assert answer.status_code == 200
    assert answer.json()["acknowledged_by"] == "Ana"
    found = {one.check: one for one in await view.incidents(serving.plan, serving.world, open_only=True)}
    assert found["log-in"].acknowledged_by == "Ana"
    assert (await program.post("/api/ack", json={"incident": "certificate", "by": "Ana"})).status_code == 404


async def test_silence_and_unsilence(program: httpx.AsyncClient, serving: Serving) -> None:
    made = (await program.post("/api/silence", json={"check": "search", "for": "2h", "by": "Ana", "because": "deploying"})).json()
    assert made["when"] == ['check == "search"']
    item = await view.check(serving.plan, serving.world, "search")
    assert item.muted is not None
    assert "deploying" in item.muted
    assert [one["silence"] for one in (await program.get("/api/status")).json()["silences"]] == [made["silence"]]
    ended = await program.post("/api/unsilence", json={"silence": made["silence"], "by": "Ben"})
    assert ended.status_code == 200
    assert await pipeline.silences(serving.world) == []
    assert (await program.post("/api/unsilence", json={"silence": made["silence"], "by": "Ben"})).status_code == 404
    lines = {"when": ['group == "checkout"', 'severity == "critical"'], "for": "30m", "by": "Ana", "because": "move"}
    assert (await program.post("/api/silence", json=lines)).json()["when"] == lines["when"]


GOOD: dict[str, Any] = {"check": "search", "for": "1h", "by": "Ana", "because": "x"}


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"check": "serch"}, 404, "Did you mean 'search'?"),
        ({"check": None}, 400, "either `check`"),
        ({"when": 'check == "search"'}, 400, "either `check`"),
        ({"check": None, "when": "latency < 3s"}, 400, "when: "),
        ({"check": None, "when": [[]]}, 400, "when: "),
        ({"for": "60"}, 400, "needs a unit"),
        ({"for": None}, 400, "duration"),
        ({"for": "0s"}, 400, "ends after it begins"),
        ({"for": ["1h"]}, 400, "duration"),
        ({"by": ""}, 400, "`by` is missing"),
        ({"by": "x" * 101}, 400, "longer than 100"),
        ({"by": {"a": 1}}, 400, "`by` is missing"),
        ({"because": "  "}, 400, "`because` is missing"),
        ({"check": ["search"]}, 400, ""),
    ],
)
async def test_a_wrong_silence_is_refused_in_words(
    program: httpx.AsyncClient, serving: Serving, change: dict[str, Any], status: int, said: str
) -> None:
    answer = await program.post("/api/silence", json={**GOOD, **change})
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert await pipeline.silences(serving.world) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"x"', b"[" * 30_000, b'{"by": 1}'])
async def test_a_broken_body_is_400(program: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/api/ack", "/api/silence", "/api/unsilence"):
        answer = await program.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]


async def test_a_heartbeat(client: httpx.AsyncClient, serving: Serving) -> None:
    before = len(await view.history(serving.world, "invoices", 0))
    for method, path in (
        ("GET", "/beat/invoices"),
        ("HEAD", "/beat/invoices"),
        ("POST", "/beat/invoices?status=ok&took=90s"),
        ("POST", "/beat/invoices/0"),
        ("GET", "/beat/invoices/3"),
        ("GET", "/beat/invoices?status=fail"),
    ):
        assert (await client.request(method, path)).status_code == 200
    form = await client.post("/beat/invoices", data={"status": "ok", "took": "2m"})
    assert form.json() == {"check": "invoices", "reported": "ok", "outcome": "passed"}
    assert (await client.post("/beat/invoices", content=b"the log of the job\n")).status_code == 200
    runs = (await view.history(serving.world, "invoices", 0))[before:]
    assert "failed" in {run["outcome"] for run in runs}
    assert {run["facts"].get("took_ms") for run in runs} >= {90_000.0, 120_000.0}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/beat/invoces", 404, "Did you mean 'invoices'?"),
        ("/beat/search", 409, "only a heartbeat"),
        ("/beat/invoices?status=maybe", 400, "ok, fail, start"),
        ("/beat/invoices?took=90", 400, "needs a unit"),
        ("/beat/invoices/x", 400, "exit code"),
        ("/beat/invoices/256", 400, "exit code"),
        ("/beat/invoices/-1", 400, "exit code"),
    ],
)
async def test_a_wrong_heartbeat_is_refused_in_words(
    client: httpx.AsyncClient, serving: Serving, path: str, status: int, said: str
) -> None:
    client.headers["accept"] = "*/*"
    before = await view.history(serving.world, "invoices", 0)
    answer = await client.get(path)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert await view.history(serving.world, "invoices", 0) == before


async def test_methods_and_addresses_that_are_not(client: httpx.AsyncClient) -> None:
    client.headers["accept"] = "*/*"
    assert (await client.get("/api/nothing")).json() == {"error": "Nothing is at this address."}
    assert (await client.delete("/api/status")).status_code == 405
    assert (await client.get("/static/..%2froutes.py")).status_code == 404
    assert (await client.get("/static/nothing.css")).status_code == 404


async def test_files_are_kept_for_ever_under_the_address_of_their_content(client: httpx.AsyncClient) -> None:
    page = (await client.get("/checks/search")).text
    import re

    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert any("plotly.js?v=" in one for one in found)
    for one in found:
        answer = await client.get(one)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
