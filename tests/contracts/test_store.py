"""The contract of the Store port: one suite, run against every adapter, so that two worlds cannot disagree."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probes.local.store import SQLite
from probes.ports import Conflict, Entry, Store
from tests.worlds import MemoryStore

FOREVER = 10.0 * 365 * 86400


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        sqlite = SQLite(tmp_path / "probes.sqlite")
        yield sqlite
        await sqlite.close()


def entry(at: float, key: str = "", log: str = "events", **record: Any) -> Entry:
    return Entry(log, at, key or f"id-{at}", record or {"at": at}, FOREVER)


async def test_a_document_that_is_not_there_is_none_at_version_0(store: Store) -> None:
    assert await store.read("state/quote") == (None, 0)


async def test_a_document_is_created_changed_and_deleted_one_version_at_a_time(store: Store) -> None:
    await store.write("state/quote", {"status": "up"}, 0)
    assert await store.read("state/quote") == ({"status": "up"}, 1)
    await store.write("state/quote", {"status": "down"}, 1)
    assert await store.read("state/quote") == ({"status": "down"}, 2)
    await store.write("state/quote", None, 2)
    assert await store.read("state/quote") == (None, 0)


@pytest.mark.parametrize(("version", "value"), [(0, {}), (1, {}), (3, {}), (0, None), (1, None), (3, None)])
async def test_a_write_at_another_version_is_a_conflict_and_changes_nothing(store: Store, version: int, value: Any) -> None:
    await store.write("key", "first", 0)
    await store.write("key", "second", 1)
    with pytest.raises(Conflict):
        await store.write("key", value, version)
    assert await store.read("key") == ("second", 2)


async def test_changing_or_deleting_what_is_gone_is_a_conflict(store: Store) -> None:
    for value in ("late", None):
        with pytest.raises(Conflict):
            await store.write("key", value, 1)
    await store.write("key", None, 0)  # nothing was there, nothing is
    assert await store.read("key") == (None, 0)


async def test_of_many_writers_at_one_version_exactly_one_wins(store: Store) -> None:
    await store.write("key", 0, 0)
    outcomes = await asyncio.gather(*(store.write("key", n, 1) for n in range(20)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19
    assert await store.read("key") == (outcomes.index(None), 2)


async def test_a_counter_raised_by_many_loses_no_count(store: Store) -> None:
    async def raise_by(times: int) -> None:
        for _ in range(times):
            while True:
                value, version = await store.read("count")
                try:
                    await store.write("count", (value or 0) + 1, version)
                    break
                except Conflict:
                    await asyncio.sleep(0)

    await asyncio.gather(*(raise_by(5) for _ in range(8)))
    assert await store.read("count") == (40, 40)


async def test_what_was_read_is_a_copy(store: Store) -> None:
    mine: dict[str, Any] = {"list": [1]}
    await store.write("key", mine, 0)
    mine["list"].append(2)
    (await store.read("key"))[0]["list"].append(3)
    (await store.find("key"))["key"][0]["list"].append(4)
    assert await store.read("key") == ({"list": [1]}, 1)


async def test_find_takes_a_prefix_literally_and_in_key_order(store: Store) -> None:
    for key in ("state/b", "state/a", "state/a_b", "state/é", "state", "states/x", "state%x", "other"):
        await store.write(key, key, 0)
    assert list((await store.find("state/")).items()) == [(k, (k, 1)) for k in ("state/a", "state/a_b", "state/b", "state/é")]
    assert set(await store.find("state%")) == {"state%x"}
    assert set(await store.find("state_")) == set()
    assert len(await store.find("")) == 8
    await store.write("state/a", None, 1)
    assert "state/a" not in await store.find("state/")


async def test_a_log_is_read_oldest_first_from_a_time_on(store: Store) -> None:
    await store.append([entry(3.0), entry(1.0), entry(2.5, log="other"), entry(2.0)])
    assert await store.since("events", 0) == [{"at": 1.0}, {"at": 2.0}, {"at": 3.0}]
    assert await store.since("events", 2.0) == [{"at": 2.0}, {"at": 3.0}]
    assert await store.since("events", 3.1) == []
    assert await store.since("nothing", 0) == []


async def test_records_of_one_time_are_in_order_of_their_ids(store: Store) -> None:
    await store.append([entry(1.0, "b", n=2), entry(1.0, "a", n=1), entry(1.0, "c", n=3)])
    assert [record["n"] for record in await store.since("events", 1.0)] == [1, 2, 3]
    assert [record["n"] for record in await store.since("events", 1.0, limit=2)] == [2, 3]


async def test_with_a_limit_the_newest_come_oldest_first(store: Store) -> None:
    await store.append([entry(float(n)) for n in range(10)])
    assert await store.since("events", 0, limit=3) == [{"at": 7.0}, {"at": 8.0}, {"at": 9.0}]
    assert await store.since("events", 9.0, limit=3) == [{"at": 9.0}]
    assert len(await store.since("events", 0, limit=100)) == 10


async def test_twice_is_once_and_the_first_record_stays(store: Store) -> None:
    await store.append([entry(1.0, "a", n=1), entry(1.0, "a", n=2)])
    await store.append([entry(1.0, "a", n=3), entry(2.0, "a", n=4), entry(1.0, "b", n=5), entry(1.0, "a", log="other", n=6)])
    assert [record["n"] for record in await store.since("events", 0)] == [1, 5, 4]


async def test_appending_nothing_is_nothing(store: Store) -> None:
    await store.append([])
    assert await store.since("events", 0) == []


async def test_documents_and_logs_of_one_name_are_apart(store: Store) -> None:
    await store.write("events", {"a": 1}, 0)
    await store.append([entry(1.0)])
    assert await store.find("events") == {"events": ({"a": 1}, 1)}
    assert await store.since("events", 0) == [{"at": 1.0}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values.filter(lambda value: value is not None), record=st.dictionaries(st.text(), json_values, max_size=4))
async def test_json_comes_back_as_it_went(store: Store, value: Any, record: dict[str, Any]) -> None:
    _, version = await store.read("key")
    await store.write("key", value, version)
    assert (await store.read("key"))[0] == value
    await store.append([Entry("log", float(version), "id", record, FOREVER)])
    assert (await store.since("log", 0, limit=1)) == [record]
