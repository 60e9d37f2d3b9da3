"""The sections of checks.yaml: each handler validates one section of one file into the :class:`~probes.core.written.Spec`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from probes.core import shapes
from probes.core.diagnostics import nearest
from probes.core.kind import Fact, Kind, Shape
from probes.core.plan import Channel
from probes.core.reading import Path, Reader
from probes.core.route import CHECK_FACTS, INCIDENT_FACTS, Escalate, Maintenance, Route, Weekly
from probes.core.written import Spec, Written

VERSION: Final = 1
MOST_CHECKS: Final = 10_000
CONSOLE: Final = "console"
RUN_WORDS: Final = ("id", "at", "location")
SECTIONS: Final = (
    "version",
    "service",
    "include",
    "variables",
    "secrets",
    "locations",
    "self_check",
    "defaults",
    "groups",
    "checks",
    "channels",
    "routes",
    "maintenance",
    "metrics",
    "events",
    "scripts",
)
SWITCHES: Final = ("scripts",)
"""Sections that switch on a kind which is off by default; ``allowed`` is all they say."""
NOT_HERE: Final[Mapping[str, str]] = {
    "commands": "commands for chat are not part of this version",
    "dashboards": "dashboards of one's own are not part of this version; the page of `probes up` shows every check",
    "browser": "this version drives no browser; `steps` covers a sequence of requests",
}
SECRET_REFERENCE: Final = re.compile(r"ssm:/[\w./-]+|secretsmanager:[\w./+=@:-]+(#[\w.-]+)?|env:[A-Za-z_]\w*|file:[^\x00-\x1f]+")


class Sections:
    """Validates sections into ``spec``; problems go to the readers."""

    def __init__(self, spec: Spec, kinds: Mapping[str, Kind], channels: Mapping[str, type[Shape]]) -> None:
        self.spec, self.kinds, self.channel_shapes = spec, kinds, channels
        self.handlers: Mapping[str, Callable[[Reader, Any], None]] = {
            "version": self._version,
            "service": self._service,
            "locations": self._locations,
            "self_check": self._self_check,
            "defaults": self._defaults,
            "groups": self._groups,
            "checks": self._checks,
            "channels": self._channels,
            "routes": self._routes,
            "maintenance": self._maintenance,
            "metrics": self._top,
            "events": self._top,
            **{name: partial(self._switch, name) for name in SWITCHES},
        }

    def names(self, reader: Reader) -> None:
        """Collect what other sections refer to by ``${{ }}``: variables and secrets of one file."""
        for name, value in self._named(reader, "variables"):
            path: Path = ("variables", name)
            if isinstance(value, (dict, list)) or value is None:
                reader.complain("type", f"variable `{name}` is one value (text, number, true or false)", path)
            elif isinstance(value, str) and "${{" in value:
                reader.complain("template", "a variable cannot be made of others", path)
            elif not shapes.VARIABLE.fullmatch(name):
                reader.complain("id", "a variable's name is letters, digits and _", path, key=True)
            else:
                self.spec.variables[name] = value
        for name, value in self._named(reader, "secrets"):
            path = ("secrets", name)
            if not shapes.VARIABLE.fullmatch(name):
                reader.complain("id", "a secret's name is letters, digits and _", path, key=True)
            elif not isinstance(value, str) or not SECRET_REFERENCE.fullmatch(value):
                message = f"`{name}` must say where the secret is kept, never its value"
                hint = "write ssm:/path, secretsmanager:id#field, env:NAME or file:path"
                reader.complain("secret-reference", message, path, hint=hint)
            else:
                self.spec.secrets[name] = value

    def read(self, reader: Reader, first: bool) -> None:
        """Validate every section of one file; the first one must say its version and have checks."""
        data = reader.source.data
        for key, value in data.items():
            if key in self.handlers:
                self.handlers[key](reader, value)
            elif key in NOT_HERE:
                reader.complain("not-here", NOT_HERE[key], (key,), key=True)
            elif key not in SECTIONS:
                reader.unknown_key((key,), SECTIONS)
        if first and "version" not in data:
            reader.complain("missing-key", "`version` is missing", (), hint=f"write version: {VERSION}")
        if first and "checks" not in data and "include" not in data:
            reader.complain("missing-key", "`checks` is missing", ())

    def _named(self, reader: Reader, section: str) -> Iterable[tuple[str, Any]]:
        """The (name, value) pairs of a section that is shared between files; a name in two files is a problem."""
        data = reader.source.data.get(section)
        if data is None:
            return
        if not isinstance(data, dict):
            reader.complain("type", f"`{section}` is a mapping of names to values", (section,))
            return
        for name, value in data.items():
            first = self.spec.places.setdefault((section, name), (reader, (section, name)))
            if first[0] is not reader:
                place = first[0].source.key(first[1])
                reader.complain("duplicate-key", f"`{name}` is already in {place.file}:{place.line}", (section, name), key=True)
            else:
                yield name, value

    def _once(self, reader: Reader, section: str) -> bool:
        first = self.spec.places.setdefault((section, ""), (reader, (section,)))
        if first[0] is reader:
            return True
        place = first[0].source.key((section,))
        reader.complain("duplicate-key", f"`{section}` is already in {place.file}:{place.line}", (section,), key=True)
        return False

    def _version(self, reader: Reader, value: Any) -> None:
        if value != VERSION or isinstance(value, bool):
            reader.complain("value", f"this is version {VERSION} of the language", ("version",), hint=f"write version: {VERSION}")

    def _service(self, reader: Reader, value: Any) -> None:
        if not isinstance(value, str) or not shapes.ID.fullmatch(value):
            reader.complain("id", "a service's name is a-z, 0-9 and -, at most 63 of them", ("service",))
        elif self._once(reader, "service"):
            self.spec.service = value

    def _identified(self, reader: Reader, section: str) -> Iterable[tuple[str, Any]]:
        for name, value in self._named(reader, section):
            if shapes.ID.fullmatch(name):
                yield name, value
            else:
                reader.complain(
                    "id",
                    "a name here is a-z, 0-9 and -, at most 63 of them, beginning with one of a-z or 0-9",
                    (section, name),
                    key=True,
                )

    def _locations(self, reader: Reader, _value: Any) -> None:
        for name, value in self._identified(reader, "locations"):
            data = {"place": value} if isinstance(value, str) else value
            shape = reader.shape(shapes.LocationShape, data, ("locations", name))
            if shape:
                self.spec.locations[name] = shape.place
                if shape.self_check:
                    self.spec.self_check[name] = shape.self_check.anchors

    def _self_check(self, reader: Reader, value: Any) -> None:
        shape = reader.shape(shapes.SelfCheckShape, value, ("self_check",))
        if shape and self._once(reader, "self_check"):
            self.spec.self_check[""] = shape.anchors

    def _defaults(self, reader: Reader, value: Any) -> None:
        shape = reader.shape(shapes.Policy, self._plain(reader, value, ("defaults",)), ("defaults",))
        if shape and self._once(reader, "defaults"):
            self.spec.defaults = shape

    def _top(self, reader: Reader, _value: Any) -> None:
        data = {key: reader.source.data[key] for key in ("metrics", "events") if key in reader.source.data}
        if shape := reader.shape(shapes.Policy, data, ()):
            self.spec.top = shape

    def _switch(self, name: str, reader: Reader, value: Any) -> None:
        if value != "allowed":
            reader.complain("value", f"`{name}` says `allowed`, or is left out", (name,))
        elif self._once(reader, name):
            self.spec.allowed.add(name)

    def _groups(self, reader: Reader, _value: Any) -> None:
        for name, value in self._identified(reader, "groups"):
            path = ("groups", name)
            shape = reader.shape(shapes.GroupShape, self._plain(reader, value or {}, path), path)
            self.spec.groups[name] = shape or shapes.GroupShape()

    def _checks(self, reader: Reader, value: Any) -> None:
        if isinstance(value, list):
            reader.complain(
                "type", "`checks` is a mapping of ids to checks, not a list", ("checks",), hint="write the name as key: quote: {…}"
            )
            return
        if value is None or value == {}:
            reader.complain(
                "missing-key", "there are no checks", ("checks",), key=True, hint="write one: home: {http: GET https://…}"
            )
        for name, data in self._identified(reader, "checks"):
            path = ("checks", name)
            if not isinstance(data, dict):
                reader.complain("type", f"check `{name}` is a mapping of keys to values", path)
            elif len(self.spec.checks) >= MOST_CHECKS:
                reader.complain("limit", f"more than {MOST_CHECKS:,} checks in one service", path, key=True)
                return
            elif written := self._check(reader, data, path):
                self.spec.checks[name] = written

    def _check(self, reader: Reader, data: dict[str, Any], path: Path) -> Written | None:
        named = [key for key in data if key in self.kinds]
        kind = self.kinds[named[0]] if len(named) == 1 else None
        misspelt = {} if named else self._misspelt(data)
        if len(named) > 1:
            words = f"{', '.join(named[:-1])} and {named[-1]}"
            reader.complain("one-kind", f"a check probes one thing, but this names {words}", (*path, named[1]), key=True)
        elif not named:
            self._no_kind(reader, data, path, misspelt)
        rest: dict[str, Any] = {}
        for key, value in data.items():
            if key in ("must", "should"):
                rest[key] = reader.assertions(value, kind.facts if kind else None, (*path, key))
            elif key in NOT_HERE:
                if named:
                    reader.complain("not-here", NOT_HERE[key], (*path, key), key=True)
            elif key not in named and key not in misspelt:
                rest[key] = self._plain(reader, value, (*path, key))
        shape = reader.shape(shapes.CheckShape, rest, path)
        target = self._target(reader, kind, data[kind.name], (*path, kind.name)) if kind else None
        if shape is None or kind is None or target is None:
            return None
        return Written(shape, kind, target, reader)

    def _misspelt(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Unknown keys that look like a kind: ``htp`` -> ``http``."""
        known = {*shapes.CheckShape.model_fields, *NOT_HERE}
        guesses = {key: nearest(key, list(self.kinds)) for key in data if key not in known}
        return {key: guess for key, guess in guesses.items() if guess}

    def _no_kind(self, reader: Reader, data: Mapping[str, Any], path: Path, misspelt: Mapping[str, str]) -> None:
        for key in data:
            if key in NOT_HERE:
                reader.complain("not-here", NOT_HERE[key], (*path, key), key=True)
                return
        message = "this check does not say what to probe"
        for key, guess in misspelt.items():
            hint = f"did you mean `{guess}` where it says `{key}`?"
            reader.complain("one-kind", message, (*path, key), key=True, hint=hint, path_of=path)
            return
        reader.complain("one-kind", message, path, key=True, hint=f"add one of {', '.join(sorted(self.kinds))}")

    def _plain(self, reader: Reader, value: Any, path: Path) -> Any:
        """``value`` with variables filled in; nothing else may be referred to."""
        return reader.fill(value, path, self.spec.variables, {})

    def _target(self, reader: Reader, kind: Kind, data: Any, path: Path) -> dict[str, Any] | None:
        roots: dict[str, Any] = {"secret": self.spec.secrets, "run": RUN_WORDS}
        if "steps" in kind.target.model_fields:
            roots["step"] = None
        before = len(reader.problems)
        data = reader.fill(data, path, self.spec.variables, roots)
        if len(reader.problems) > before:
            return None
        if not isinstance(data, dict):
            if data is None:
                reader.complain(
                    "short-form", f"`{kind.name}` does not say what to probe", path, hint=f"for example {kind.name}: {kind.example}"
                )
                return None
            try:
                data = kind.short(data)
            except ValueError as error:
                reader.complain("short-form", str(error), path, hint=f"for example {kind.name}: {kind.example}")
                return None
        return data if reader.shape(kind.target, data, path) else None

    def _channels(self, reader: Reader, _value: Any) -> None:
        for name, value in self._identified(reader, "channels"):
            path = ("channels", name)
            kinds = [key for key in value if key in self.channel_shapes] if isinstance(value, dict) else []
            self.spec.channels[name] = Channel(CONSOLE, {})
            if not isinstance(value, dict) or len(value) != 1:
                reader.complain("one-kind", f"a channel is one of {', '.join(sorted(self.channel_shapes))}", path, key=True)
                continue
            if not kinds:
                reader.unknown_key((*path, next(iter(value))), list(self.channel_shapes))
                continue
            (kind,) = kinds
            config = reader.fill(value[kind] or {}, (*path, kind), self.spec.variables, {"secret": self.spec.secrets})
            if reader.shape(self.channel_shapes[kind], config, (*path, kind)):
                self.spec.channels[name] = Channel(kind, config)

    def _routes(self, reader: Reader, value: Any) -> None:
        for number, data in self._listed(reader, "routes", value):
            path = ("routes", number)
            shape = reader.shape(shapes.RouteShape, self._when(reader, data, path, INCIDENT_FACTS), path)
            if shape:
                self.spec.places["routes", str(len(self.spec.routes))] = (reader, path)
                escalate = Escalate(shape.escalate.after, shape.escalate.notify) if shape.escalate else None
                route = Route(shape.when, shape.notify, shape.group_by, shape.wait, shape.repeat, escalate)
                self.spec.routes += (route,)

    def _maintenance(self, reader: Reader, value: Any) -> None:
        for number, data in self._listed(reader, "maintenance", value):
            path = ("maintenance", number)
            shape = reader.shape(shapes.MaintenanceShape, self._when(reader, data, path, CHECK_FACTS), path)
            if shape:
                weekly = Weekly(shape.weekly.days, shape.weekly.at, shape.weekly.zone) if shape.weekly else None
                lasting = shape.weekly.lasting if shape.weekly else shape.lasting or 0.0
                self.spec.maintenance += (Maintenance(shape.name, shape.when, weekly, shape.starts, lasting),)

    def _listed(self, reader: Reader, section: str, value: Any) -> Iterable[tuple[int, Any]]:
        if isinstance(value, list):
            return enumerate(value)
        reader.complain("type", f"`{section}` is a list", (section,))
        return ()

    def _when(self, reader: Reader, data: Any, path: Path, facts: Mapping[str, Fact]) -> Any:
        """``data`` with variables filled in and the lines of its ``when`` in canonical form."""
        if not isinstance(data, dict):
            return data
        rest = {key: self._plain(reader, value, (*path, key)) for key, value in data.items() if key != "when"}
        return rest if "when" not in data else {**rest, "when": reader.assertions(data["when"], facts, (*path, "when"))}
