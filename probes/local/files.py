"""checks.yaml on disk, with what it includes: only files inside its own folder, none that a link leads out of it."""

from __future__ import annotations

import asyncio
import glob
import logging
import os
from collections.abc import Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from watchfiles import awatch

from probes.channels import CHANNELS
from probes.core.compile import compile as compile_
from probes.core.diagnostics import Problem, Rejected
from probes.core.plan import Plan
from probes.core.source import BYTES
from probes.core.spec import load
from probes.core.written import Spec
from probes.kinds import KINDS

logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every notice, also those that mean nothing here

MOST: Final = 1000
"""Most files that one configuration may include."""


class Files:
    """The configuration in ``path``: which files it was read from, and in which folders new ones would count.

    Attributes:
        path: the first file, as the user wrote it.
        read: text by name of every file of the last :meth:`load`, as messages name it, for quoting lines.
        folders: folders whose files matter (those read, and those that patterns of ``include`` look into).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: dict[str, str] = {}
        self.folders: set[Path] = {path.parent}
        self._known = self._seen()

    def load(self, variables: Mapping[str, str] | None = None) -> Spec:
        """The specification. Raises :class:`~probes.core.diagnostics.Rejected`."""
        before = self._seen()
        self.read = {}
        self.folders = {self.path.parent}
        name = str(self.path)
        shapes = {channel: CHANNELS[channel].config for channel in CHANNELS}
        try:
            text = self._text(self.path, name)
            return load(text, KINDS, channels=shapes, file=name, include=self._include, variables=variables)
        except _Unreadable as error:
            raise Rejected([Problem(error.code, str(error), name)]) from None
        finally:
            # a save while we were reading makes the two differ, so that it is read again
            after = self._seen()
            self._known = after if before.issubset(after) else before

    def plan(self, variables: Mapping[str, str] | None = None) -> Plan:
        """The compiled plan. Raises :class:`~probes.core.diagnostics.Rejected`."""
        return compile_(self.load(variables))

    async def saved(self) -> None:
        """Return once something that matters is no longer what it was at the last :meth:`load`, and has come to rest.

        The system's notices are quick, and looking every two seconds finds what they miss (network folders, containers).
        """
        while (seen := self._seen()) == self._known:
            folders = [folder for folder in self.folders if folder.is_dir()]
            if not folders:
                await asyncio.sleep(2.0)
                continue
            async with aclosing(
                awatch(*folders, recursive=False, debounce=100, rust_timeout=2000, yield_on_timeout=True)
            ) as notices:
                await anext(notices)
        while seen != (seen := await self._rested()):
            pass

    async def _rested(self) -> set[tuple[str, int, int]]:
        await asyncio.sleep(0.1)
        return self._seen()

    def _seen(self) -> set[tuple[str, int, int]]:
        """Name, time of change and size of every file that matters: those of the endings that were read, and ``.env``."""
        endings = {".yaml", ".yml", *(Path(name).suffix for name in self.read)}
        found = set()
        for folder in self.folders:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if Path(entry.name).suffix in endings or entry.name == ".env":
                        with suppress(OSError):
                            found.add((entry.path, entry.stat().st_mtime_ns, entry.stat().st_size))
        return found

    def _include(self, pattern: str, file: str) -> list[tuple[str, str]]:
        """See ``Include`` of :mod:`probes.core.spec`: patterns start from the folder of the file they stand in."""
        if "://" in pattern:
            raise ValueError(f"`{pattern}` is a URL: only files in the folder of {self.path.name} can be included")
        root, base = self.path.parent, Path(file).parent
        outside = ValueError(f"`{pattern}` leads out of the folder of {self.path.name}")
        if os.path.isabs(pattern) or pattern.startswith("~"):
            raise outside
        if not Path(os.path.abspath(base / pattern)).is_relative_to(os.path.abspath(root)):
            raise outside
        names = sorted(glob.glob(pattern, root_dir=base, recursive=True)) if glob.has_magic(pattern) else [pattern]
        found = [Path(os.path.normpath(base / name)) for name in names]
        self.folders |= {path.parent for path in found} | {
            Path(os.path.normpath(base / os.path.dirname(pattern.partition("*")[0])))
        }
        inside = root.resolve()
        if any(not path.resolve().is_relative_to(inside) for path in found):
            raise outside
        if not found:
            raise ValueError(f"no file is called `{pattern}`")
        if len(self.read) + len(found) > MOST:
            raise ValueError(f"more than {MOST} files are included")
        return [(str(path), self._text(path, str(path))) for path in found if str(path) not in self.read]

    def _text(self, path: Path, name: str) -> str:
        """The text of one file. Raises :class:`_Unreadable`, which quotes nothing of it."""
        try:
            if path.exists() and not path.is_file():
                raise _Unreadable(f"{path.name} is not a file")
            with path.open("rb") as file:
                content = file.read(BYTES + 1)
            text = content.decode("utf-8-sig")
        except FileNotFoundError:
            raise _Unreadable(f"there is no file {path.name}") from None
        except OSError as error:
            raise _Unreadable(f"{path.name} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            if len(content) <= BYTES:
                raise _Unreadable(f"{path.name} is not UTF-8 text (byte {error.start + 1})", "encoding") from None
            text = content.decode(errors="replace")  # too large anyway, which load() says better
        self.read[name] = text
        return text


class _Unreadable(ValueError):
    def __init__(self, message: str, code: str = "file") -> None:
        super().__init__(message)
        self.code = code


def read_plan(path: Path, variables: Mapping[str, str] | None = None) -> Plan:
    """The plan of the configuration in ``path``. Raises :class:`~probes.core.diagnostics.Rejected` with every problem."""
    return Files(path).plan(variables)
