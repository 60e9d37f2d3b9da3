"""``probes validate``: read the configuration and tell everything that is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from probes.cli.shared.options import file_argument, json_option, var_option


@click.command()
@file_argument
@var_option
@json_option
def command(file: Path, variables: tuple[tuple[str, str], ...], as_json: bool) -> int:
    """Check FILE: every problem at once, in file order, with its place and what to do.

    Exit code 0 when it can be used (warnings allowed), 2 when it cannot.
    """
    from probes.cli.shared import configuration, terminal
    from probes.core.diagnostics import Rejected

    try:
        files, _, plan = configuration.read(file, variables)
        usable, problems, texts = plan, plan.warnings, files.read
    except Rejected as rejected:
        usable, problems, texts = None, rejected.problems, configuration.quoted(rejected)
    if as_json:
        terminal.document(configuration.verdict(problems))
    else:
        configuration.show(problems, texts, sys.stdout.write)
        click.echo(configuration.summary(file, problems, usable))
    return 0 if usable is not None else 2
