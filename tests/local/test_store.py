"""The SQLite store where the port's contract ends: durability, damage, a full disk, pruning, readers of other processes."""

import asyncio
import io
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from probes.local import Refused
from probes.local import store as module
from probes.local.store import ReadOnly, SQLite
from probes.local.tables import SCHEMA
from probes.ports import Conflict, Entry

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def opened(path: Path, now: Callable[[], float] = lambda: 0.0) -> AsyncIterator[SQLite]:
    store = SQLite(path, now)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "probes.sqlite"


def record(at: float, keep: float = 1e9, **more: Any) -> Entry:
    return Entry("events", at, f"id-{at}", {"at": at, **more}, keep)


def script(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


async def test_everything_is_there_after_a_restart(path: Path) -> None:
    async with opened(path) as store:
        await store.write("a", {"n": 1}, 0)
        await store.append([record(1.0)])
    async with opened(path) as store:
        assert await store.read("a") == ({"n": 1}, 1)
        assert await store.since("events", 0) == [{"at": 1.0}]


async def test_waiting_writes_share_transactions(path: Path) -> None:
    async with opened(path) as store:
        commits: list[str] = []
        await store.read("a")
        store._tables.database.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        await asyncio.gather(*(store.write(f"key/{n}", n, 0) for n in range(1000)))
        assert len(commits) < 20
        assert len(await store.find("key/")) == 1000


async def test_a_conflict_or_an_impossible_value_in_a_shared_transaction_is_only_its_own_affair(path: Path) -> None:
    async with opened(path) as store:
        await store.write("a", 1, 0)
        outcomes = await asyncio.gather(
            store.write("b", 1, 0),
            store.write("a", 2, 7),
            store.write("\ud800", 1, 0),  # a lone surrogate has no UTF-8
            store.write("c", 1, 0),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), Conflict, UnicodeEncodeError, type(None)]
        assert set(await store.find("")) == {"a", "b", "c"}


