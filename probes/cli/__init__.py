"""The command line: one verb, one file. Data goes to standard output, everything else to standard error."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from probes import __version__
from probes.local import Refused

__all__ = ["main"]


class _Verbs(MutableMapping[str, click.Command]):
    """The verbs of this folder by name; a module is imported only when its verb is asked for, and defines it as ``command``."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in set(self):
            raise KeyError(name)
        command = import_module(f"{__name__}.{name}").command
        assert isinstance(command, click.Command), name
        return command

    def __iter__(self) -> Iterator[str]:
        return (found.name for found in pkgutil.iter_modules(__path__) if not found.ispkg)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __setitem__(self, name: str, command: click.Command) -> NoReturn:
        raise TypeError("a verb is a file in this folder")

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError("a verb is a file in this folder")


class _Enough(Exception):
    """The reader of our output has seen enough. (click would make exit code 1 of a broken pipe.)"""


class _Line(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _Enough from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, or a usage error that names the one that was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            from probes.core.diagnostics import did_you_mean, printable

            hint = did_you_mean(args[0], self.commands) or "`probes --help` lists them"
            raise click.UsageError(f"there is no verb `{printable(args[0])}`: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]  # click overloads it on standalone_mode
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run a verb. Exit codes: the verb's own, 2 for what the user has to mend, 130 for Ctrl-C."""
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except Refused as refused:
            click.echo(f"Error: {refused}", err=True)
            sys.exit(2)
        except click.Abort:
            click.echo("stopped", err=True)
            sys.exit(130)
        except _Enough:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
            sys.exit(0)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=_Line, commands=_Verbs(), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Synthetic monitoring: exact, never fooled, never silent.

    Start with `probes init`, then `probes validate`, `probes run` and `probes up`. `probes demo` shows all of it in a minute.
    """
