"""What changed, told to listeners: by name, once while it waits, and with an end."""

import asyncio

from probes.core.events import Event
from probes.local.changes import Changes


async def test_a_listener_hears_names_and_a_slow_one_hears_each_once() -> None:
    changes = Changes()
    changes.tell("before anyone listened")
    quick, slow = changes.listen(), changes.listen()
    first, second = asyncio.create_task(anext(quick)), asyncio.create_task(anext(slow))
    await asyncio.sleep(0)
    changes.tell("plan")
    assert (await first, await second) == ("plan", "plan")
    for _ in range(1000):
        changes.tell("runs/quote", "incidents")
    changes.end()
    assert [name async for name in slow] == ["runs/quote", "incidents"]
    await quick.aclose()


async def test_events_become_names() -> None:
    changes = Changes()
    names = changes.listen()
    first = asyncio.create_task(anext(names))
    await asyncio.sleep(0)
    for kind, detail in [
        ("Runs Reported", {"runs": [["quote", "passed"], ["buy", "failed"]]}),
        ("Check Status Changed", {"check": "cert"}),
        ("Heartbeat Received", {"check": "nightly"}),
        ("Incident Opened", {}),
        ("Alert Sent", {}),
        ("Plan Rejected", {}),
        ("Command Received", {}),
    ]:
        changes.hear(Event("probes.shop", kind, {"id": "1", **detail}))
    changes.end()
    assert [await first, *[name async for name in names]] == [
        "runs/quote",
        "runs/buy",
        "runs/cert",
        "runs/nightly",
        "incidents",
        "plan",
    ]
