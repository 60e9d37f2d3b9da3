"""The YAML shapes of checks.yaml, section by section. A shape only says what may be written; meaning is resolved in ``spec``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from probes.core import units
from probes.core.check import Objective
from probes.core.kind import Shape

ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LEVELS: Final = ("none", "lean", "standard", "full")
DURATION_PATTERN: Final = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"
LONGEST_EVERY: Final = 30 * 86400.0
PLACE: Final = r"^(local|aws:[a-z]{2}(-[a-z]+)+-\d)$"


def complain(code: str, message: str, hint: str | None = None, column: int | None = None) -> PydanticCustomError:
    """A validation error that becomes the diagnostic ``code`` with those words, hint and 0-based column inside the text."""
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint, "column": column})


def _reader(read: Callable[[Any], Any], code: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        try:
            return read(value)
        except PydanticCustomError:
            raise
        except ValueError as error:
            raise complain(code, str(error)) from None

    return parse


def _duration_between(least: float, most: float, words: str, code: str = "limit") -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        seconds = units.duration(value)
        if not least <= seconds <= most:
            raise complain(code, f"{value} is outside {words}")
        return seconds

    return _reader(parse, "unit")


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


Duration = Annotated[float, BeforeValidator(_reader(units.duration, "unit")), _schema(DURATION_PATTERN, "30s", "5m", "1h30m")]
Positive = Annotated[
    float, BeforeValidator(_duration_between(0.001, 366 * 86400.0, "1ms to 366d")), _schema(DURATION_PATTERN, "15m")
]
Every = Annotated[
    float, BeforeValidator(_duration_between(1, LONGEST_EVERY, "1s to 30d", "every")), _schema(DURATION_PATTERN, "1m", "10s")
]


def _whole_seconds(value: float) -> float:
    if value % 1:
        raise complain("every", f"`every` is in whole seconds, {units.Duration(value)} is not")
    return value


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s]*", text):
        raise complain("url", f"{text[:80]!r} is not a web address: write https://…")
    return text


Url = Annotated[str, AfterValidator(_url)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$")]


def _runs(value: Any) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        need, of = value, value
    else:
        match = re.fullmatch(r"\s*(\d+)\s+of\s+(\d+)\s*", value) if isinstance(value, str) else None
        if match is None:
            raise complain("value", "`runs` is a number (3) or so many of the last ones (2 of 3)")
        need, of = int(match[1]), int(match[2])
    if not 1 <= need <= of <= 20:
        raise complain("value", f"{need} of {of} runs cannot be: write m of n with 1 <= m <= n <= 20")
    return need, of


def _quorum(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if value in ("any", "majority", "all"):
        return value
    raise complain("quorum", "`locations` of confirm is any, majority, all or a number of locations from 1")


Runs = Annotated[
    tuple[int, int], BeforeValidator(_runs), WithJsonSchema({"type": ["string", "integer"], "examples": ["2 of 3", 3]})
]
QuorumText = Annotated[
    int | str,
    BeforeValidator(_quorum),
    WithJsonSchema({"anyOf": [{"enum": ["any", "majority", "all"]}, {"type": "integer", "minimum": 1}]}),
]
Count = Annotated[int, Field(ge=1, le=20)]


class ConfirmShape(Shape):
    """From outcomes to status: m of the last n runs, how many locations agree, passes in a row to recover."""

    runs: Runs = Field(default=(2, 3), description="how many of the last runs in one location must be bad")
    locations: QuorumText = Field(default="majority", description="how many of the reporting locations must agree")
    recover: Count = Field(default=2, description="good runs in a row before it is up again")


class RetriesShape(Shape):
    """Attempts inside one run, before anything is reported."""

    count: Annotated[int, Field(ge=0, le=10)] = Field(default=0, description="further tries inside one run")
    wait: Duration = Field(default=0.0, description="time between two tries")
    on: Literal["any", "network"] = Field(
        default="any", description="what is tried again: anything that failed, or faults of the network only"
    )


def _retries(value: Any) -> Any:
    return {"count": value} if isinstance(value, int) and not isinstance(value, bool) else value


Retries = Annotated[RetriesShape, BeforeValidator(_retries, json_schema_input_type=int | RetriesShape)]


def _objective(value: Any) -> Objective:
    match = re.fullmatch(r"\s*(\S+%)\s+over\s+(\S+)\s*", value) if isinstance(value, str) else None
    if match is None:
        raise complain("slo", "an objective is a percentage over a time: write 99.9% over 30d")
    try:
        objective = Objective(units.percent(match[1]), units.duration(match[2]))
    except ValueError as error:
        raise complain("slo", str(error)) from None
    if not 50 <= objective.percent < 100:
        raise complain("slo", f"{match[1]} leaves no error budget, or too much: write at least 50% and less than 100%")
    if not 86400 <= objective.window <= 90 * 86400:
        raise complain("slo", f"a window of {match[2]} is outside 1d to 90d")
    return objective


Slo = Annotated[Objective, BeforeValidator(_objective), _schema(r"^\d{1,3}(\.\d+)?% over \d+(d|h)$", "99.95% over 30d")]


class MetricsShape(Shape):
    """How much is recorded as metrics, and by which dimensions; each metric and dimension value costs money on AWS."""

    level: Literal["none", "lean", "standard", "full"] = Field(
        default="standard", description="how many of the metrics are recorded"
    )
    by: tuple[Literal["check", "location"], ...] | None = Field(default=None, description="the dimensions that are kept")


def _metrics(value: Any) -> Any:
    if isinstance(value, str):
        if value not in LEVELS:
            raise complain("value", f"`metrics` is one of {', '.join(LEVELS)}, or a mapping with level and by")
        return {"level": value}
    return _sequences(value, "by")


def _sequences(value: Any, *names: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: tuple(item) if key in names and isinstance(item, list) else item for key, item in value.items()}


def _listed(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str):
        raise complain("type", "this is a list: put square brackets round it, or a dash before it")
    return value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Lines = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": ["status == 200", "latency < 300ms"]}}),
]
Tags = Annotated[tuple[Tag, ...], BeforeValidator(_listed)]
Metrics = Annotated[
    MetricsShape, BeforeValidator(_metrics, json_schema_input_type=Literal["none", "lean", "standard", "full"] | MetricsShape)
]


class Policy(Shape):
    """What a check, its group and ``defaults`` may all say; the nearest wins, field by field; tags add up."""

    every: Annotated[Every, AfterValidator(_whole_seconds)] | None = Field(
        default=None, description="time between two runs in one location"
    )
    timeout: Positive | None = Field(default=None, description="for one attempt, from the name to the last byte")
    retries: Retries | None = Field(default=None, description="further tries inside one run")
    locations: Texts | None = Field(default=None, description="where it is looked from")
    confirm: ConfirmShape | None = Field(default=None, description="from outcomes to status")
    owner: Text | None = Field(default=None, description="who owns it")
    runbook: Url | None = Field(default=None, description="where to read what to do")
    tags: Tags | None = Field(default=None, description="labels for routes and filters; those of defaults, group and check add up")
    slo: Slo | None = Field(default=None, description="the objective, such as 99.9% over 30d")
    metrics: Metrics | None = Field(default=None, description="how much is recorded as metrics")
    events: Literal["failed", "all"] | None = Field(default=None, description="which runs the event bus carries")
    paused: bool | None = Field(default=None, description="it does not run")


class GroupShape(Policy):
    """Checks that share defaults, an owner, a dashboard."""

    name: Text | None = Field(default=None, description="what people call it")


class CheckShape(Policy):
    """One check without its kind key: who cares, how often, what must hold."""

    name: Text | None = Field(default=None, description="what people call it")
    group: str | None = Field(default=None, description="the group it belongs to")
    depends_on: Texts = Field(default=(), description="while one of these is down, this one's incidents stay quiet")
    must: Lines | None = Field(default=None, description="assertions: one broken means failed")
    should: Lines = Field(default=(), description="assertions: one broken means degraded")


class EscalateShape(Shape):
    """Whom to tell when nobody acknowledged for so long."""

    after: Positive = Field(description="time without acknowledgement")
    notify: Texts = Field(description="channels that are told as well")


class RouteShape(Shape):
    """Which incidents go to which channels, how grouped, how often repeated."""

    when: Lines = Field(default=(), description="assertions over the incident; none fits every incident")
    notify: Texts = Field(description="channels that are told")
    group_by: Annotated[tuple[Literal["check", "kind", "group", "owner", "severity"], ...], BeforeValidator(_listed)] = Field(
        default=(), description="incidents with the same of these share a message"
    )
    wait: Duration = Field(default=0.0, description="time to collect what belongs in one message")
    repeat: Positive | None = Field(default=None, description="time between reminders while it is open and nobody acknowledged it")
    escalate: EscalateShape | None = Field(default=None, description="whom to tell when nobody acknowledged it")

    @model_validator(mode="after")
    def _told(self) -> RouteShape:
        if not self.notify:
            raise complain("no-route", "`notify` is empty: nobody would be told", "name a channel, or `console`")
        return self


def _days(value: Any) -> Any:
    value = _listed(value)
    if not isinstance(value, tuple) or not value or any(day not in DAYS for day in value):
        raise complain("value", f"`days` is a list of {', '.join(DAYS)}")
    return value


def _clock(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise complain("time", f"{text[:20]!r} is not a time of day: write 02:00")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise complain("zone", f"there is no time zone {text[:60]!r}: write an IANA name such as Europe/Dublin") from None
    return text


class WeeklyShape(Shape):
    """A window of every week on the clocks of a zone."""

    days: Annotated[tuple[str, ...], BeforeValidator(_days), WithJsonSchema({"type": "array", "items": {"enum": list(DAYS)}})] = (
        Field(description="days on which it begins")
    )
    at: Annotated[str, AfterValidator(_clock)] = Field(description="time of day at which it begins")
    lasting: Annotated[Positive, Field(le=7 * 86400)] = Field(description="how long it is")
    zone: Annotated[str, AfterValidator(_zone)] = Field(default="UTC", description="whose clocks")


Instant = Annotated[
    float,
    BeforeValidator(_reader(lambda value: units.instant(str(value)), "time")),
    _schema(r"^\d{4}-\d\d-\d\dT", "2026-03-01T01:00Z"),
]


class MaintenanceShape(Shape):
    """A planned window: probes run, results are marked, SLOs ignore them, nobody is told."""

    name: Text = Field(description="what people call it")
    when: Lines = Field(default=(), description="assertions over the check; none means every check")
    weekly: WeeklyShape | None = Field(default=None, description="a window of every week")
    starts: Instant | None = Field(default=None, description="when the one window begins")
    lasting: Positive | None = Field(default=None, description="how long the one window is")

    @model_validator(mode="after")
    def _one_time(self) -> MaintenanceShape:
        if (self.weekly is None) == (self.starts is None):
            raise complain("time", "a window is either `weekly` or `starts` once: write one of the two")
        if self.weekly is not None and self.lasting is not None:
            raise complain("time", "`lasting` of a weekly window stands inside `weekly`")
        if self.starts is not None and self.lasting is None:
            raise complain("missing-key", "`lasting` is missing: how long is the window?", "write lasting: 2h")
        return self


class SelfCheckShape(Shape):
    """Anchors that tell whether a location itself is offline: at least two, independent, one by address and one by name."""

    anchors: Texts = Field(description="host:port of at least two independent neighbours, one by address and one by name")

    @model_validator(mode="after")
    def _enough(self) -> SelfCheckShape:
        if len(set(self.anchors)) < 2:
            raise complain("value", "one anchor cannot tell our network from its own trouble: name at least two")
        for anchor in self.anchors:
            if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):\d{1,5}", anchor):
                raise complain("address", f"{anchor[:80]!r} is not host:port")
        return self


def _place(text: str) -> str:
    if not re.fullmatch(PLACE, text):
        raise complain("value", f"{text[:60]!r} is not a place: write local, or aws: and a region, such as aws:eu-west-1")
    return text


class LocationShape(Shape):
    """A named place we look from: ``local`` or ``aws:<region>``."""

    place: Annotated[str, AfterValidator(_place), WithJsonSchema({"type": "string", "pattern": PLACE})] = Field(
        description="`local`, or `aws:` and a region"
    )
    self_check: SelfCheckShape | None = Field(default=None, description="anchors of this location")
