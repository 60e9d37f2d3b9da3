"""The pages: each reads, puts into order, and lets a template say it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from probes import dashboards, pipeline, view
from probes.core import mute
from probes.core.check import Check
from probes.core.diagnostics import nearest
from probes.core.fault import FAULTS
from probes.dashboards.levels import UNGROUPED, groups
from probes.local.web import draw, overview, series, story
from probes.local.web.assets import address
from probes.local.web.evidence import shown_target
from probes.local.web.lookup import RANGES, look
from probes.local.web.security import Keys, bake, fields, read
from probes.local.web.words import UNKNOWN, clock, milliseconds, percent, plural, render

MOST_CARDS: Final = 9
MOST_FAILURES: Final = 12
MOST_RESOLVED: Final = 200
DAYS: Final = 30
STALLED: Final = 30.0
"""Seconds without a turn of the schedule after which the page says that nothing on it is current."""
NOTICES: Final = {
    "acknowledged": "Acknowledged. Reminders and escalation have stopped.",
    "silenced": "Silenced. Runs go on and are recorded; nobody is told until the silence ends.",
    "unsilenced": "The silence has ended.",
}


async def fleet(request: Request) -> Response:
    """``GET /``."""
    return await _overview(request, None)


async def group(request: Request) -> Response:
    """``GET /groups/{name}``."""
    name = request.path_params["name"]
    known = groups(request.app.state.service.plan)
    if name not in known:
        return await problem(
            request,
            404,
            "There is no such group",
            f"No check of this plan is in {name!r}.",
            near=nearest(name, known),
            base="/groups/",
        )
    return await _overview(request, name)


async def _overview(request: Request, name: str | None) -> Response:
    service = request.app.state.service
    plan, world, now = service.plan, service.world, service.world.now()
    items = await request.app.state.memo.fleet()
    incidents = await view.incidents(plan, world, since=now - 7 * 86400)
    if name is not None:
        members = set(groups(plan)[name])
        items = [item for item in items if item.check.id in members]
        incidents = [incident for incident in incidents if incident.check in members]
    context = {
        "here": "fleet" if name is None else "group",
        "group": name,
        **overview.overview(plan, items, incidents, name, rows=request.query_params.get("view") == "rows"),
        "monitor": overview.monitor(service, items, incidents, now),
        "most_cards": MOST_CARDS,
        "again": request.app.state.memo.again,
    }
    return await page(request, "fleet.html", context)


async def check(request: Request) -> Response:
    """``GET /checks/{id}``."""
    service, name = request.app.state.service, request.path_params["id"]
    plan, world = service.plan, service.world
    if name not in plan.checks:
        words = f"This plan has no check {name!r}. It may have been renamed or removed."
        return await problem(request, 404, "There is no such check", words, near=nearest(name, plan.checks), base="/checks/")
    item = await view.check(plan, world, name)
    seen = await look(plan, world, name, request.query_params.get("range"))
    subject, board = plan.checks[name], dashboards.check(plan, name)
    failures = [run for run in reversed(seen.runs) if run["outcome"] in ("failed", "degraded", "errored")]
    drawings = [
        drawing
        for panel in board.panels
        if panel.kind in ("line", "stack")
        and ((drawing := series.draw(panel, subject, seen.samples, seen.start, seen.end)).tells_apart or panel.id != "locations")
    ]
    context = {
        "here": "check",
        "check": subject,
        "item": item,
        "ungrouped": UNGROUPED,
        "group_title": service.plan.groups.get(subject.group or "", subject.group or UNGROUPED),
        "runbook": _link(subject.runbook),
        "range": seen.range,
        "ranges": RANGES,
        "cut": seen.cut,
        "runs_total": len(seen.runs),
        "numbers": [_number(panel, item, seen.samples) for panel in board.panels if panel.kind == "number"],
        "drawings": drawings,
        "bands": [(i.opened_at, i.resolved_at or seen.end, f"{i.severity}: {i.because}") for i in seen.incidents],
        "incidents": sorted(seen.incidents, key=lambda incident: -incident.opened_at),
        "incident_band": draw.band(seen.incident_states(), seen.start, seen.end, "incidents"),
        "bands_by_location": [
            {"name": place.location, "svg": draw.band(seen.states(subject, place), seen.start, seen.end, place.location)}
            for place in item.locations
        ],
        "failures": [story.run(run, FAULTS) for run in failures[:MOST_FAILURES]],
        "failures_total": plural(len(failures), "run"),
        "target": shown_target(subject.target),
        "silences": [one for one in await pipeline.silences(world) if _about(one, subject)],
        "start": seen.start,
        "base": str(request.base_url).rstrip("/"),
    }
    return await page(request, "check.html", context)


async def incidents(request: Request) -> Response:
    """``GET /incidents``."""
    service = request.app.state.service
    now = service.world.now()
    found = await view.incidents(service.plan, service.world, since=now - DAYS * 86400)
    resolved = sorted((i for i in found if i.status == "resolved"), key=lambda i: -(i.resolved_at or 0))
    context = {
        "here": "incidents",
        "open": overview.by_urgency(i for i in found if i.status != "resolved"),
        "resolved": resolved[:MOST_RESOLVED],
        "resolved_total": len(resolved),
        "silences": await pipeline.silences(service.world),
        "days": DAYS,
    }
    return await page(request, "incidents.html", context)


async def incident(request: Request) -> Response:
    """``GET /incidents/{id}``; the id has a slash in it."""
    service, name = request.app.state.service, request.path_params["id"]
    plan, world = service.plan, service.world
    found = {incident.id: incident for incident in await view.incidents(plan, world)}
    if name not in found:
        words = "It may be older than what is kept, or its name was cut on the way here."
        return await problem(request, 404, "There is no such incident", words, near=nearest(name, found), base="/incidents/")
    subject = found[name]
    events = await view.events(world, subject.opened_at - 1)
    context = {
        "here": "incident",
        "incident": subject,
        "check": plan.checks.get(subject.check),
        "runbook": _link(subject.runbook),
        "story": story.story(subject, events),
    }
    return await page(request, "incident.html", context)


async def login(request: Request) -> Response:
    """``GET`` and ``POST /login``: the service's token for a cookie."""
    service = request.app.state.service
    given = fields(request, await read(request)) if request.method == "POST" else {}
    back = local_path(given.get("back") or request.query_params.get("next"))
    keys = Keys(service.token)
    if request.method == "POST" and keys.same(given.get("token", "").strip(), service.token):
        return RedirectResponse(back, 303, {"set-cookie": bake(keys, request)})
    wrong = request.method == "POST"
    content = render("login.html", {"now": service.world.now(), "asset": address, "back": back, "wrong": wrong})
    return HTMLResponse(content, 401 if wrong else 200)


