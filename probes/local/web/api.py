"""The JSON interface, the heartbeats of jobs, and the buttons of the pages, which are forms that post to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from probes import dashboards, pipeline, view
from probes.core.diagnostics import document as problem_document
from probes.core.diagnostics import nearest
from probes.core.expression import ExpressionError
from probes.core.mute import Silence
from probes.core.units import duration, instant, iso
from probes.local.web import overview, series
from probes.local.web.evidence import shown_target
from probes.local.web.lookup import bands, look
from probes.local.web.pages import STALLED, local_path
from probes.local.web.security import Refused, fields, read

MOST: Final = 10_000
"""Most runs or incidents of one answer."""
REPORTS: Final = ("ok", "fail", "start")


async def health(request: Request) -> Response:
    """``GET /health``: 200 while the schedule turns, 503 when it stands still."""
    service = request.app.state.service
    still = service.world.now() - service.pulse
    well = still <= STALLED
    return JSONResponse({"ok": well, "pulse": iso(service.pulse), "plan": service.plan.digest}, 200 if well else 503)


async def status(request: Request) -> Response:
    """``GET /api/status``: every check, what is open, and what was rejected."""
    service = request.app.state.service
    plan, world = service.plan, service.world
    items = await request.app.state.memo.fleet()
    return JSONResponse(
        {
            "version": 1,
            "service": plan.service,
            "plan": plan.digest,
            "at": iso(world.now()),
            "pulse": iso(service.pulse),
            "counts": overview.count(items),
            "checks": [summary(item) for item in items],
            "incidents": [incident_document(one) for one in await view.incidents(plan, world, open_only=True)],
            "silences": [silence_document(one) for one in await pipeline.silences(world)],
            "rejected": [problem_document(problem) for problem in service.rejected],
        }
    )


async def check(request: Request) -> Response:
    """``GET /api/checks/{id}``."""
    service = request.app.state.service
    item = await view.check(service.plan, service.world, _known(request))
    definition = asdict(item.check) | {"target": shown_target(item.check.target)}
    return JSONResponse(summary(item) | {"definition": definition})


async def runs(request: Request) -> Response:
    """``GET /api/checks/{id}/runs?since=1h&limit=100``: results, oldest first; the newest ``limit`` of them."""
    service, name = request.app.state.service, _known(request)
    since = _since(request.query_params.get("since", "1h"), service.world.now())
    limit = _number(request.query_params.get("limit", "1000"), "limit")
    return JSONResponse({"version": 1, "check": name, "runs": await view.history(service.world, name, since, min(limit, MOST))})


async def panel(request: Request) -> Response:
    """``GET /api/checks/{id}/panels/{panel}?range=6h``: the data of one chart. Times are epoch milliseconds."""
    service, name = request.app.state.service, _known(request)
    plan = service.plan
    try:
        wanted = dashboards.check(plan, name).panel(request.path_params["panel"])
    except KeyError:
        wanted = None
    if wanted is None or wanted.kind not in ("line", "stack"):
        raise Refused(404, "The check has no chart of that name.")
    seen = await look(plan, service.world, name, request.query_params.get("range"))
    drawing = series.draw(wanted, plan.checks[name], seen.samples, seen.start, seen.end)
    return JSONResponse(drawing.document() | {"range": seen.range, "bands": bands(seen), "marks": series.marks(seen.runs)})


async def incidents(request: Request) -> Response:
    """``GET /api/incidents?since=30d&open=true``."""
    service = request.app.state.service
    since = _since(request.query_params.get("since", "30d"), service.world.now())
    only = request.query_params.get("open", "") in ("1", "true", "yes")
    found = await view.incidents(service.plan, service.world, since=since, open_only=only)
    return JSONResponse({"version": 1, "incidents": [incident_document(one) for one in found[-MOST:]]})


async def ack(request: Request) -> Response:
    """``POST /api/ack {incident, by}``."""
    service, given = request.app.state.service, await _given(request)
    name = _text(given, "incident", "the id of an open incident, or of its check")
    by = _text(given, "by", "who has it", 100)
    try:
        taken = await pipeline.acknowledge(service.plan, service.world, name, by)
    except KeyError:
        raise Refused(404, f"There is no open incident {name!r}.") from None
    return _done(request, given, "acknowledged", {"incident": taken.id, "acknowledged_by": taken.acknowledged_by})


async def silence(request: Request) -> Response:
    """``POST /api/silence {check or when, for, by, because}``; ``when`` is one assertion line, or a list of them."""
    service, given = request.app.state.service, await _given(request)
    about, lines = given.get("check"), given.get("when")
    if bool(about) == bool(lines):
        raise Refused(400, "Say what to silence: either `check` (its id) or `when` (assertion lines over incident facts).")
    if about:
        _exists(_text(given, "check", "the id of a check"), service.plan.checks)
    when = (f"check == {json.dumps(about)}",) if about else tuple(map(str, lines if isinstance(lines, list) else [lines]))
    try:
        lasting = duration(given.get("for"))
        made = await pipeline.silence(
            service.plan,
            service.world,
            when,
            lasting,
            _text(given, "by", "who you are", 100),
            _text(given, "because", "why, for whoever meets it at 3 am", 300),
        )
    except ExpressionError as error:
        raise Refused(400, f"when: {error.message}" + (f" ({error.hint})" if error.hint else "")) from None
    except ValueError as error:
        raise Refused(400, f"{error}") from None
    return _done(request, given, "silenced", silence_document(made))


async def unsilence(request: Request) -> Response:
    """``POST /api/unsilence {silence, by}``."""
    service, given = request.app.state.service, await _given(request)
    name = _text(given, "silence", "the id of a silence")
    try:
        ended = await pipeline.unsilence(service.plan, service.world, name, _text(given, "by", "who you are", 100))
    except KeyError:
        raise Refused(404, f"There is no silence {name!r} in force.") from None
    return _done(request, given, "unsilenced", {"silence": ended.id})


async def beat(request: Request) -> Response:
    """``GET``, ``POST`` or ``HEAD /beat/{check}`` and ``/beat/{check}/{exit}``: a job reports itself.

    ``status`` (``ok``, ``fail``, ``start``), ``took`` (``90s``) and ``exit`` come in the query or a form; an exit code in the path
    other than 0 is a failure.
    """
    service, name = request.app.state.service, request.path_params["check"]
    subject = service.plan.checks[_exists(name, service.plan.checks)]
    if not subject.passive:
        raise Refused(409, f"{name} is probed ({subject.kind}); only a heartbeat waits to be called.")
    if subject.paused:
        raise Refused(409, f"{name} is paused: its reports are not taken.")
    given = dict(request.query_params) | (fields(request, await read(request)) if request.method == "POST" else {})
    code = request.path_params.get("exit") or given.get("exit")
    exit_code = None if code is None else _number(code, "the exit code", 255)
    reported = given.get("status") or ("fail" if exit_code else "ok")
    if reported not in REPORTS:
        raise Refused(400, f"status is one of {', '.join(REPORTS)}.")
    try:
        took = duration(given["took"]) if "took" in given else None
    except ValueError as error:
        raise Refused(400, f"took: {error}") from None
    seen = await pipeline.beat(service.plan, service.world, name, reported, took, exit_code)
    return JSONResponse({"check": name, "reported": reported, "outcome": seen.get("outcome")})


def summary(item: view.CheckView) -> dict[str, Any]:
    """A check in short, as JSON."""
    return {
        "check": item.check.id,
        "name": item.check.name,
        "kind": item.check.kind,
        "group": item.check.group,
        "owner": item.check.owner,
        "target": item.target,
        "status": item.status,
        "since": None if item.since is None else iso(item.since),
        "because": item.because,
        "locations": {place.location: place.status for place in item.locations},
        "availability_percent": item.availability,
        "latency_p95_ms": item.latency_ms,
        "budget_percent": item.budget,
        "incident": item.incident.id if item.incident else None,
        "muted": item.muted,
    }


def incident_document(one: view.IncidentView) -> dict[str, Any]:
    """An incident as JSON; times are ISO 8601."""
    times = {name: None if (at := getattr(one, name)) is None else iso(at) for name in ("opened_at", "resolved_at")}
    alerts = [
        alert | {"at": iso(alert["at"]) if isinstance(alert.get("at"), (int, float)) else alert.get("at")} for alert in one.alerts
    ]
    return asdict(one) | times | {"alerts": alerts}


def silence_document(one: Silence) -> dict[str, Any]:
    """A silence as JSON; times are ISO 8601."""
    return {
        "silence": one.id,
        "when": list(one.when),
        "starts": iso(one.starts),
        "until": iso(one.until),
        "by": one.by,
        "because": one.because,
    }


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a request that cannot be met, for a program or (from a button) for a person."""
    assert isinstance(error, Refused)
    if "text/html" in request.headers.get("accept", ""):
        return Response(f"{error.because}\n\nGo back, mend it and try again.\n", error.status, media_type="text/plain")
    return JSONResponse({"error": error.because}, error.status)


