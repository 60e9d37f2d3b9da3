"""A fleet with a past, made by the real pipeline on a virtual clock: what the pages are tested and looked at with."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from probes import pipeline
from probes.channels import CHANNELS
from probes.core.check import Check
from probes.core.compile import compile
from probes.core.diagnostics import Problem
from probes.core.fault import Fault
from probes.core.judge import judge
from probes.core.plan import Plan
from probes.core.result import Observation, Run
from probes.core.spec import load
from probes.core.units import Duration, Size
from probes.kinds import KINDS
from probes.pipeline.execute import report
from probes.ports import Store, World
from tests.worlds import Clock, Memory

HOSTILE = {
    "markup": "<script>alert(document.domain)</script>",
    "handler": '"><img src=x onerror=alert(1)>',
    "reversed": "invoice\u202egpj.exe",
    "control": "bell\x07 and escape \x1b[31mred",
    "arabic": "\u0645\u0631\u0627\u0642\u0628\u0629 checkout \u0627\u0644\u062e\u062f\u0645\u0629",
    "long": "x" * 10_240,
    "stacked": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031ealgo",
}
"""Names that a careless page would run, reorder or be torn apart by; by the id of their check."""
NAMES = (
    "Price a basket;Log in;Place an order;Cancel an order;Order history;Gift cards;Product page;Search;Suggestions;Home page;"
    "Certificate;Name server;Image store;Card payments;Bank transfers;Refunds;Webhooks;Invoices;Stock levels;Shipping rates;"
    "Address lookup;Newsletter;Reviews;Wish list;Exchange rates;Tax service;Fraud score;Sign up;Password reset;Sitemap;Feeds"
).split(";")
GROUPS = ("checkout", "catalogue", "payments", "edge", "back-office")
HTML = "<!doctype html><title>503</title><script>alert('evidence')</script>\x1b[2J upstream connect error \u202e\nsecond line"

Script = Callable[[str, str, int], str]
"""From check, location and minutes before the end to ``good``, ``slow``, ``bad``, ``dead``, ``offline`` or ``none``."""


def configuration(count: int = 40, hostile: bool = True, locations: tuple[str, ...] = ("dublin", "virginia", "sydney")) -> str:
    """checks.yaml of a fleet of ``count`` checks."""
    checks: dict[str, Any] = {}
    for index in range(count - (len(HOSTILE) if hostile else 0)):
        name, round_ = NAMES[index % len(NAMES)], index // len(NAMES)
        key = name.lower().replace(" ", "-") + (f"-{round_ + 1}" if round_ else "")
        group = GROUPS[min(index // 7, 4)] if count <= 60 else f"team-{index // 25:02d}"
        checks[key] = {"name": name + (f" {round_ + 1}" if round_ else ""), "group": group, **_target(name, key)}
    for key, name in HOSTILE.items() if hostile else ():
        checks[key] = {
            "name": name[:200],
            "http": f"GET https://api.shop.example/v1/{key}",
            "must": ["status == 200"],
            "should": ["latency < 400ms"],
        }
    if "place-an-order" in checks:
        checks["place-an-order"]["depends_on"] = ["log-in"]
    if "gift-cards" in checks:
        checks["gift-cards"]["paused"] = True
    groups = dict.fromkeys(check["group"] for check in checks.values() if "group" in check)
    return yaml.safe_dump(
        {
            "version": 1,
            "service": "shop",
            "locations": dict.fromkeys(locations, "local"),
            "secrets": {"API_TOKEN": "env:API_TOKEN"},
            "defaults": {"every": "1m", "timeout": "10s", "locations": list(locations), "owner": "team-platform"},
            "groups": {
                name: {
                    "owner": f"team-{name}",
                    **({"slo": "99.9% over 30d", "runbook": RUNBOOK} if name == "checkout" else {}),
                    **({"name": "Names & certificates"} if name == "edge" else {}),
                }
                for name in groups
            },
            "checks": checks,
            "channels": {"chat": {"console": {}}, "oncall": {"console": {}}},
            "routes": [{"when": ['severity == "critical"'], "notify": ["oncall", "chat"]}, {"notify": ["chat"]}],
        },
        allow_unicode=True,
        sort_keys=False,
    )


RUNBOOK = "https://wiki.shop.example/runbooks/checkout"


def _target(name: str, key: str) -> dict[str, Any]:
    match name:
        case "Certificate":
            return {"tls": "api.shop.example:443", "must": ["trusted == true", "expires_in > 7d"], "should": ["expires_in > 30d"]}
        case "Name server":
            return {"dns": "A api.shop.example @127.0.0.1", "should": ["latency < 400ms"]}
        case "Stock levels":
            return {"tcp": "db.shop.example:5432"}
        case "Invoices":
            return {"heartbeat": {"grace": "5m"}, "every": "10m"}
    return {
        "http": {
            "method": "POST",
            "url": f"https://api.shop.example/v1/{key}",
            "headers": {"authorization": "Bearer ${{ secret.API_TOKEN }}", "accept": "application/json"},
            "json": {"sku": "demo-1", "password": "literal-in-the-file"},
        },
        "must": ["status == 200"],
        "should": ["latency < 400ms"],
    }


def usual(check: str, location: str, before: int) -> str:
    """The fleet's story: two down, some degraded, one offline, one that fails in one location only, one that recovered."""
    if check in ("price-a-basket", "log-in", "place-an-order") and before < 25 and location != "sydney":
        return "bad" if before % 5 else "dead"
    if check in ("search", "markup") and before < 40:
        return "slow"
    if check == "handler" and before < 15:
        return "dead"
    if check == "reviews" and before < 20:
        return "offline"
    if check == "refunds" and 50 < before < 70:
        return "bad"
    if check == "webhooks" and location == "virginia" and before < 30:
        return "dead"
    if 42 < before < 50 and check == "home-page":
        return "none"
    return "good"


