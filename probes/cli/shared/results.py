"""The results of ``probes run`` for people, for CI systems (JUnit) and for pull requests (GitHub annotations)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from probes.cli.shared import terminal
from probes.core.check import Check
from probes.core.diagnostics import printable
from probes.core.result import OUTCOMES, PHASES
from probes.core.units import Duration, Size

if TYPE_CHECKING:
    from probes.core.source import Place

Document = Mapping[str, Any]
LABEL: Final = 11


def summary(results: Sequence[Document]) -> dict[str, int]:
    """How many results had each outcome."""
    return {outcome: sum(result["outcome"] == outcome for result in results) for outcome in OUTCOMES}


def code(results: Sequence[Document]) -> int:
    """The exit code: 1 something failed, 3 nothing failed but something errored, else 0."""
    counts = summary(results)
    return 1 if counts["failed"] else 3 if counts["errored"] else 0


def show(results: Sequence[Document], checks: Mapping[str, Check], *, everything: bool = False) -> None:
    """Print one row a result, and below what did not pass (or below all with ``everything``) what was seen."""
    import sys

    output = terminal.console(sys.stdout)
    width = max((len(result["check"]) for result in results), default=0)
    for result in results:
        line = terminal.coloured(result["outcome"], f"{result['outcome']:8}")
        line.append(f"  {printable(result['check']):{width}}  {terminal.milliseconds(result['latency_ms']):>8}", style="not bold")
        if result["because"]:
            line.append(f"  {printable(result['because'])}", style="default not bold")
        line.rstrip()
        output.print(line)
        if everything or result["outcome"] in {"failed", "errored", "degraded"}:
            for label, text in _details(result, checks.get(result["check"]), everything=everything):
                click.echo(f"          {label + ':':{LABEL}} {text}")
    counts = summary(results)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "nothing to run"
    terminal.talk(told)


def _details(result: Document, check: Check | None, *, everything: bool) -> list[tuple[str, str]]:
    rows = []
    if check is not None:
        rows.append(("target", _target(check)))
    if result["fault"]:
        rows.append(("fault", f"{result['fault']} (probes explain {result['fault']})"))
    for finding in result["findings"]:
        if everything or not finding["holds"]:
            mark = "holds" if finding["holds"] else "broken"
            rows.append((finding["level"], f"{finding['assertion']}  {mark}: {finding['because']}"))
    phases = [(name, result["phases_ms"][name]) for name in PHASES if name in result["phases_ms"]]
    if phases:
        rows.append(("phases", ", ".join(f"{name} {terminal.milliseconds(value)}" for name, value in phases)))
    if result["attempt"] > 1:
        rows.append(("attempt", str(result["attempt"])))
    for name, value in result["evidence"].items():
        rows.append((name, _short(value)))
    if everything:
        rows += [(name, _short(value)) for name, value in result["facts"].items() if name not in result["evidence"]]
    return [(printable(label), printable(text)) for label, text in rows]


def settings(found: Mapping[str, tuple[Any, str]], check: Check) -> None:
    """Print every setting of a check with where it came from, and its assertions."""
    click.echo(f"{check.id}: {_target(check)}")
    for name in ("must", "should"):
        for line in getattr(check, name):
            click.echo(f"          {name + ':':{LABEL}} {printable(line)}")
    for name, (value, where) in found.items():
        text = _setting(name, value, check)
        if text:
            click.echo(f"          {name + ':':{LABEL}} {printable(text)}  ({printable(where)})")
    click.echo()


def _setting(name: str, value: Any, check: Check) -> str:
    """A setting as one would say it; empty where there is nothing to say."""
    match name:
        case "every" | "timeout":
            return str(Duration(getattr(check, name)))
        case "retries":
            return f"{check.retries.count}, {Duration(check.retries.wait) or '0s'} apart, on {check.retries.on}"
        case "confirm":
            agreed = check.confirm
            return f"{agreed.need} of {agreed.of} runs, {agreed.locations} of the locations, {agreed.recover} to recover"
        case "slo":
            return f"{check.slo.percent:g}% over {Duration(check.slo.window)}" if check.slo else ""
        case "paused":
            return "yes" if check.paused else ""
    return _short(value) if value else ""


def _target(check: Check) -> str:
    from probes.kinds import KINDS

    return f"{check.kind} {KINDS[check.kind].describe(check.target)}"


def _short(value: Any, most: int = 300) -> str:
    if isinstance(value, float) and not isinstance(value, Duration):
        value = f"{value:g}"
    elif isinstance(value, (list, tuple)) and all(isinstance(one, (str, int, float)) for one in value):
        value = ", ".join(map(str, value))
    elif not isinstance(value, (str, Duration, Size)) and hasattr(value, "model_dump"):
        value = ", ".join(f"{name} {_short(part)}" for name, part in value.model_dump(exclude_none=True).items())
    text = str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def junit(file: Path, service: str, results: Sequence[Document], checks: Mapping[str, Check]) -> None:
    """Write a JUnit report: one suite, one case a result, seconds; ``degraded`` passes and says so in its output."""
    from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

    suite = TestSuite(service)
    for result in results:
        check = checks.get(result["check"])
        case = TestCase(
            result["check"],
            f"{service}.{check.group if check is not None and check.group else 'checks'}",
            result["total_ms"] / 1000,
        )
        because = printable(result["because"])
        kinds: dict[str, Callable[..., Any]] = {"failed": Failure, "errored": Error, "skipped": Skipped}
        if result["outcome"] in kinds:
            case.result = [kinds[result["outcome"]](because, result["fault"] or result["outcome"])]
        lines = [f"{label}: {text}" for label, text in _details(result, check, everything=False)]
        case.system_out = "\n".join([f"outcome: {result['outcome']}", *lines])
        suite.add_testcase(case)
    report = JUnitXml()
    report.add_testsuite(suite)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        report.write(str(file), pretty=True)
    except OSError as error:
        raise click.UsageError(f"the report {file} cannot be written: {error.strerror}") from None


def annotate(results: Sequence[Document], places: Mapping[str, Place]) -> None:
    """Say what did not pass as GitHub workflow commands, at the lines of the checks."""
    levels = {"failed": "error", "errored": "warning", "degraded": "warning"}
    for result in results:
        if result["outcome"] not in levels:
            continue
        place = places.get(result["check"])
        where = f"file={_property(place.file)},line={place.line}," if place is not None else ""
        title = _property(f"{result['check']} {result['outcome']}")
        terminal.talk(f"::{levels[result['outcome']]} {where}title={title}::{_message(printable(result['because']))}")


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return re.sub("[:,]", lambda match: f"%{ord(match[0]):02X}", _message(printable(text)))
