"""``steps``: HTTP requests one after another; what one answers can be kept for the next, and what was begun is cleaned up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Annotated, Any, Final, Self

import httpx
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from probes.core import expression, template
from probes.core.diagnostics import did_you_mean
from probes.core.expression import MISSING, Captured, ExpressionError
from probes.core.fault import Fault
from probes.core.judge import weigh
from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import PHASES, Finding, Observation
from probes.core.secret import scrub
from probes.core.shapes import ID, complain
from probes.core.units import Duration
from probes.kinds.http import KIND as HTTP
from probes.kinds.http import Target as Request
from probes.kinds.http import exchange

MOST: Final = 50
RESERVE: Final = 0.2
"""Part of the deadline that is kept for ``always`` steps: what was begun should also be cleaned up when time runs out."""
_NAME: Final = r"[A-Za-z0-9_-]{1,63}"
_TELLING: Final = 4
"""Characters from which a captured value is blotted out of evidence: shorter ones would blot out half of it, and hide nothing."""
_LONGEST: Final = 8192

FACTS: Final = {
    "latency": Fact("duration", "sum of the latencies of the steps that ran"),
    "total": Fact("duration", "from the start of the first step to the end of the last, our own cost included"),
    "steps": Fact("number", "steps that ran and held"),
    "failed_step": Fact("text", "the step that did not; missing when all did"),
    "resolve": Fact("duration", "sum over the steps: names looked up"),
    "connect": Fact("duration", "sum over the steps: connections opened"),
    "tls": Fact("duration", "sum over the steps: TLS handshakes"),
    "wait": Fact("duration", "sum over the steps: waiting for first bytes"),
    "receive": Fact("duration", "sum over the steps: receiving the rest"),
}


def _steps(value: Any) -> Any:
    if value == []:
        raise complain("missing-key", "there are no steps", "begin each step with - id:")
    return _listed(value)


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _line(value: Any) -> str:
    """An assertion in canonical form, typed by http's facts."""
    if not isinstance(value, str):
        hint = "put single quotes around the whole line" if isinstance(value, dict) else None
        raise complain("type", "an assertion is a line of text such as status == 200", hint)
    if "${{" in value:
        raise complain("template", "an assertion takes no `${{ }}`", "compare with step.<id>.<name>", value.index("${{"))
    try:
        return str(expression.parse(value, HTTP.facts))
    except ExpressionError as error:
        raise complain(error.code, error.message, error.hint, error.column) from None


def _subject(value: str) -> str:
    try:
        return str(expression.subject(value, HTTP.facts))
    except ExpressionError as error:
        raise complain(error.code, error.message, error.hint, error.column) from None


def _id(value: str) -> str:
    if not ID.fullmatch(value):
        raise complain("id", "a step's id is a-z, 0-9 and -, at most 63 of them, beginning with one of a-z or 0-9")
    return value


def _long(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    try:
        return HTTP.short(value)
    except ValueError as error:
        raise complain("short-form", str(error), f"for example http: {HTTP.example}") from None


Lines = Annotated[tuple[Annotated[str, BeforeValidator(_line)], ...], BeforeValidator(_listed)]


class Step(Shape):
    """One request: ``must`` hold before the next is sent; ``capture`` keeps values; ``always`` runs also after a failure."""

    id: Annotated[str, AfterValidator(_id)] = Field(description="name of the step, by which later ones refer to its captures")
    http: Annotated[Request, BeforeValidator(_long, json_schema_input_type=str | Request)] = Field(
        description="the request, as in the kind `http`"
    )
    must: Lines = Field(HTTP.must, description="assertions: a broken one ends the sequence")
    should: Lines = Field((), description="assertions: a broken one means degraded")
    capture: dict[Annotated[str, Field(pattern=f"^{_NAME}$")], Annotated[str, AfterValidator(_subject)]] = Field(
        {}, description="values kept for later steps: a name, and the fact it is taken from"
    )
    always: bool = Field(False, description="it runs also after a step that failed, to clean up")
    _written: Any = PrivateAttr(None)

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        step = handler(data)
        step._written = data if isinstance(data, Mapping) else {}
        return step

    @property
    def request(self) -> dict[str, Any]:
        """The long form of the request as data, references and all."""
        return dict(_long(self._written["http"]))

    def wants(self) -> set[tuple[str, str]]:
        """The captured values that the step refers to: whose, and which."""
        return {(owner, name) for _, owner, name, _ in _wants(self._written)}


def _wants(step: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str, int]]:
    """The captured values that a step as written refers to: where, whose, which, at which column."""
    for path, text in _texts(step.get("http"), ("http",)):
        try:
            references = template.references(text)
        except template.TemplateError:
            continue  # said by whoever fills it
        for reference in references:
            if reference.root == "step":
                owner, name = reference.names
                yield path, owner, name, reference.start
    for path, line in (*_texts(step.get("must"), ("must",)), *_texts(step.get("should"), ("should",))):
        try:
            value = expression.parse(line).value
        except ExpressionError:
            continue
        yield from ((path, captured.step, captured.key, max(0, line.find("step."))) for captured in _captured(value))


