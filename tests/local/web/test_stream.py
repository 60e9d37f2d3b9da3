"""Server-sent events: gathered, alive, ended with the service, and let go of when the reader leaves."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
import pytest

from probes.local.web import app
from probes.local.web.memo import LONGEST, Memo
from probes.local.web.stream import MOST, stream
from tests.local.web.browser import served
from tests.local.web.fleets import Serving


async def told_to(serving: Serving, count: int = 1) -> None:
    while len(serving.told) < count:
        await asyncio.sleep(0)


async def test_changes_are_gathered_into_one_message(serving: Serving) -> None:
    lines = stream(serving, gather=0.05)
    assert await anext(lines) == "retry: 2000\n\n"
    coming = asyncio.ensure_future(anext(lines))
    await told_to(serving)
    for name in ("runs/a", "runs/b", "runs/a"):
        serving.tell(name)
    assert await coming == 'event: change\ndata: ["runs/a", "runs/b"]\n\n'
    coming = asyncio.ensure_future(anext(lines))
    for number in range(80):
        serving.tell(f"runs/{number}")
    assert await coming == 'event: change\ndata: ["*"]\n\n'
    await lines.aclose()  # type: ignore[attr-defined]  # an async generator
    assert serving.told == [], "the service is let go of"


async def test_silence_is_filled(serving: Serving) -> None:
    lines = stream(serving, alive=0.01)
    await anext(lines)
    assert await anext(lines) == ": still here\n\n"
    await lines.aclose()  # type: ignore[attr-defined]


async def test_it_ends_with_the_service(serving: Serving) -> None:
    lines = stream(serving, gather=0.01)
    await anext(lines)
    coming = asyncio.ensure_future(anext(lines, "over"))
    await told_to(serving)
    serving.tell(None)
    assert await coming == "over"


async def test_over_a_real_connection(serving: Serving) -> None:
    async with served(serving) as address, httpx.AsyncClient(base_url=address, timeout=10) as client:
        async with client.stream("GET", "/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            await told_to(serving)
            serving.tell("incidents")
            seen = [line async for line in _until(lines, "data:")]
            assert json.loads(seen[-1].removeprefix("data: ")) == ["incidents"]
        assert (await client.get("/health")).status_code == 200


async def _until(lines: object, start: str) -> object:
    async for line in lines:  # type: ignore[attr-defined]
        yield line
        if line.startswith(start):
            return


async def test_there_is_an_end_to_the_number_of_open_pages(serving: Serving) -> None:
    made = app(serving)
    made.state.streams = MOST
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://127.0.0.1") as client:
        answer = await client.get("/events")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"


@pytest.mark.parametrize(
    "headers", [{"origin": "http://localhost:3000"}, {"sec-fetch-site": "cross-site"}, {"host": "rebound.example"}]
)
async def test_another_page_does_not_listen(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await client.get("/events", headers=headers)).status_code in (403, 421)


async def test_a_fleet_that_is_slow_to_read_is_read_seldom_and_the_page_comes_back(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, readings = serving.world.store.find, 0

    async def slow(prefix: str) -> object:
        nonlocal readings
        readings += prefix == "state/"
        await asyncio.sleep(0.15)
        return await find(prefix)

    monkeypatch.setattr(serving.world.store, "find", slow)
    memo = Memo(serving)
    first, *others = await asyncio.gather(*(memo.fleet() for _ in range(5)))
    assert readings == 1
    assert all(other is first for other in others)
    assert 0 < memo.again <= LONGEST
    memo.forget()
    assert memo.again == 0
    await memo.fleet()
    assert readings == 2
    serving.plan = replace(serving.plan, digest="another")
    await memo.fleet()
    assert readings == 3, "another plan is another fleet"


async def test_the_service_is_let_go_of_with_a_change_in_hand(serving: Serving) -> None:
    held = serving.changes()
    service = replace(serving)
    service.changes = lambda: held  # type: ignore[method-assign]  # held here, so that no garbage collection closes it
    lines = stream(service, gather=0.0)
    await anext(lines)
    coming = asyncio.ensure_future(anext(lines))
    await told_to(serving)
    serving.tell("runs/a")
    await coming
    serving.tell("runs/b")
    await asyncio.sleep(0.01)
    await lines.aclose()  # type: ignore[attr-defined]
    assert serving.told == []
