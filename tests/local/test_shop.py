"""The demo shop does what its story says, over real sockets."""

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from probes.local.shop import ENVIRONMENT, HOST, NAME, PORTS, STORY, Scene, Shop

FREE = dict.fromkeys(PORTS, 0)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path / "shop", FREE) as shop:
        yield shop


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    trust = ssl.create_default_context(cafile=shop.variables["ca"])
    async with httpx.AsyncClient(base_url=shop.variables["secure"], verify=trust, trust_env=False) as client:
        yield client


async def buy(client: httpx.AsyncClient) -> list[int]:
    login = await client.post("/v1/sessions", json={"user": "probe", "password": ENVIRONMENT["SHOP_PASSWORD"]})
    head = {"authorization": f"Bearer {login.json()['access_token']}"}
    order = await client.post("/v1/orders", json={"sku": "demo-1", "reference": "r"}, headers=head)
    cancel = await client.delete(f"/v1/orders/{order.json().get('id', 'none')}", headers=head)
    return [login.status_code, order.status_code, cancel.status_code]


async def test_a_book_is_bought_and_sent_back_over_tls(client: httpx.AsyncClient) -> None:
    assert await buy(client) == [200, 201, 204]
    assert (await client.get("/health")).json() == {"status": "ok", "orders": 0}


async def test_nobody_buys_without_logging_in(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/sessions", json={"password": "wrong"})).status_code == 401
    assert (await client.post("/v1/orders", json={})).status_code == 401
    assert (await client.delete("/v1/orders/x")).status_code == 401


async def test_quotes_follow_the_scene(shop: Shop, client: httpx.AsyncClient) -> None:
    basket = {"sku": "demo-1", "quantity": 2}
    assert (await client.post("/v1/quotes", json=basket)).json()["total"] == 39.0
    assert (await client.post("/v1/quotes", json={"sku": "demo-1", "quantity": "2"})).status_code == 422
    assert (await client.post("/v1/quotes", content=b"{not json")).status_code == 422
    shop.scene = Scene(0, "", quotes="down")
    assert (await client.post("/v1/quotes", json=basket)).status_code == 503
    assert await buy(client) == [200, 503, 404]
    shop.scene = Scene(0, "", quotes="slow")
    assert (await client.post("/v1/quotes", json=basket)).elapsed.total_seconds() > 0.5


async def test_the_name_server_knows_one_name(shop: Shop) -> None:
    async def ask(name: str, kind: str = "A") -> dns.message.Message:
        return await dns.asyncquery.udp(dns.message.make_query(name, kind), HOST, port=shop.ports["dns"], timeout=5)

    assert HOST in (await ask(NAME)).answer[0].to_text()
    empty = await ask(NAME, "AAAA")
    assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
    assert (await ask("other.example")).rcode() == dns.rcode.NXDOMAIN


async def test_the_database_greets_and_answers(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection(HOST, shop.ports["database"])
    assert await reader.readline() == b"shopdb 1.0 ready\r\n"
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    writer.write(b"DROP\r\n")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_alerts_are_taken_only_with_a_fresh_and_fitting_signature(shop: Shop, client: httpx.AsyncClient) -> None:
    def head(body: bytes, at: int) -> dict[str, str]:
        key = base64.b64decode(ENVIRONMENT["SHOP_HOOK_KEY"].removeprefix("whsec_"))
        signature = base64.b64encode(hmac.new(key, f"m1.{at}.".encode() + body, hashlib.sha256).digest()).decode()
        return {"webhook-id": "m1", "webhook-timestamp": str(at), "webhook-signature": f"v1,other v1,{signature}"}

    now, body = int(time.time()), b'{"type": "incident.opened"}'
    assert (await client.post("/hooks/alerts", content=body, headers=head(body, now))).status_code == 204
    assert (await client.post("/hooks/alerts", content=b"{}", headers=head(body, now))).status_code == 401
    assert (await client.post("/hooks/alerts", content=body, headers=head(body, now - 301))).status_code == 401
    assert (await client.post("/hooks/alerts", content=body)).status_code == 401
    assert (await client.get("/hooks/alerts")).json() == [{"id": "m1", "body": {"type": "incident.opened"}}]
    assert len(shop.alerts) == 1


async def test_the_nightly_job_reports_unless_the_scene_has_it_hang(tmp_path: Path) -> None:
    from probes.local import shop as module

    beats: asyncio.Queue[str] = asyncio.Queue()

    async def beat(request: Request) -> Response:
        beats.put_nowait(request.query_params["status"])
        return Response()

    inbox = module.uvicorn.Config(Starlette(routes=[Route("/beat/job", beat, methods=["POST"])]), **module._QUIET)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        address = f"http://{HOST}:{listener.getsockname()[1]}/beat/job"
        async with module._serving(inbox, listener, None):
            shop = Shop(tmp_path / "shop", FREE, beat=address)
            shop.scene = Scene(0, "", job=False)
            async with shop, httpx.AsyncClient(base_url=shop.variables["api"], trust_env=False) as client:
                assert (await client.get("/health")).status_code == 200
                assert beats.empty()
                shop.scene = Scene(0, "")
                assert await asyncio.wait_for(beats.get(), 10) == "ok"


async def test_play_tells_every_scene_in_order(shop: Shop) -> None:
    told: list[str] = []
    await shop.play(STORY, told.append, pace=0.001)
    assert told == [scene.says for scene in STORY]
    assert shop.scene is STORY[-1]
    assert (STORY[0].at, STORY[-1].at) == (0, 60)
    assert {scene.quotes for scene in STORY} == {"ok", "slow", "down"}


async def test_a_taken_port_is_replaced_and_said(tmp_path: Path, shop: Shop) -> None:
    async with Shop(tmp_path / "second", shop.ports) as second:
        assert set(second.ports.values()).isdisjoint(shop.ports.values())
        assert second.variables["database"] == f"{HOST}:{second.ports['database']}"
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(second.variables["api"] + "/health")).status_code == 200


async def test_only_loopback_and_nothing_secret_is_left_behind(tmp_path: Path, shop: Shop) -> None:
    assert [path.name for path in shop.folder.iterdir()] == ["ca.pem"]
    assert "PRIVATE" not in (shop.folder / "ca.pem").read_text()
    assert all(HOST in value for name, value in shop.variables.items() if name != "ca")