def _known(request: Request) -> str:
    return _exists(str(request.path_params["id"]), request.app.state.service.plan.checks)


def _exists(name: str, checks: Iterable[str]) -> str:
    names = set(checks)
    if name not in names:
        near = nearest(name, names)
        raise Refused(404, f"There is no check {name[:80]!r}." + (f" Did you mean {near!r}?" if near else ""))
    return name


async def _given(request: Request) -> dict[str, Any]:
    body = await read(request)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return dict(fields(request, body))
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON.") from None
    if not isinstance(given, dict):
        raise Refused(400, "The body must be a JSON object.")
    return given


def _text(given: Mapping[str, Any], name: str, meaning: str, most: int = 400) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refused(400, f"`{name}` is missing: {meaning}.")
    if len(value) > most:
        raise Refused(400, f"`{name}` is longer than {most} characters.")
    return value.strip()


def _number(text: str, name: str, most: int = 1_000_000) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) <= most):
        raise Refused(400, f"{name} is a whole number from 0 to {most}.")
    return int(text)


def _since(text: str, now: float) -> float:
    """``1h`` before now, an ISO 8601 time, or epoch seconds."""
    try:
        return now - duration(text)
    except ValueError:
        pass
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else instant(text)
    except ValueError:
        raise Refused(400, "since is a span such as 1h, a time such as 2026-02-03T04:05Z, or epoch seconds.") from None


def _done(request: Request, given: Mapping[str, Any], notice: str, answer: Mapping[str, Any]) -> Response:
    """Back to the page for a button, JSON for a program."""
    request.app.state.memo.forget()
    if isinstance(given.get("back"), str):
        return RedirectResponse(f"{local_path(given['back']).split('?')[0]}?notice={notice}", 303)
    return JSONResponse(answer)
