"""The laptop's Store: one SQLite file with one writing connection, in one thread.

One connection, because SQLite 3.7.0 to 3.51.2 can corrupt a write-ahead log that two connections write or checkpoint at once
(https://sqlite.org/wal.html#walresetbug; Debian 12 ships 3.40.1). Readers of other processes open with ``mode=ro``.
Whatever queues up while one transaction commits shares the next one, so a thousand waiting writes cost few ``fsync`` calls.

Trouble with the disk never stops the monitoring. While nothing can be written (disk full, I/O error, a lock held by another
program), documents and new records live in an attached in-memory database and go to the file as soon as it takes them. A file
that cannot be read as SQLite is put aside under another name, its readable documents are taken over, and a new one begins.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from probes.local import Refused
from probes.local.tables import BATCH, Tables, check, create
from probes.ports import Entry

log = logging.getLogger(__name__)

RETRY: Final = 5.0
"""Seconds between attempts to return from memory to the file."""
PRUNE: Final = 300.0
"""Seconds between prunings: early and often, because DELETE fails too on a full disk."""
CHECKED: Final = 256 << 20
"""Files up to this size (bytes) are checked for damage at start (0.3 s); larger ones are found out when a read fails."""

CORRUPT: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

Operation = Callable[[Tables], Any]


class Job(NamedTuple):
    """An operation in the queue and who waits for it."""

    operation: Operation
    waiter: asyncio.Future[Any]


class SQLite:
    """The Store port on the file ``path``, created when absent; ``now`` (epoch seconds) decides what may be pruned.

    Attributes:
        trouble: one sentence while records are not durable (disk full ...), else None.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self.trouble: str | None = None
        self._now = now
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._tables = self._open()
        self._next_prune = 0.0
        self._next_retry = 0.0

    async def read(self, key: str) -> tuple[Any, int]:
        """See :class:`probes.ports.Store`."""
        found: tuple[Any, int] = await self._do(lambda tables: tables.read(key))
        return found

    async def write(self, key: str, value: Any, version: int) -> None:
        """See :class:`probes.ports.Store`."""
        text = None if value is None else _text(value)
        await self._do(lambda tables: tables.write(key, text, version))

    async def find(self, prefix: str) -> dict[str, tuple[Any, int]]:
        """See :class:`probes.ports.Store`."""
        found: dict[str, tuple[Any, int]] = await self._do(lambda tables: tables.find(prefix))
        return found

    async def append(self, entries: Iterable[Entry]) -> None:
        """See :class:`probes.ports.Store`."""
        rows = [(entry.log, entry.at, entry.id, entry.at + entry.keep, _text(entry.record)) for entry in entries]
        if rows:
            await self._do(lambda tables: tables.append(rows))

    async def since(self, log: str, at: float, limit: int | None = None) -> list[dict[str, Any]]:
        """See :class:`probes.ports.Store`."""
        found: list[dict[str, Any]] = await self._do(lambda tables: tables.since(log, at, limit))
        return found

    async def close(self) -> None:
        """Finish what is queued and close the file."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        self._tables.database.close()

    async def _do(self, operation: Operation) -> Any:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="probes-store", daemon=True)
            self._thread.start()
        waiter = asyncio.get_running_loop().create_future()
        self._queue.put(Job(operation, waiter))
        return await waiter

    def _work(self) -> None:
        """The thread: take what is queued, commit it as one, tell who waits; prune in between."""
        while True:
            jobs: list[Job] = []
            with suppress(queue.Empty):
                job = self._queue.get(timeout=1.0)
                while job is not None:
                    jobs.append(job)
                    if len(jobs) >= BATCH:
                        break
                    job = self._queue.get_nowait()
                if job is None:
                    self._settle(jobs)
                    return
            self._settle(jobs)

    def _settle(self, jobs: list[Job]) -> None:
        try:
            self._housekeeping()
        except Exception:
            log.exception("store: housekeeping failed")
        if not jobs:
            return
        outcomes: list[Any]
        try:
            outcomes = self._commit(jobs)
        except Exception as error:  # whatever it is, someone waits for it
            outcomes = [error] * len(jobs)
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            jobs[0].waiter.get_loop().call_soon_threadsafe(_deliver, jobs, outcomes)

    def _commit(self, jobs: list[Job]) -> list[Any]:
        for _ in range(3):
            try:
                outcomes: list[Any] = []
                with self._tables.transaction():
                    for job in jobs:
                        try:
                            outcomes.append(job.operation(self._tables))
                        except Exception as error:
                            if _disk(error):
                                raise
                            outcomes.append(error)  # a conflict, or a value SQLite cannot hold: its own affair
                return outcomes
            except sqlite3.DatabaseError as error:
                self._survive(error)
        raise sqlite3.OperationalError(f"{self.path}: nothing can be written or read, not even after starting anew")

    def _survive(self, error: sqlite3.DatabaseError) -> None:
        """Make the next attempt possible: from memory, or on a new file."""
        if _code(error) in CORRUPT:
            self._tables.database.close()
            self._tables = self._renew(error)
        elif isinstance(error, sqlite3.OperationalError) and not self._tables.spare:
            self._tables.retreat()
            self._next_retry = time.monotonic() + RETRY
            self.trouble = f"{self.path} cannot be written ({error}): history is kept in memory until it can"
            log.error("store: %s", self.trouble)
        else:
            raise error

    def _housekeeping(self) -> None:
        now = time.monotonic()
        if self._tables.spare and now >= self._next_retry:
            self._next_retry = now + RETRY
            self._tables.trim()
            try:
                self._tables.restore()
            except sqlite3.OperationalError:
                return
            self.trouble = None
            log.warning("store: %s takes writes again; nothing was lost", self.path)
        if now >= self._next_prune and not self._tables.spare:
            try:
                with self._tables.transaction():
                    pruned = self._tables.prune(self._now())
            except sqlite3.DatabaseError as error:
                self._survive(error)
                return
            self._next_prune = now if pruned == BATCH else now + PRUNE

    def _open(self) -> Tables:
        if self.path.exists() and not self.path.stat().st_size:
            log.error("store: %s was empty: what it held is lost, history begins anew", self.path)
        try:
            return Tables(_connect(self.path))
        except sqlite3.DatabaseError as error:
            if _code(error) not in CORRUPT:
                raise Refused(f"{self.path}: cannot be opened ({error}); is the disk full, or the folder not yours?") from error
            return self._renew(error)

    def _renew(self, error: sqlite3.DatabaseError) -> Tables:
        """Begin a new file after putting the damaged one aside, with the documents of it that can be read."""
        aside = _put_aside(self.path, str(error))
        tables = Tables(_connect(self.path))
        _salvage(aside, tables)
        return tables


class ReadOnly:
    """The reading half of the port on the file of a service that may be running; raises :class:`Refused` when there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise Refused(f"{path} does not exist: nothing has run here yet (start `probes up`)")
        try:
            database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
            database.execute("PRAGMA query_only = ON")
            check(database, path)
        except sqlite3.DatabaseError as error:
            raise Refused(f"{path}: cannot be read ({error})") from error
        self._tables = Tables(database)

    async def read(self, key: str) -> tuple[Any, int]:
        """See :class:`probes.ports.Store`."""
        return self._tables.read(key)

    async def find(self, prefix: str) -> dict[str, tuple[Any, int]]:
        """See :class:`probes.ports.Store`."""
        return self._tables.find(prefix)

    async def since(self, log: str, at: float, limit: int | None = None) -> list[dict[str, Any]]:
        """See :class:`probes.ports.Store`."""
        return self._tables.since(log, at, limit)

    async def write(self, key: str, value: Any, version: int) -> None:
        """Refused: only the running service writes."""
        raise io.UnsupportedOperation(f"{key}: the store is open for reading only")

    async def append(self, entries: Iterable[Entry]) -> None:
        """Refused: only the running service writes."""
        raise io.UnsupportedOperation("the store is open for reading only")

    async def close(self) -> None:
        """Close the file."""
        self._tables.database.close()