def observe(check: Check, location: str, mood: str, chance: random.Random) -> Observation:
    """What a probe of that kind sees in that mood; times in seconds."""
    base = 0.03 + (hash_(check.id) % 180) / 1000 + {"virginia": 0.02, "sydney": 0.06}.get(location, 0.0)
    latency = base * (0.85 + abs(chance.gauss(0, 0.15))) * (8 if mood == "slow" else 1)
    phases = {"resolve": 0.004, "connect": 0.012, "tls": 0.031, "wait": latency - 0.002, "receive": 0.002}
    if mood == "offline":
        return Observation(fault=Fault("probe.offline", "this location has no network"), total=0.1)
    if mood == "dead":
        fault = Fault("timeout.response", "no response within 10s <b>of waiting</b>")
        seen = {"address": "192.0.2.7", "url": "https://api.shop.example/v1/quotes"}
        return Observation(fault=fault, phases=dict(list(phases.items())[:3]), total=10.0, evidence=seen)
    facts: dict[str, Any] = {"latency": Duration(latency), "ip": "192.0.2.7"}
    match check.kind:
        case "tls":
            facts |= {"trusted": True, "expires_in": Duration(86400 * (21 if mood == "slow" else 64))}
        case "dns":
            facts |= {"rcode": "NOERROR", "answers": ["192.0.2.7"]}
        case "tcp":
            facts |= {"connected": True}
        case _:
            facts |= {"status": 503 if mood == "bad" else 200, "size": Size(1310)}
    evidence = {
        "url": "https://user:secret@api.shop.example/v1/quotes",
        "addresses": ["192.0.2.7", "2001:db8::7"],
        "response": {
            "status": 503,
            "headers": {"content-type": "text/html", "set-cookie": "sid=abc", "server": "nginx"},
            "body": HTML,
        },
        "certificate": {"subject": "api.shop.example", "issuer": "R11", "expires": "2026-05-01T00:00:00Z"},
    }
    return Observation(
        facts=facts,
        phases=phases,
        latency=latency,
        total=latency + 0.05,
        clock="kernel",
        evidence=evidence if mood == "bad" else {},
    )


def hash_(text: str) -> int:
    return sum(ord(letter) * (place + 7) for place, letter in enumerate(text))


@dataclass
class Serving:
    """A running service as the page sees it."""

    plan: Plan
    world: World
    token: str = "the-token-of-this-test-service-0123456789"
    rejected: tuple[Problem, ...] = ()
    trouble: str | None = None
    turned: float | None = None
    told: list[asyncio.Queue[str | None]] = field(default_factory=list)

    @property
    def pulse(self) -> float:
        return self.world.now() if self.turned is None else self.turned

    async def changes(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.told.append(queue)
        try:
            while (name := await queue.get()) is not None:
                yield name
        finally:
            self.told.remove(queue)

    def tell(self, name: str | None) -> None:
        for queue in self.told:
            queue.put_nowait(name)


def plan_of(text: str) -> Plan:
    shapes = {name: CHANNELS[name].config for name in CHANNELS}
    plan = compile(load(text, KINDS, channels=shapes))
    long = {
        key: replace(check, name=HOSTILE["long"]) for key, check in plan.checks.items() if key == "long"
    }  # checks.yaml refuses it
    return replace(plan, checks={**plan.checks, **long})


async def minute(plan: Plan, world: World, at: float, mood: Callable[[str, str], str], chance: random.Random) -> None:
    """Everything of one minute: a report from each location, settled, and a tick."""
    for location in world.locations:
        pairs = []
        for check in plan.checks.values():
            look = mood(check.id, location)
            if check.paused or check.passive or look == "none":
                continue
            run = Run(check.id, location, at)
            pairs.append((run, check, judge(check, run, observe(check, location, look, chance)).document()))
        await pipeline.settle(plan, world, await report(plan, world, location, pairs, at))
    await pipeline.tick(plan, world)


async def lived(
    text: str,
    minutes: int = 60,
    script: Script = usual,
    *,
    store: Store | None = None,
    locations: tuple[str, ...] = ("dublin", "virginia", "sydney"),
) -> Serving:
    """A service of that configuration that has lived through ``minutes`` until now."""
    plan = plan_of(text)
    clock = Clock(math.floor(time.time() / 60) * 60 - 60.0 * minutes)
    memory = Memory(locations=locations, clock=clock)
    world = memory.world if store is None else replace(memory.world, store=store)
    chance = random.Random(7)
    await pipeline.adopt(plan, world)
    passive = [check.id for check in plan.checks.values() if check.passive]
    for before in reversed(range(minutes)):
        await minute(plan, world, clock.at, lambda check, location, b=before: script(check, location, b), chance)  # type: ignore[misc]  # a lambda's default
        if before % 10 == 3:
            for name in passive:
                await pipeline.beat(plan, world, name, "ok", 41.0)
        clock.at += 60
    return Serving(plan, replace(world, now=time.time))