async def page(request: Request, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
    """The template with what every page shows. It is drawn in a thread: drawing 1,000 rows must not hold up the schedule."""
    service = request.app.state.service
    now = service.world.now()
    whole = {
        "service": service.plan.service,
        "digest": service.plan.digest,
        "checks_total": len(service.plan.checks),
        "rejected": service.rejected,
        "pulse": service.pulse,
        "stalled": now - service.pulse > STALLED,
        "now": now,
        "again": 0.0,
        "form_token": request.scope.get("probes.form_token", ""),
        "notice": NOTICES.get(request.query_params.get("notice", "")),
        "asset": address,
        "spark": draw.spark,
        "chart": draw.chart,
        "clock": clock,
        "plural": plural,
        "incident_url": incident_url,
        **context,
    }
    return HTMLResponse(await asyncio.to_thread(render, template, whole), status)


async def problem(request: Request, status: int, title: str, words: str, *, near: str | None = None, base: str = "/") -> Response:
    """A page that says what is wrong and where to go."""
    context = {
        "here": "",
        "code": status,
        "title": title,
        "words": words,
        "nearest": near,
        "nearest_url": base + quote(near or "", safe="/:"),
    }
    return await page(request, "problem.html", context, status)


async def failed(request: Request, error: Exception) -> Response:
    """What a person or a program gets for an error; never a traceback."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "Nothing is at this address.", 405: "This address does not take that method."}.get(status)
    words = words or (
        str(error.detail) if isinstance(error, HTTPException) else "The monitor met a defect of its own; its log has the details."
    )
    headers = getattr(error, "headers", None)
    if request.url.path.startswith(("/api/", "/beat/")) or "text/html" not in request.headers.get("accept", ""):
        from starlette.responses import JSONResponse

        return JSONResponse({"error": words}, status, headers)
    return await problem(request, status, {404: "Not found", 405: "Not possible"}.get(status, "Something broke"), words)


def incident_url(name: str) -> str:
    """The page of an incident."""
    return f"/incidents/{quote(name, safe='/:')}"


def local_path(path: str | None) -> str:
    """A path of this server to go back to; ``/`` for anything that could lead elsewhere."""
    if path and path.startswith("/") and not path.startswith("//") and path.isascii() and path.isprintable() and "\\" not in path:
        return path
    return "/"


def _about(silence: mute.Silence, subject: Check) -> bool:
    """Whether the silence covers the check's incidents, of the worst severity at least."""
    return mute.matches(silence.when, {**mute.facts(subject), "severity": "critical", "event": "opened"})


def _link(address_: str | None) -> str | None:
    return address_ if address_ and address_.lower().startswith(("https://", "http://")) else None


def _number(panel: dashboards.Panel, item: view.CheckView, samples: Any) -> dict[str, str]:
    one = panel.series[0]
    value = item.budget if one.metric == "ErrorBudgetRemaining" else series.number(one, samples)
    said = (
        percent(value)
        if panel.unit == "Percent"
        else milliseconds(value)
        if panel.unit == "Milliseconds"
        else f"{value:.1f}"
        if value is not None
        else UNKNOWN
    )
    note = f"objective {percent(panel.goal)}" if panel.goal is not None else panel.note
    return {"title": panel.title, "value": said, "note": note}
