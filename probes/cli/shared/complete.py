"""What the shell offers when a person presses TAB; whatever goes wrong there, nothing is offered and nothing is said."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.cli.shared.options import DEFAULT

if TYPE_CHECKING:
    import click

Complete = Callable[["click.Context", "click.Parameter", str], list[str]]


def _quietly(offer: Callable[[click.Context], Iterable[str]]) -> Complete:
    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        try:
            return [word for word in offer(context) if word.startswith(begun)]
        except Exception:  # a traceback between two keys helps nobody
            return []

    return complete


def _run(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    import asyncio  # only here: `--help` stays fast

    return asyncio.run(work)


def _file(context: click.Context) -> Path:
    """The configuration on the line so far: ``--file``, or the first word of ``probes run``."""
    given: Any = context.params.get("file") or next(iter(context.params.get("words") or ()), DEFAULT)
    return Path(given) if str(given).endswith((".yaml", ".yml")) else Path(DEFAULT)


def _checks(context: click.Context) -> list[str]:
    from probes.cli.shared import configuration

    return list(configuration.read(_file(context), ())[2].checks)


def _incidents(context: click.Context) -> list[str]:
    from probes import view
    from probes.cli.shared import store

    async def read() -> list[str]:
        async with store.reading(_file(context), context.params.get("data")) as (plan, world):
            return [one.id for one in await view.incidents(plan, world, open_only=context.info_name == "ack")]

    return _run(read())


def _silences(context: click.Context) -> list[str]:
    from probes import pipeline
    from probes.cli.shared import store

    async def read() -> list[str]:
        async with store.reading(_file(context), context.params.get("data")) as (_, world):
            return [one.id for one in await pipeline.silences(world)]

    return _run(read())


def _words(_: click.Context) -> list[str]:
    from probes.core.diagnostics import CODES
    from probes.core.fault import FAULTS
    from probes.kinds import KINDS

    return [*KINDS, *FAULTS, *CODES]


checks, incidents, silences, words = map(_quietly, (_checks, _incidents, _silences, _words))