async def test_a_cancelled_wait_harms_nobody(path: Path) -> None:
    async with opened(path) as store:
        tasks = [asyncio.create_task(store.write(f"key/{n}", n, 0)) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[1::2] == [None] * 10
        assert set(await store.find("key/")) >= {f"key/{n}" for n in range(1, 20, 2)}


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    code = f"""
        import asyncio
        from pathlib import Path
        from probes.local.store import SQLite
        from probes.ports import Entry
        async def main():
            store = SQLite(Path({str(path)!r}))
            async def one(n):
                await store.write(f"key/{{n}}", n, 0)
                await store.append([Entry("events", float(n), str(n), {{"n": n}}, 1e9)])
                print(n, flush=True)
            for n in range(0, 100000, 5):
                await asyncio.gather(*(one(n + k) for k in range(5)))
        asyncio.run(main())
    """
    acknowledged: list[int] = []
    for _ in range(2):
        path.unlink(missing_ok=True)
        with subprocess.Popen(script(code), stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            acknowledged = [int(child.stdout.readline()) for _ in range(200)]
            os.kill(child.pid, signal.SIGKILL)
            acknowledged += [int(line) for line in child.stdout.read().split()]
        reader = ReadOnly(path)  # also straight after the kill, before any writer recovered the log
        assert {f"key/{n}" for n in acknowledged} <= set(await reader.find("key/"))
        await reader.close()
        async with opened(path) as store:
            assert {n["n"] for n in await store.since("events", 0)} >= set(acknowledged)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)


async def test_records_are_kept_as_long_as_they_say(path: Path) -> None:
    clock = [0.0]
    async with opened(path, lambda: clock[0]) as store:
        await store.append([record(1.0, keep=10), record(2.0, keep=100), record(3.0, keep=10)])
        clock[0] = 12.0
        store._next_prune = 0.0
        assert [r["at"] for r in await store.since("events", 0)] == [2.0, 3.0]
        await store.append([record(4.0, keep=1)])
        assert len(await store.since("events", 0)) == 3, "pruning waits for its next turn"


async def test_much_is_pruned_in_portions(path: Path) -> None:
    async with opened(path, lambda: 1000.0) as store:
        store._next_prune = float("inf")
        await store.append([record(n / 100, keep=0) for n in range(5000)])
        store._next_prune = 0.0
        assert len(await store.since("events", 0)) == 3000
        assert len(await store.since("events", 0)) == 1000
        assert len(await store.since("events", 0)) == 0


async def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    database.close()
    for opener in (SQLite, ReadOnly):
        with pytest.raises(Refused, match=f"newer version of Probes \\(schema {SCHEMA + 1}"):
            opener(path)
    assert list(path.parent.iterdir()) == [path]


async def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be opened"):
        SQLite(tmp_path / "absent" / "probes.sqlite")


def scribble(path: Path, start: int, text: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(text)


async def filled(path: Path) -> None:
    async with opened(path) as store:
        await store.write("incident/quote", {"id": "quote/2026-02-03T04:06:00Z"}, 0)
        await store.append([record(float(n), text="x" * 500) for n in range(500)])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "no SQLite at all": lambda path: path.write_bytes(b"something else " * 1000) and None,
    "header": lambda path: scribble(path, 0, b"\0" * 100),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "pages in the middle": lambda path: scribble(path, 40 * 4096, os.urandom(20 * 4096)),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_file_is_put_aside_loudly_and_monitoring_goes_on(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    DAMAGE[damage](path)
    async with opened(path) as store:
        aside = [p for p in path.parent.iterdir() if ".corrupt-" in p.name]
        assert len([p for p in aside if not p.name.endswith(("-wal", "-shm"))]) == 1
        assert f"{path} is damaged" in caplog.text
        assert max(r.levelno for r in caplog.records) == logging.ERROR
        if damage in ("truncated", "pages in the middle"):
            assert await store.read("incident/quote") == ({"id": "quote/2026-02-03T04:06:00Z"}, 1), "open incidents keep their ids"
        await store.write("new", 1, 0)
        await store.append([record(9999.0)])
        assert await store.since("events", 9999.0) == [{"at": 9999.0}]
    async with opened(path) as store:
        assert await store.read("new") == (1, 1)


async def test_an_emptied_file_is_said_aloud(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await filled(path)
    os.truncate(path, 0)
    async with opened(path) as store:
        await store.write("new", 1, 0)
    assert "was empty" in caplog.text


async def test_damage_found_while_running_is_survived_without_a_restart(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await filled(path)
    async with opened(path) as store:
        await store.read("incident/quote")
        store._tables.database.execute("PRAGMA cache_size = 0")
        scribble(path, 10 * 4096, os.urandom(path.stat().st_size - 10 * 4096))
        assert await store.since("events", 0) == []
        await store.append([record(9999.0)])
        assert await store.since("events", 0) == [{"at": 9999.0}]
        assert await store.read("incident/quote") == ({"id": "quote/2026-02-03T04:06:00Z"}, 1)
    assert "put aside as" in caplog.text


FULL = """
    import asyncio, json, os, sys, time
    from pathlib import Path
    from probes.local import store as module
    from probes.ports import Conflict, Entry
    folder = Path(sys.argv[1])
    module.RETRY = 0.2
    async def main():
        store = module.SQLite(folder / "probes.sqlite")
        await store.write("incident", {"n": 0}, 0)
        await store.append([Entry("events", -1.0, "first", {"n": -1}, 1e12)])
        filler = (folder / "filler").open("wb", buffering=0)
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass
        trouble = []
        for n in range(300):
            value, version = await store.read("incident")
            await store.write("incident", {"n": value["n"] + 1}, version)
            await store.append([Entry("events", float(n), str(n), {"n": n, "text": "x" * 5000}, 1e12)])
            trouble.append(store.trouble)
        try:
            await store.write("incident", {}, 3)
            conflict = False
        except Conflict:
            conflict = True
        during = len(await store.since("events", -2.0)), len(await store.since("events", 0, 10)), (await store.read("incident"))
        filler.truncate(0)
        for _ in range(200):
            await asyncio.sleep(0.05)
            await store.read("incident")
            if store.trouble is None:
                break
        await store.append([Entry("events", 1e6, "last", {"n": 1000000}, 1e12)])
        await store.close()
        again = module.SQLite(folder / "probes.sqlite")
        after = [r["n"] for r in await again.since("events", -2.0)], await again.read("incident")
        await again.close()
        print(json.dumps({"trouble": trouble[-1], "conflict": conflict, "during": during, "after": after}))
    asyncio.run(main())
"""


def test_a_full_disk_is_survived_in_memory_and_left_without_a_restart(tmp_path: Path) -> None:
    inside = ["sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', str(tmp_path), *script(FULL), str(tmp_path)]
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a small disk of our own needs user namespaces (unshare -rm)")
    done = subprocess.run(["unshare", "-rm", *inside], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "cannot be written (database or disk is full)" in seen["trouble"]
    assert seen["conflict"], "versions hold in memory too"
    assert seen["during"] == [301, 10, [{"n": 300}, 301]]
    assert seen["after"] == [[-1, *range(300), 1000000], [{"n": 300}, 301]]


async def test_a_lock_held_by_another_program_does_not_stop_us(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", 0.0)
    async with opened(path) as store:
        await store.write("a", 1, 0)
        store._tables.database.execute("PRAGMA busy_timeout = 1")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await store.write("a", 2, 1)
        assert store.trouble is not None
        assert "locked" in store.trouble
        assert await store.read("a") == (2, 2)
        other.execute("ROLLBACK")
        other.close()
        await store.write("a", 3, 2)
        assert store.trouble is None
        reader = ReadOnly(path)
        assert await reader.read("a") == (3, 3)
        await reader.close()


async def test_a_reader_of_another_process_follows_and_never_writes(path: Path) -> None:
    with pytest.raises(Refused, match="nothing has run here yet"):
        ReadOnly(path)
    async with opened(path) as store:
        await store.write("a", 1, 0)
        reader = ReadOnly(path)
        assert await reader.read("a") == (1, 1)
        await store.write("a", 2, 1)
        await store.append([record(1.0)])
        assert await reader.read("a") == (2, 2)
        assert await reader.find("") == {"a": (2, 2)}
        assert await reader.since("events", 0) == [{"at": 1.0}]
        with pytest.raises(io.UnsupportedOperation):
            await reader.write("a", 3, 2)
        with pytest.raises(io.UnsupportedOperation):
            await reader.append([record(2.0)])
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._tables.database.execute("DELETE FROM documents")
        await reader.close()
    reader = ReadOnly(path)
    assert await reader.read("a") == (2, 2)
    await reader.close()
    path.write_bytes(b"not a database " * 999)
    with pytest.raises(Refused, match="cannot be read"):
        ReadOnly(path)


async def test_the_file_is_for_its_owner_only(path: Path) -> None:
    async with opened(path) as store:
        await store.write("a", 1, 0)
        assert {p.stat().st_mode & 0o777 for p in path.parent.iterdir()} == {0o600}