def _texts(data: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(value, (*path, key))
    elif isinstance(data, (list, tuple)):
        for number, value in enumerate(data):
            yield from _texts(value, (*path, number))


def _captured(value: Any) -> Iterator[Captured]:
    if isinstance(value, Captured):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _captured(part)


class Target(Shape):
    """The steps, in order."""

    steps: Annotated[tuple[Step, ...], BeforeValidator(_steps), Field(min_length=1, max_length=MOST)] = Field(
        description="the requests, in order"
    )

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Names that lead nowhere are told together with everything else."""
        written = data.get("steps") if isinstance(data, Mapping) else None
        steps = written if isinstance(written, (list, tuple)) else ()
        wrong = list(_wrong_names([step if isinstance(step, Mapping) else {} for step in steps]))
        try:
            target = handler(data)
        except ValidationError as error:
            wrong = [*map(_again, error.errors(include_url=False)), *wrong]
        if wrong:
            raise ValidationError.from_exception_data("steps", wrong)
        return target


def _again(error: ErrorDetails) -> InitErrorDetails:
    context = error.get("ctx") or {}
    kind: Any = error["type"]
    if "message" in context:
        kind = PydanticCustomError(kind, "{message}", context)
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"], ctx=context)


def _wrong_names(steps: list[Mapping[str, Any]]) -> Iterator[InitErrorDetails]:
    """Ids that are there twice, and captured values that do not come from an earlier step."""

    def wrong(path: tuple[str | int, ...], problem: PydanticCustomError) -> InitErrorDetails:
        return InitErrorDetails(type=problem, loc=("steps", number, *path), input=None)

    known: dict[str, list[str]] = {}
    for number, step in enumerate(steps):
        own, captures = step.get("id"), step.get("capture")
        for path, owner, name, column in _wants(step):
            if owner not in known:
                later = any(other.get("id") == owner for other in steps[number + 1 :])
                message = f"step `{owner}` comes later" if later else f"there is no step `{owner}`"
                message = "a step cannot use its own values" if owner == own else f"{message}, so it has no values here"
                yield wrong(path, complain("unknown-step", message, did_you_mean(owner, list(known)), column))
            elif name not in known[owner]:
                hint = did_you_mean(name, known[owner]) or f"add it there: capture: {{{name}: body.{name}}}"
                yield wrong(path, complain("unknown-step", f"step `{owner}` captures no `{name}`", hint, column))
        if isinstance(own, str):
            if own in known:
                yield wrong(("id",), complain("id", f"there are two steps with the id `{own}`"))
            known[own] = [str(name) for name in captures] if isinstance(captures, Mapping) else []


def short(data: Any) -> dict[str, Any]:
    """The list of steps under its name."""
    if not isinstance(data, list):
        raise ValueError("`steps` is a list: begin each step with - id:")
    return {"steps": data}


@dataclass(slots=True)
class _Journey:
    """What the steps have brought so far."""

    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)
    captures: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[Observation] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """The step that did not hold, and its fault unless a finding says why."""

    step: str
    fault: Fault | None


async def probe(target: Target, context: Context) -> Observation:
    """Send the requests in order, until one faults or breaks a ``must``; then the ``always`` steps that are left."""
    journey, trouble, held = _Journey(), None, 0
    started = time.monotonic()
    deadline = started + context.timeout
    early = deadline - RESERVE * context.timeout if any(step.always for step in target.steps) else deadline
    for step in target.steps:
        left = (deadline if step.always else early) - time.monotonic()
        if trouble is None:
            trouble = await _go(step, journey, replace(context, timeout=left))
            held += trouble is None
        elif step.always:
            await _clean(step, journey, replace(context, timeout=left))
    return _observation(journey, trouble, held, time.monotonic() - started)


async def _go(step: Step, journey: _Journey, context: Context) -> _Trouble | None:
    """One step, noted in the journey; the trouble when it does not hold."""
    try:
        request = _request(step, journey, context)
    except _NotFilled as error:
        journey.findings.append(Finding(f"{step.id}: request", "must", False, error.because))
        journey.evidence.append({"step": step.id, "url": _url(step)})
        return _Trouble(step.id, error.fault)
    seen = await exchange(request, context, journey.cookies)
    findings: list[Finding] = []
    if seen.fault is None:
        findings += weigh(step.must, "must", seen.facts, journey.captures, f"{step.id}: ")
        findings += weigh(step.should, "should", seen.facts, journey.captures, f"{step.id}: ")
        findings += _capture(step, seen.facts, journey)
    broken = seen.fault is not None or any(finding.level == "must" and not finding.holds for finding in findings)
    journey.findings += findings
    journey.evidence.append(_evidence(step, seen, whole=broken))
    journey.seen.append(replace(seen, facts={}, evidence={}))  # a body may be large
    if not broken:
        return None
    return _Trouble(step.id, seen.fault and Fault(seen.fault.kind, f"{step.id}: {_blot(seen.fault.because, journey)}"))


async def _clean(step: Step, journey: _Journey, context: Context) -> None:
    """An ``always`` step after a failure: it tells of itself, but the first trouble stays the trouble."""
    lacking = sorted(f"step.{owner}.{name}" for owner, name in step.wants() if name not in journey.captures.get(owner, {}))
    if lacking:
        journey.findings.append(Finding(f"{step.id}: skipped", "should", False, f"{', '.join(lacking)} was not captured"))
        return
    trouble = await _go(step, journey, context)
    if trouble is not None and trouble.fault is not None:
        journey.findings.append(Finding(f"{step.id}: answered", "should", False, trouble.fault.because))


class _NotFilled(Exception):
    """The request cannot be made of the captured values; nothing of them is told."""

    def __init__(self, because: str, fault: Fault | None = None) -> None:
        super().__init__(because)
        self.because, self.fault = because, fault


def _request(step: Step, journey: _Journey, context: Context) -> Request:
    if context.timeout <= 0:
        raise _NotFilled("no time was left", Fault("timeout.response", f"{step.id}: no time was left for this step"))
    try:
        return Request.model_validate(context.fill(step.request, journey.captures))
    except template.TemplateError as error:
        raise _NotFilled(f"`{'.'.join(map(str, error.path))}` cannot be filled with what was captured") from None
    except ValidationError as error:
        places = sorted({".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False, include_url=False)})
        because = f"`{', '.join(places)}` cannot be made of what was captured"
        blocked = any(problem["type"] == "ssrf" for problem in error.errors(include_input=False, include_url=False))
        raise _NotFilled(
            because, Fault("ssrf.blocked", f"{step.id}: {because}: no probe may visit that address") if blocked else None
        ) from None


def _capture(step: Step, facts: Mapping[str, Any], journey: _Journey) -> Iterator[Finding]:
    """Keep what the step captures; what is not there breaks the step, for a later one would be fooled."""
    kept = journey.captures.setdefault(step.id, {})
    for name, where in step.capture.items():
        value = expression.subject(where).read(facts)
        if value is MISSING or value is None:
            because = f"{where} was {'missing' if value is MISSING else 'null'}"
            yield Finding(f"{step.id}: capture {name}", "must", False, because)
        else:
            kept[name] = value


def _url(step: Step) -> str:
    """The URL as it was written: captured values stay references."""
    return str(step.request.get("url", ""))


def _evidence(step: Step, seen: Observation, *, whole: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "step": step.id,
        "url": _url(step),
        "status": seen.facts.get("status"),
        "phases_ms": {name: round(seconds * 1000, 3) for name, seconds in seen.phases.items()},
        "total_ms": round(seen.total * 1000, 3),
    }
    return shown | {"seen": dict(seen.evidence)} if whole else shown


def _blot(data: Any, journey: _Journey) -> Any:
    """``data`` without the captured values, which may be tokens."""
    return scrub(data, {text for text in islice(_leaves(journey.captures), 1000) if _TELLING <= len(text) <= _LONGEST})


def _leaves(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        for value in data:
            yield from _leaves(value)
    elif isinstance(data, (str, int, float)) and not isinstance(data, bool):
        yield str(data)


def _observation(journey: _Journey, trouble: _Trouble | None, held: int, total: float) -> Observation:
    went = journey.seen
    phases = {name: sum(one.phases.get(name, 0.0) for one in went) for name in PHASES if any(name in one.phases for one in went)}
    latencies = [one.latency for one in went if one.latency is not None]
    facts: dict[str, Any] = {name: Duration(seconds) for name, seconds in phases.items()}
    facts |= {"total": Duration(total), "steps": held}
    if latencies:
        facts["latency"] = Duration(sum(latencies))
    if trouble is not None:
        facts["failed_step"] = trouble.step
    return Observation(
        facts=facts,
        phases=phases,
        fault=trouble.fault if trouble else None,
        latency=sum(latencies) if latencies else None,
        total=total,
        clock="kernel" if went and all(one.clock == "kernel" for one in went) else "loop",
        cold=any(one.cold for one in went),
        loop_lag=max((one.loop_lag for one in went), default=0.0),
        evidence=_blot({"steps": journey.evidence}, journey),
        findings=tuple(journey.findings),
    )


def describe(target: Mapping[str, Any]) -> str:
    """``login, order, cancel``."""
    return ", ".join(str(step.get("id", "?")) for step in target.get("steps", ()))


KIND: Final = Kind(
    name="steps",
    summary="HTTP requests one after another, with values kept from one for the next.",
    target=Target,
    short=short,
    example="[{id: login, http: POST https://shop.example/login}]",
    facts=FACTS,
    must=(),
    probe=probe,
    describe=describe,
)
