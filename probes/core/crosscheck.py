"""The second pass over what was written: names that must exist, numbers that must fit, alerts that must reach somebody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from probes.core import compile as compiler
from probes.core import expression, slo
from probes.core.check import Check
from probes.core.plan import HERE
from probes.core.reading import Path, Reader
from probes.core.units import Duration
from probes.core.written import Spec, Written

LEAST_EVERY_ON_AWS: Final = 10.0


def crosscheck(spec: Spec, readers: list[Reader]) -> None:
    """Add what only the whole can tell to the problems of the readers."""
    for reader in readers:
        _names(spec, reader, readers)
    _cycles(spec)
    for name, written in spec.checks.items():
        _permitted(spec, written, ("checks", name))
        if _resolvable(spec, written):
            check = compiler.check(spec, name)
            _places(spec, written, check, ("checks", name))
            _numbers(spec, written, check, ("checks", name))
    if not any(problem.severity == "error" for problem in readers[0].problems):
        _reach(spec, readers[0])
        _unused(spec, readers)


def _names(spec: Spec, reader: Reader, readers: list[Reader]) -> None:
    """Every name in the data of one file is declared in some file, also where the shape round it is wrong."""
    data = reader.source.data

    def declared(section: str) -> set[str]:
        sections = (each.source.data.get(section) for each in readers)
        return {str(name) for names in sections if isinstance(names, dict) for name in names}

    def known(what: str, names: Any, options: Collection[str], path: Path) -> None:
        for number, name in enumerate(names if isinstance(names, list) else []):
            if isinstance(name, str) and name not in options and "${{" not in name:
                reader.unknown_name(what, name, options, (*path, number))

    locations = declared("locations") or {HERE}
    groups, checks, channels = declared("groups"), declared("checks"), {*declared("channels"), "console"}
    for path in (("defaults",), *_below(data, "groups"), *_below(data, "checks")):
        policy = _at(data, path)
        if isinstance(policy, dict):
            known("location", policy.get("locations"), locations, (*path, "locations"))
            known("check", policy.get("depends_on"), checks, (*path, "depends_on"))
            group = policy.get("group")
            if isinstance(group, str) and group not in groups and "${{" not in group:
                reader.unknown_name("group", group, groups, (*path, "group"))
    for number, route in enumerate(data["routes"] if isinstance(data.get("routes"), list) else []):
        if isinstance(route, dict):
            known("channel", route.get("notify"), channels, ("routes", number, "notify"))
            escalate = route.get("escalate")
            if isinstance(escalate, dict):
                known("channel", escalate.get("notify"), channels, ("routes", number, "escalate", "notify"))


def _below(data: Mapping[str, Any], section: str) -> list[Path]:
    names = data.get(section)
    return [(section, name) for name in names] if isinstance(names, dict) else []


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _resolvable(spec: Spec, written: Written) -> bool:
    known = compiler.locations(spec)
    return all(name in known for name in compiler.settings(spec, written)["locations"][0])


def _cycles(spec: Spec) -> None:
    graph = {name: [p for p in written.shape.depends_on if p in spec.checks] for name, written in spec.checks.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        reader = spec.checks[circle[0]].reader
        reader.complain(
            "cycle", f"checks depend on each other in a circle: {' -> '.join(circle)}", ("checks", circle[0], "depends_on")
        )


def _permitted(spec: Spec, written: Written, path: Path) -> None:
    """A kind that is off by default has been switched on."""
    name, switch = written.kind.name, written.kind.switch
    if switch is not None and switch not in spec.allowed:
        message = f"`{name}` is off unless this file says `{switch}: allowed`"
        hint = f"write {switch}: allowed at the top, if whoever may change this file may run code on this machine"
        written.reader.complain("not-allowed", message, (*path, name), key=True, hint=hint)


def _places(spec: Spec, written: Written, check: Check, path: Path) -> None:
    """A kind looks only from places it can look from."""
    places = compiler.locations(spec)
    for start, reason in written.kind.not_on.items():
        name = next((name for name in check.locations if places[name].startswith(start)), None)
        if name is not None:
            where = _written_at(written.reader, path, "locations", written.kind.name)
            hint = "name locations of other places under `locations`"
            written.reader.complain("place", f"{reason} ({name} is {places[name]})", where, hint=hint)


def _numbers(spec: Spec, written: Written, check: Check, path: Path) -> None:
    reader = written.reader
    attempts = 1 + check.retries.count
    needed = check.timeout * attempts + check.retries.wait * check.retries.count
    if not check.passive and needed > check.every:
        tries = f"{attempts} attempts of {Duration(check.timeout)} take up to {Duration(needed)}" if attempts > 1 else ""
        message = (tries or f"a timeout of {Duration(check.timeout)}") + f", which does not fit in every {Duration(check.every)}"
        reader.complain(
            "timeout",
            message,
            _written_at(reader, path, "timeout", "retries", "every"),
            hint="shorten `timeout`, or run less often",
        )
    quorum = check.confirm.locations
    if isinstance(quorum, int) and quorum > len(check.locations):
        message = f"{quorum} locations must agree, but this check has {len(check.locations)}"
        reader.complain(
            "quorum",
            message,
            _written_at(reader, path, "confirm"),
            hint=f"write a number up to {len(check.locations)}, or majority",
        )
    places = compiler.locations(spec)
    far = [name for name in check.locations if places[name].startswith("aws:")]
    if far and check.every < LEAST_EVERY_ON_AWS:
        message = f"`every: {Duration(check.every)}` is below {Duration(LEAST_EVERY_ON_AWS)}, the shortest on AWS ({far[0]})"
        reader.complain("every", message, _written_at(reader, path, "every"))
    if check.slo and (words := slo.warning(check, len(check.locations))):
        reader.complain("slo", words, _written_at(reader, path, "slo"), severity="warning")


def _written_at(reader: Reader, path: Path, *keys: str) -> Path:
    """The first of ``keys`` that the check itself writes; otherwise the check."""
    data = _at(reader.source.data, path)
    return next(((*path, key) for key in keys if key in data), path)


def _reach(spec: Spec, first: Reader) -> None:
    """Warn where an incident would reach nobody."""
    if not spec.routes:
        message = "there are no routes: incidents are told on the console alone"
        first.complain("no-route", message, (), severity="warning", hint="add `channels` and `routes`")
        return
    for severity in ("critical", "warning"):
        lost = [name for name in spec.checks if not _routed(spec, name, severity)]
        if lost:
            names = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
            message = f"no route takes {severity} incidents of {names}: nobody would be told"
            first.complain("no-route", message, ("routes",), severity="warning", hint="end `routes` with one that has no `when`")


def _routed(spec: Spec, name: str, severity: str) -> bool:
    written = spec.checks[name]
    values = compiler.settings(spec, written)
    facts: Mapping[str, Any] = {
        "check": name,
        "kind": written.kind.name,
        "group": written.shape.group,
        "owner": values["owner"][0],
        "tags": list(values["tags"][0]),
        "severity": severity,
        "event": "opened",
    }
    return any(all(expression.parse(line).check(facts, {})[0] for line in route.when) for route in spec.routes)


def _unused(spec: Spec, readers: list[Reader]) -> None:
    used = {reference for reader in readers for reference in reader.used}
    told = {name for route in spec.routes for name in (*route.notify, *(route.escalate.notify if route.escalate else ()))}
    groups = {written.shape.group for written in spec.checks.values()}
    for section, what, names, is_used in (
        ("variables", "variable", spec.variables, {name for root, name in used if root == "var"}),
        ("secrets", "secret", spec.secrets, {name for root, name in used if root == "secret"}),
        ("channels", "channel", spec.channels, told),
        ("groups", "group", spec.groups, groups),
    ):
        for name in names:
            if name not in is_used and (section, name) in spec.places:
                reader, path = spec.places[section, name]
                reader.complain("unused", f"nothing uses the {what} `{name}`", path, key=True, severity="warning")
