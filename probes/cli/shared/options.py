"""Arguments and options that several verbs take, each written once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT: Final = "checks.yaml"
DEMO: Final = "demo"
"""Folder of `probes demo` in the data folder."""


def span(text: str) -> float:
    """A time span such as ``90s`` or ``2h``, in seconds; a usage error with the mend in its words."""
    from probes.core.units import duration

    try:
        seconds = float(duration(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds <= 0:
        raise click.BadParameter("it must be more than nothing")
    return seconds


def setting(text: str) -> tuple[str, str]:
    """``name=value``, as a pair."""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
        raise click.BadParameter(f"{text!r}: write name=value, such as api=https://staging.example")
    return name, value


def file_argument(function: F) -> F:
    """``[FILE]``: the configuration, ``checks.yaml`` in the current folder unless another is named."""
    return click.argument("file", type=click.Path(path_type=Path), default=DEFAULT, required=False)(function)


def file_option(function: F) -> F:
    """``--file``: the same, for verbs whose argument is something else."""
    option = click.option(
        "--file", "file", type=click.Path(path_type=Path), default=DEFAULT, show_default=True, help="The configuration."
    )
    return option(function)


def data_option(function: F) -> F:
    """``--data``: the folder of the store."""
    option = click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of the store; .probes beside the configuration if not given.",
    )
    return option(function)


def json_option(function: F) -> F:
    """``--json``: one JSON document instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def var_option(function: F) -> F:
    """``--var name=value``, repeatable."""
    option = click.option(
        "--var",
        "variables",
        type=setting,
        multiple=True,
        metavar="NAME=VALUE",
        help="Value of a variable; wins over the file. Repeatable.",
    )
    return option(function)


def by_option(function: F) -> F:
    """``--by``: who acts; the login name unless another is given."""
    return click.option("--by", metavar="NAME", help="Who you are; your login name if not given.")(function)


def person(by: str | None) -> str:
    """The name given, or the login name."""
    import getpass

    if by is not None and by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise click.UsageError("your login name could not be found: say who you are with --by NAME") from None


def folder(data: Path | None, file: Path) -> Path:
    """The data folder: the one given, else ``.probes`` beside the configuration."""
    from probes.local.folder import NAME

    return data if data is not None else file.parent / NAME


def looked_at(data: Path | None, file: Path) -> Path:
    """The data folder to look at: the demo's, where nothing but a demo ran."""
    from probes.local.folder import Folder

    place = folder(data, file)
    demo = place / DEMO
    return demo if data is None and Folder(demo).store.exists() and not Folder(place).store.exists() else place
