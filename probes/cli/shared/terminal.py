"""How the verbs talk: data to standard output, talk to standard error; colours only where a terminal shows them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

import click
from rich.console import Console
from rich.text import Text

from probes.cli.shared import grid
from probes.core.diagnostics import printable
from probes.core.units import Duration

COLOURS: Final = {
    "passed": "green",
    "up": "green",
    "resolved": "green",
    "degraded": "yellow",
    "warning": "yellow",
    "failed": "bold red",
    "down": "bold red",
    "critical": "bold red",
    "open": "bold red",
    "errored": "magenta",
    "unknown": "magenta",
    "skipped": "dim",
    "paused": "dim",
}


def console(stream: TextIO, *, soft_wrap: bool = True) -> Console:
    """A console on the stream that obeys NO_COLOR, TERM and pipes; where nobody watches, lines are as long as they are.

    Without ``soft_wrap`` nothing is wider than the terminal, as a display that is drawn again and again needs it.
    """
    width = None if stream.isatty() else 10_000
    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap, width=width)


def document(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def talk(text: str) -> None:
    """Say something that is not data. A live display takes it over and prints it above itself, so no way around ``sys.stderr``."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def coloured(word: str, text: str | None = None) -> Text:
    """A word of outcome, status or severity in its colour."""
    return Text(printable(word if text is None else text), style=COLOURS.get(word, ""))


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Sequence[str] = (), *, cut: bool = False) -> None:
    """Print rows in columns (see :func:`probes.cli.shared.grid.blocks`); a pipe gets one line a row, however long."""
    output = console(sys.stdout)
    for block in grid.blocks(headings, rows, output, right=right, cut=cut):
        for line in block:
            output.print(line)


def rows(pairs: Iterable[tuple[str, object]]) -> None:
    """Print label and value, one pair a line."""
    output = console(sys.stdout)
    for label, value in pairs:
        text = value if isinstance(value, Text) else Text(printable(str(value)))
        output.print(Text(f"{printable(label) + ':':14}").append_text(text))


def milliseconds(value: float | None) -> str:
    """``124 ms``; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def lasted(seconds: float) -> str:
    """``2m30s``: whole seconds, the two largest units."""
    whole = max(0, round(seconds))
    for unit, below in ((86400, 3600), (3600, 60)):
        if whole >= unit:
            whole -= whole % below
            break
    return str(Duration(whole)) or "0s"


def plural(count: int, word: str) -> str:
    """``1 check``, ``2 checks``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
