"""The data folder of ``probes up``: one service at a time, and how others find the one that runs."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from probes.local import Refused

NAME: Final = ".probes"
"""The folder's name beside the configuration file, unless another one is given."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs now: where its page is, the token that its changing requests need, its process id."""

    host: str
    port: int
    token: str
    pid: int

    @property
    def url(self) -> str:
        """``http://127.0.0.1:8080``; a page on every address is reached on this machine's own."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class Folder:
    """The folder ``path``, created for its owner alone. Entering takes it for this process; :class:`Refused` when it is taken.

    The lock is the kernel's (``flock``), so it ends with the process however that ends; ``up.json`` is only a note beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def store(self) -> Path:
        """The file of the store."""
        return self.path / "probes.sqlite"

    def running(self) -> Running | None:
        """The service that holds the folder, or None. A note that a killed service left behind is not believed."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._note()
        finally:
            os.close(descriptor)
        return None

    def announce(self, running: Running) -> None:
        """Write the note ``up.json`` (mode 0600: it holds the token), whole or not at all."""
        fresh = self.path / f"up.json.{running.pid}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(running), file)
        fresh.replace(self.path / "up.json")

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(f"{self.path}: the data folder cannot be used ({error.strerror}); choose another with --data") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            other = self._note()
            who = f"process {other.pid}, {other.url}" if other else "another process"
            raise Refused(f"{self.path} is in use by `probes up` ({who}): stop that one, or choose another --data") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        (self.path / "up.json").unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _note(self) -> Running | None:
        try:
            return Running(**json.loads((self.path / "up.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
