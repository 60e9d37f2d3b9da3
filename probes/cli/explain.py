"""``probes explain``: the page of a problem code, or of a fault."""

from __future__ import annotations

import click

from probes.cli.shared.options import json_option


@click.command()
@click.argument("word", metavar="[CODE|FAULT]", required=False)
@json_option
def command(word: str | None, as_json: bool) -> None:
    """Explain a problem code (`unit`) or a fault (`dns.nxdomain`); without one, list them all."""
    from probes.cli.shared import terminal
    from probes.core.diagnostics import CODES, did_you_mean, printable
    from probes.core.fault import FAULTS

    pages = {code: ("code", str(page)) for code, page in CODES.items()}
    pages |= {kind: ("fault", _fault(kind, because)) for kind, because in FAULTS.items()}
    if word is not None and word not in pages:
        hint = did_you_mean(word, pages) or "`probes explain` lists them"
        raise click.UsageError(f"there is no problem code and no fault `{printable(word)}`: {hint}")
    chosen = list(pages) if word is None else [word]
    if as_json:
        found = [{"word": name, "sort": pages[name][0], "text": pages[name][1]} for name in chosen]
        terminal.document(found if word is None else found[0])
    elif word is None:
        terminal.table(("word", "sort", "meaning"), ((name, pages[name][0], pages[name][1].splitlines()[0]) for name in chosen))
    else:
        click.echo(f"{word} ({pages[word][0]})\n\n{pages[word][1]}")


def _fault(kind: str, because: str) -> str:
    whose = (
        "This is trouble of the monitor, not of the target: the outcome is `errored`, and it never counts as downtime."
        if kind.startswith("probe.")
        else "The target, or the way to it, gave this: the outcome is `failed`, unless the check asserts exactly this."
    )
    return f"{because[:1].upper()}{because[1:]}.\n\n{whose}"
