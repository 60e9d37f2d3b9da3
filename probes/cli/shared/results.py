"""The results of ``probes run`` for people, for CI systems (JUnit) and for pull requests (GitHub annotations)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from probes.cli.shared import nested, terminal
from probes.core.check import Check
from probes.core.diagnostics import printable
from probes.core.result import OUTCOMES, PHASES
from probes.core.units import Duration

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
            for text in _details(result, checks.get(result["check"]), everything=everything):
                click.echo(f"          {text}")
    counts = summary(results)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "nothing to run"
    terminal.talk(told)


def _details(result: Document, check: Check | None, *, everything: bool) -> list[str]:
    """What was seen, as lines: ``label:  text``, nested evidence indented below its label."""
    rows: list[tuple[str, Any]] = []
    if check is not None:
        rows.append(("target", _target(check)))
    if result["fault"]:
        rows.append(("fault", f"{result['fault']} (probes explain {result['fault']})"))
    for finding in result["findings"]:
        if everything or not finding["holds"]:
            mark = "holds" if finding["holds"] else "broken"
            rows.append((finding["level"], f"{finding['assertion']}  {mark}: {finding['because']}"))
    phases = _phases(result["phases_ms"])
    if phases:
        rows.append(("phases", phases))
    if result["attempt"] > 1:
        rows.append(("attempt", str(result["attempt"])))
    evidence = dict(result["evidence"])
    steps = evidence.pop("steps", None) if result["kind"] == "steps" else None
    rows += ((name, value) for name, value in evidence.items() if value not in ({}, [], ""))
    if everything:
        rows += [(name, value) for name, value in result["facts"].items() if name not in result["evidence"]]
    lines = [line for label, value in rows for line in nested.lines(label, value, LABEL)]
    return lines if steps is None else [*lines, *_steps(steps, result)]


def _phases(phases: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {terminal.milliseconds(phases[name])}" for name in PHASES if name in phases)


def _steps(steps: Sequence[Document], result: Document) -> Iterator[str]:
    """A line for each step that ran: status, time, where, and what failed; below one that failed what it saw."""
    width = max((len(step["step"]) for step in steps), default=0)
    yield "steps:"
    for step in steps:
        name = step["step"]
        broken = [
            f"{finding['assertion'].removeprefix(f'{name}: ')} ({finding['because']})"
            for finding in result["findings"]
            if not finding["holds"] and finding["assertion"].startswith(f"{name}: ")
        ]
        if not broken and result["fault"] and result["facts"].get("failed_step") == name:
            broken = [str(result["because"]).removeprefix(f"{name}: ")]
        status = "-" if step.get("status") is None else step["status"]
        told = f"{name:{width}}  {status!s:>3}  {terminal.milliseconds(step.get('total_ms')):>8}  {step['url']}"
        failed = f"  failed: {'; '.join(broken)}" if broken else ""
        yield f"  {printable(told)}{printable(failed)}"
        phases = _phases(step.get("phases_ms") or {})
        if phases and step.get("seen"):
            yield f"    phases: {phases}"
        for label, value in (step.get("seen") or {}).items():
            yield from (f"    {line}" for line in nested.lines(label, value))


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
    return nested.text(value) if value else ""


def _target(check: Check) -> str:
    from probes.kinds import KINDS

    return f"{check.kind} {KINDS[check.kind].describe(check.target)}"


def junit(file: Path, service: str, results: Sequence[Document], checks: Mapping[str, Check]) -> None:
    """Write a JUnit report: one suite, one case a result, seconds; ``degraded`` passes and says so in its output."""
    from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

    suite = TestSuite(service)
    for result in results:
        check = checks.get(result["check"])
        case = TestCase(
            result["check"],
            f"{service}.{check.group if check is not None and check.group else 'checks'}",
            round(result["total_ms"] / 1000, 3),
        )
        because = printable(result["because"])
        kinds: dict[str, Callable[..., Any]] = {"failed": Failure, "errored": Error, "skipped": Skipped}
        if result["outcome"] in kinds:
            case.result = [kinds[result["outcome"]](because, result["fault"] or result["outcome"])]
        lines = _details(result, check, everything=False)
        case.system_out = "\n".join([f"outcome: {result['outcome']}", *lines])
        suite.add_testcase(case)
    report = JUnitXml()
    report.add_testsuite(suite)
    suite.time = report.time = round(suite.time, 3)
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
