"""One fleet with a past, made once by the real pipeline, and each test's own copy of its world."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from probes.local.web import app
from tests.local.web.fleets import Serving, configuration, lived
from tests.worlds import MemoryStore


@pytest.fixture(scope="session")
def grown() -> Serving:
    return asyncio.run(lived(configuration(), 58))


@pytest.fixture
def serving(grown: Serving) -> Serving:
    store = grown.world.store
    assert isinstance(store, MemoryStore)
    own = MemoryStore()
    own.documents = dict(store.documents)
    own.logs = {name: dict(records) for name, records in store.logs.items()}
    return replace(grown, plan=copy.deepcopy(grown.plan), world=replace(grown.world, store=own), told=[])


@pytest.fixture
async def client(serving: Serving) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on the same machine, without a script and without a cookie yet."""
    transport = httpx.ASGITransport(app(serving))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers={"accept": "text/html"}) as made:
        yield made