def _connect(path: Path) -> sqlite3.Connection:
    """The writing connection, its tables made and its file checked. Raises sqlite3.DatabaseError, :class:`Refused`."""
    with suppress(OSError):  # whatever is wrong, SQLite says it better
        path.touch(0o600)
        path.chmod(0o600)
    database = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
    try:
        check(database, path)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY", "journal_size_limit = 16777216"):
            database.execute(f"PRAGMA {pragma}")
        if path.exists() and path.stat().st_size <= CHECKED:
            verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise _corrupt(verdict)
        database.execute("ATTACH DATABASE ':memory:' AS spare")
        create(database, "spare")
        if not database.execute("PRAGMA main.user_version").fetchone()[0]:
            create(database, "main")
    except BaseException:
        database.close()
        raise
    return database


def _corrupt(verdict: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _put_aside(path: Path, why: str) -> Path:
    """Rename a damaged store, loudly; its new name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    log.error("store: %s is damaged (%s); it was put aside as %s and a new one begins", path, why, aside.name)
    return aside


def _salvage(aside: Path, into: Tables) -> None:
    """Take over the documents of a damaged file that can still be read, so that open incidents keep their ids."""
    rows: list[tuple[str, int, str]] = []
    with suppress(OSError), aside.open("r+b") as file:
        header = file.read(100)  # https://sqlite.org/fileformat.html: page size at 16, number of pages at 28
        whole = int.from_bytes(header[16:18]) * int.from_bytes(header[28:32])
        if aside.stat().st_size < whole <= 1 << 40:
            file.truncate(whole)  # SQLite reads no page of a file that is shorter than its header says
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(aside, isolation_level=None)) as damaged:
        for key, version, text in damaged.execute("SELECT key, version, value FROM documents"):
            with suppress(ValueError, TypeError):
                json.loads(text)
                rows.append((key, version, text))
    with into.transaction():
        into.database.executemany("INSERT OR IGNORE INTO main.documents VALUES (?, ?, ?)", rows)
    log.warning("store: %d documents were taken over from %s", len(rows), aside.name)


def _deliver(jobs: list[Job], outcomes: list[Any]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.waiter.done():  # cancelled meanwhile
            continue
        if isinstance(outcome, Exception):
            job.waiter.set_exception(outcome)
        else:
            job.waiter.set_result(outcome)


def _code(error: Exception) -> int:
    """The primary result code (the low byte of the extended one), 0 when SQLite gave none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _disk(error: Exception) -> bool:
    """Whether the trouble is the file's and not one operation's."""
    return isinstance(error, sqlite3.OperationalError) or _code(error) in CORRUPT


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
