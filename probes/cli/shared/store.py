"""What ran here: reading the store of `probes up` (running or not), and changing it through the one that may write."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from probes.cli.shared.options import looked_at
from probes.local import Refused

if TYPE_CHECKING:
    from probes.core.plan import Plan
    from probes.ports import Store, World

PATIENCE: Final = 10.0
"""Seconds for an answer of the running service."""


@asynccontextmanager
async def reading(file: Path, data: Path | None) -> AsyncIterator[tuple[Plan, World]]:
    """The plan that runs, or ran last, and a world to read from. Raises Refused where nothing has run yet."""
    from probes.local.folder import Folder
    from probes.local.store import ReadOnly

    store = ReadOnly(Folder(looked_at(data, file)).store)
    try:
        plan = await _plan(store, file)
        yield plan, _world(plan, store, file)
    finally:
        await store.close()


async def change(
    file: Path,
    data: Path | None,
    address: str,
    given: Mapping[str, Any],
    alone: Callable[[Plan, World], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """Post ``given`` to ``address`` of the running service; when none runs, take the store for a moment and do ``alone``."""
    from probes.local.folder import Folder

    place = Folder(looked_at(data, file))
    running = place.running()
    if running is not None:
        return await _post(f"{running.url}{address}", running.token, given)
    if not place.store.exists():
        raise Refused(f"{place.store} does not exist: nothing has run here yet (start `probes up`)")
    from probes.local.store import SQLite

    with place:
        store = SQLite(place.store)
        try:
            plan = await _plan(store, file)
            return await alone(plan, _world(plan, store, file))
        finally:
            await store.close()


async def _post(url: str, token: str, given: Mapping[str, Any]) -> dict[str, Any]:
    import httpx

    try:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            answer = await client.post(url, json=dict(given), headers={"authorization": f"Bearer {token}"})
            document = answer.json()
    except (httpx.HTTPError, ValueError):
        raise Refused(f"the running service did not answer at {url}: is it stopping?") from None
    if answer.is_success and isinstance(document, dict):
        return document
    raise click.UsageError(str(document.get("error", answer.status_code) if isinstance(document, dict) else answer.status_code))


async def _plan(store: Store, file: Path) -> Plan:
    """The plan in the store, which is the one that runs; where there is none, the one of the file."""
    from probes.core.plan import Plan
    from probes.local.service import PLAN

    document, _ = await store.read(PLAN)
    if document is not None:
        try:
            return Plan.parse(document)
        except (ValueError, KeyError, TypeError):  # of another version
            pass
    from probes.cli.shared.configuration import required

    return required(file)[2]


def _world(plan: Plan, store: Store, file: Path) -> World:
    from probes.core.plan import HERE
    from probes.local.bus import LocalBus
    from probes.local.metrics import LocalMetrics
    from probes.local.secrets import LocalSecrets
    from probes.ports import World

    return World(
        now=time.time,
        store=store,
        bus=LocalBus(),
        metrics=LocalMetrics(),
        secrets=LocalSecrets(file.parent, plan.secrets),
        locations=[HERE],
        base=str(file.parent),
    )


def known(plan: Plan, check: str) -> str:
    """``check``, when the plan has it; a usage error with a guess when it has not."""
    if check in plan.checks:
        return check
    from probes.core.diagnostics import did_you_mean, printable

    hint = did_you_mean(check, plan.checks) or "`probes status` lists them"
    raise click.UsageError(f"there is no check `{printable(check)}`: {hint}")
