"""The configuration as the verbs read it: all problems are shown, and then the verb ends with exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.cli.shared import terminal
from probes.core import diagnostics
from probes.core.diagnostics import Problem, Rejected

if TYPE_CHECKING:
    from probes.core.plan import Plan
    from probes.core.written import Spec
    from probes.local.files import Files


def read(file: Path, variables: Iterable[tuple[str, str]] = ()) -> tuple[Files, Spec, Plan]:
    """The files, what was written, and the plan. Raises :class:`Rejected`, whose problems :func:`show` can print."""
    from probes.core.compile import compile as compile_
    from probes.local.files import Files

    if file.is_dir():
        file /= "checks.yaml"
    files = Files(file)
    try:
        spec = files.load(dict(variables))
    except Rejected as rejected:
        rejected.read = files.read  # type: ignore[attr-defined]  # the quoted lines travel with the problems
        raise
    return files, spec, compile_(spec)


def required(file: Path, variables: Iterable[tuple[str, str]] = (), *, as_json: bool = False) -> tuple[Files, Spec, Plan]:
    """As :func:`read`; a rejected configuration is printed (its document with ``as_json``) and ends the verb with 2."""
    try:
        return read(file, variables)
    except Rejected as rejected:
        if as_json:
            terminal.document(verdict(rejected.problems))
        else:
            show(rejected.problems, quoted(rejected), sys.stderr.write)
            terminal.talk(summary(file, rejected.problems))
        raise click.exceptions.Exit(2) from None


def quoted(rejected: Rejected) -> dict[str, str]:
    """Text by name of the files that the problems are in."""
    texts: dict[str, str] = getattr(rejected, "read", {})
    return texts


def verdict(problems: Iterable[Problem]) -> dict[str, Any]:
    """The document of ``validate --json``."""
    listed = list(problems)
    return {
        "ok": not any(problem.severity == "error" for problem in listed),
        "problems": [diagnostics.document(problem) for problem in listed],
    }


def show(problems: Iterable[Problem], texts: Mapping[str, str], write: Any) -> None:
    """Write each problem with its line and caret, a blank line after it."""
    listed = list(problems)
    lines = {
        name: diagnostics.concealed(diagnostics.split(text), (p for p in listed if p.file == name)) for name, text in texts.items()
    }
    for problem in listed:
        write(diagnostics.render(problem, lines.get(problem.file)) + "\n\n")


def summary(file: Path, problems: Iterable[Problem], plan: Plan | None = None) -> str:
    """``checks.yaml: 12 checks, 3 locations, 0 problems, 1 warning``."""
    listed = list(problems)
    warnings = sum(problem.severity == "warning" for problem in listed)
    parts = []
    if plan is not None:
        parts += [terminal.plural(len(plan.checks), "check"), terminal.plural(len(plan.locations), "location")]
    parts.append(terminal.plural(len(listed) - warnings, "problem"))
    if warnings or plan is not None:
        parts.append(terminal.plural(warnings, "warning"))
    return f"{diagnostics.printable(str(file))}: {', '.join(parts)}"
