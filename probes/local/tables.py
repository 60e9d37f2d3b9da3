"""The tables of the laptop's store, and every SQL statement that touches them."""
# ruff: noqa: S608 - the only text put into a statement is one of two schema names or a number of this module

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from probes.local import Refused
from probes.ports import Conflict

SCHEMA: Final = 1
"""Version of the tables, kept in ``PRAGMA user_version``."""
BATCH: Final = 2000
"""Most operations in one transaction, and most records pruned in one."""
SPARE_RECORDS: Final = 200_000
"""Most records kept in memory while the file takes none (about 200 MB); beyond, the oldest go."""

TABLES: Final = """
CREATE TABLE {where}.documents (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT NOT NULL);
CREATE TABLE {where}.log (log TEXT NOT NULL, at REAL NOT NULL, id TEXT NOT NULL, until REAL NOT NULL, record TEXT NOT NULL);
CREATE UNIQUE INDEX {where}.log_order ON log (log, at, id);
CREATE INDEX {where}.log_until ON log (until);
"""


class Tables:
    """The operations of the Store port as SQL, on the file or, while ``spare`` is set, on memory in front of it.

    Each raises sqlite3.Error; :meth:`write` also :class:`probes.ports.Conflict`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.spare = False

    @property
    def where(self) -> str:
        """The schema that takes writes now."""
        return "spare" if self.spare else "main"

    def read(self, key: str) -> tuple[Any, int]:
        """The document and its version; ``(None, 0)`` when there is none."""
        row = self.database.execute(f"SELECT value, version FROM {self.where}.documents WHERE key = ?", (key,)).fetchone()
        return (json.loads(row[0]), row[1]) if row else (None, 0)

    def find(self, prefix: str) -> dict[str, tuple[Any, int]]:
        """Documents by key prefix, in key order."""
        # a range and not LIKE or GLOB, which would read wildcards out of the prefix; no key holds the last code point
        rows = self.database.execute(
            f"SELECT key, value, version FROM {self.where}.documents WHERE key >= ? AND key < ? ORDER BY key",
            (prefix, prefix + "\U0010ffff"),
        )
        return {key: (json.loads(value), version) for key, value, version in rows}

    def write(self, key: str, text: str | None, version: int) -> None:
        """Replace (or with None delete) the document that was read at ``version``."""
        table = f"{self.where}.documents"
        if text is None:
            changed = self.database.execute(f"DELETE FROM {table} WHERE key = ? AND version = ?", (key, version)).rowcount
            missed = not changed and (version or self.read(key)[1])
        elif version:
            changed = self.database.execute(
                f"UPDATE {table} SET value = ?, version = version + 1 WHERE key = ? AND version = ?", (text, key, version)
            ).rowcount
            missed = not changed
        else:
            changed = self.database.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, 1, ?)", (key, text)).rowcount
            missed = not changed
        if missed:
            raise Conflict(f"{key}: version {version} is not the present one")

    def append(self, rows: list[tuple[str, float, str, float, str]]) -> None:
        """Add rows of (log, at, id, until, record); a known (log, at, id) changes nothing."""
        self.database.executemany(f"INSERT OR IGNORE INTO {self.where}.log VALUES (?, ?, ?, ?, ?)", rows)

    def since(self, name: str, at: float, limit: int | None) -> list[dict[str, Any]]:
        """Records of a log from a time on, oldest first; with a limit the newest of them."""
        tables = ("main", "spare") if self.spare else ("main",)
        parts = " UNION ALL ".join(f"SELECT at, id, record FROM {table}.log WHERE log = :log AND at >= :at" for table in tables)
        order = "ORDER BY at, id" if limit is None else "ORDER BY at DESC, id DESC LIMIT :limit"
        found = self.database.execute(f"{parts} {order}", {"log": name, "at": at, "limit": limit}).fetchall()
        unique = {(row[0], row[1]): row[2] for row in (found if limit is None else reversed(found))}
        return [json.loads(text) for text in unique.values()]

    def prune(self, now: float) -> int:
        """Forget up to :data:`BATCH` records that may go; how many did."""
        return self.database.execute(
            f"DELETE FROM {self.where}.log WHERE rowid IN "
            f"(SELECT rowid FROM {self.where}.log WHERE until < ? ORDER BY until LIMIT {BATCH})",
            (now,),
        ).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.database.execute("BEGIN")
        try:
            yield
            self.database.execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:  # a full disk may have rolled back already
                self.database.execute("ROLLBACK")
            raise

    def retreat(self) -> None:
        """From now on work in memory, starting from the documents of the file."""
        with self.transaction():
            self.database.execute("INSERT OR REPLACE INTO spare.documents SELECT * FROM main.documents")
        self.spare = True

    def restore(self) -> None:
        """Bring everything from memory to the file, or raise and stay in memory."""
        with self.transaction():
            self.database.execute("DELETE FROM main.documents")
            self.database.execute("INSERT INTO main.documents SELECT * FROM spare.documents")
            self.database.execute("INSERT OR IGNORE INTO main.log SELECT * FROM spare.log ORDER BY rowid")
        self.spare = False
        self.database.execute("DELETE FROM spare.documents")
        self.database.execute("DELETE FROM spare.log")

    def trim(self) -> None:
        """Keep memory bounded while the file takes nothing."""
        self.database.execute(
            f"DELETE FROM spare.log WHERE rowid <= (SELECT max(rowid) - {SPARE_RECORDS} FROM spare.log)",
        )


def create(database: sqlite3.Connection, where: str) -> None:
    """Make the tables in an empty schema (``main``: the file; ``spare``: the memory in front of it)."""
    database.executescript(f"BEGIN; {TABLES.format(where=where)} PRAGMA {where}.user_version = {SCHEMA}; COMMIT;")


def check(database: sqlite3.Connection, path: Path) -> None:
    """Raises :class:`Refused` for a file of a newer version."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise Refused(
            f"{path} was written by a newer version of Probes (schema {version}; this one knows {SCHEMA}): "
            "upgrade Probes, or move the file away to begin anew"
        )
