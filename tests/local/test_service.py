"""``probes up`` with real parts: it runs, follows the file, survives what is wrong with it, and ends well."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from probes.core.diagnostics import Rejected
from probes.local import Refused
from probes.local.folder import Folder
from probes.local.service import Service
from probes.local.store import ReadOnly
from tests.local.parts import Target, eventually, running

HEAD = "version: 1\nservice: shop\nroutes: [{notify: [console]}]\ndefaults: {every: 1s, timeout: 500ms}\nchecks:\n"


def check(name: str, target: Target, more: str = "") -> str:
    return f'  {name}: {{http: "GET {target.url}/{name}"{more}}}\n'


@asynccontextmanager
async def up(path: Path, **more: Any) -> AsyncIterator[Service]:
    service = Service(path, port=0, **more)
    task = asyncio.create_task(service.run())
    ready = asyncio.create_task(service.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        await task
    try:
        yield service
    finally:
        begun = time.monotonic()
        service.stop()
        await task
        assert time.monotonic() - begun < 5


async def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := holds()):
            await asyncio.sleep(0.02)
    return found


async def history(service: Service, name: str) -> list[dict[str, Any]]:
    return await service.world.store.since(f"runs/{name}", 0)


async def events(service: Service, what: str) -> list[dict[str, Any]]:
    return [event["detail"] for event in await service.world.store.since("events", 0) if event["detail-type"] == what]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checks.yaml"


async def test_it_runs_checks_keeps_their_history_tells_what_changed_and_shows_a_page(path: Path) -> None:
    with Target() as target:
        path.write_text(HEAD + check("quote", target) + "  beat: {heartbeat: {grace: 1m}, every: 1m}\n")
        async with up(path) as service:
            names = service.changes()
            assert await asyncio.wait_for(anext(names), 10) == "runs/quote"
            runs = await history(service, "quote")
            assert runs[0]["outcome"] == "passed"
            assert runs[0]["run"].startswith("quote@here/")
            async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
                page = await client.get("/")
                assert page.status_code == 200
                assert "quote" in page.text
            note = Folder(path.parent / ".probes").running()
            assert note is not None
            assert (note.port, note.token, note.pid) == (service.port, service.token, os.getpid())
            assert await history(service, "beat") == [], "a heartbeat is waited for, not run"
            reader = ReadOnly(path.parent / ".probes" / "probes.sqlite")
            assert (await reader.since("runs/quote", 0, 1))[0]["check"] == "quote"
            await reader.close()
        async with asyncio.timeout(5):
            assert [name async for name in names if not name.startswith(("runs/", "plan", "incidents"))] == []
        assert Folder(path.parent / ".probes").running() is None


async def test_a_save_takes_effect_also_of_an_included_file(path: Path) -> None:
    (path.parent / "teams").mkdir()
    with Target() as target:
        path.write_text("include: [teams/*.yaml]\n" + HEAD + check("one", target) + check("two", target))
        team = path.parent / "teams" / "a.yaml"
        team.write_text("checks:\n" + check("three", target))
        async with up(path) as service:
            assert set(service.plan.checks) == {"one", "two", "three"}
            team.write_text("checks:\n" + check("three", target, ", timeout: 600ms") + check("four", target))
            await until(lambda: "four" in service.plan.checks)
            (path.parent / "teams" / "b.yaml").write_text("checks:\n" + check("five", target))
            await until(lambda: "five" in service.plan.checks)
            path.write_text("include: [teams/*.yaml]\n" + HEAD + check("one", target))
            told = await applied(service, 4)
            assert [(one["created"], one["changed"], one["deleted"]) for one in told] == [
                (["one", "three", "two"], [], []),
                (["four"], ["three"], []),
                (["five"], [], []),
                ([], [], ["two"]),
            ]
            assert told[-1]["plan"] == service.plan.digest
            path.write_text("# a comment changes nothing\n" + path.read_text())
            seen = target.seen
            await until(lambda: target.seen > seen + 6)
            assert len(await events(service, "Plan Applied")) == 4
            assert [run["at"] for run in await history(service, "five")]


async def test_a_rejected_file_is_shown_and_the_last_good_plan_goes_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Target() as target:
        good = HEAD + check("quote", target)
        path.write_text(good)
        async with up(path) as service:
            digest = service.plan.digest
            path.write_text(good.replace("http:", "htp:"))
            await until(lambda: service.rejected)
            path.write_text("# the same mistake\n" + path.read_text())
            await until(lambda: service.rejected and service.rejected[0].line == 7)
            known, text = service._files._known, path.read_text()
            path.write_text(text)
            await until(lambda: service._files._known != known)  # read again, and nothing new to tell
            path.unlink()
            await until(lambda: service.rejected and "there is no file" in service.rejected[0].message)
            seen = target.seen
            await until(lambda: target.seen >= seen + 3)
            assert service.plan.digest == digest
            rejections = await events(service, "Plan Rejected")
            assert [(one["plan"], one["problems"][0]["line"]) for one in rejections] == [(digest, 6), (digest, 7), (digest, 1)]
            assert f"{path}:6:" in caplog.text
            assert "did you mean `http`" in caplog.text
            path.write_text(good)
            await until(lambda: not service.rejected)
            assert len(await events(service, "Plan Applied")) == 1, "nothing changed in the end"
            times = [run["at"] for run in await history(service, "quote")]
            assert len(times) == len(set(times))


async def test_a_start_beside_a_broken_file_goes_on_with_the_last_good_plan(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Target() as target:
        path.write_text("checks: nonsense")
        with pytest.raises(Rejected):
            async with up(path):
                pass
        path.write_text(HEAD + check("quote", target))
        async with up(path) as service:
            digest = service.plan.digest
        path.write_text("checks: nonsense")
        async with up(path) as service:
            assert service.plan.digest == digest
            assert service.rejected
            assert "the last good configuration goes on" in caplog.text
            seen = target.seen
            await until(lambda: target.seen > seen)
            assert len(await events(service, "Plan Rejected")) == 1


async def test_a_restart_does_not_look_again_at_what_was_just_seen(path: Path) -> None:
    with Target() as target:
        path.write_text(HEAD.replace("1s", "1h") + check("quote", target))
        for _ in range(2):
            async with up(path):
                await until(lambda: target.seen)
                await asyncio.sleep(0.3)
                seen = target.seen
        assert seen == 1
        assert len(await events_of(path)) == 1, "and the same plan is not told again"


async def applied(service: Service, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while len(told := await events(service, "Plan Applied")) < count:
            await asyncio.sleep(0.02)
    return told


async def events_of(path: Path) -> list[Any]:
    reader = ReadOnly(path.parent / ".probes" / "probes.sqlite")
    try:
        return [event for event in await reader.since("events", 0) if event["detail-type"] == "Plan Applied"]
    finally:
        await reader.close()


async def test_a_new_secret_in_dotenv_is_used_after_a_save(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_WORD", raising=False)
    with Target() as target:
        path.write_text(
            HEAD.replace("checks:", "secrets: {WORD: env:SHOP_WORD}\nchecks:")
            + f'  quote: {{http: {{url: "{target.url}/", method: POST, json: {{word: "${{{{ secret.WORD }}}}"}}, '
            + 'headers: {webhook-id: "1"}}}\n'
        )
        async with up(path) as service:
            (path.parent / ".env").write_text("SHOP_WORD=open-sesame\n")
            await until(lambda: target.messages)
            (path.parent / ".env").write_text("SHOP_WORD=changed\n")
            await until(lambda: target.messages[-1][1]["word"] == "changed")
            runs = await history(service, "quote")
            assert {run["fault"] for run in runs} <= {None, "probe.secret"}
            assert "open-sesame" not in str(runs)


async def test_a_defect_in_one_part_is_told_and_stops_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Target() as target:
        path.write_text(HEAD + check("quote", target))
        async with up(path) as service:
            whole, broken = service._schedule._start, list[float]()

            def once(now: float) -> None:
                if not broken:
                    broken.append(now)
                    raise RuntimeError("a defect of ours, once")
                whole(now)

            monkeypatch.setattr(service._schedule, "_start", once)
            await until(lambda: broken)
            seen = target.seen
            await until(lambda: target.seen >= seen + 2)
            assert "a defect of ours, once" in caplog.text


async def test_a_port_that_is_taken_is_refused_before_anything_runs(path: Path) -> None:
    with Target() as target, socket.create_server(("127.0.0.1", 0)) as taken:
        path.write_text(HEAD + check("quote", target))
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"127.0.0.1:{port} cannot be used .* choose another with --port"):
            await Service(path, port=port).run()
        with pytest.raises(Refused, match=r"--host no\.such\.host"):
            await Service(path, host="no.such.host.invalid", port=0).run()
        assert target.seen == 0


def test_sigterm_with_a_hundred_hanging_probes_ends_within_five_seconds_and_nothing_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "checks.yaml"
    with socket.create_server(("127.0.0.1", 0), backlog=256) as hanging:  # the kernel connects, nobody answers
        place = f"127.0.0.1:{hanging.getsockname()[1]}"
        checks = "".join(f'  check-{n}: {{http: "GET http://{place}/"}}\n' for n in range(100))
        path.write_text(HEAD.replace("every: 1s, timeout: 500ms", "every: 1m, timeout: 30s") + checks)
        with running(path) as process:
            process.up()
            hanging.setblocking(False)
            waiting: list[socket.socket] = []

            def connected() -> bool:
                try:
                    while True:
                        waiting.append(hanging.accept()[0])
                except BlockingIOError:
                    return len(waiting) >= 100

            eventually(connected)
            took = process.end(signal.SIGTERM)
            for one in waiting:
                one.close()
    assert took < 5
    assert process.child.returncode == 0, process.talk()
    assert "Traceback" not in process.talk()

    async def runs() -> int:
        reader = ReadOnly(tmp_path / ".probes" / "probes.sqlite")
        try:
            return sum([len(await reader.since(f"runs/check-{n}", 0)) for n in range(100)])
        finally:
            await reader.close()

    assert asyncio.run(runs()) == 0, "a cancelled probe has seen nothing"


@pytest.mark.long
def test_stopped_for_forty_seconds_there_is_one_gap_and_no_false_alarm(tmp_path: Path) -> None:
    path = tmp_path / "checks.yaml"
    with Target() as target:
        path.write_text(HEAD + check("quote", target))
        with running(path) as process:
            process.up()
            eventually(lambda: target.seen >= 3)
            process.child.send_signal(signal.SIGSTOP)
            time.sleep(40)
            process.child.send_signal(signal.SIGCONT)
            seen = target.seen
            eventually(lambda: target.seen >= seen + 8)
            assert process.end(signal.SIGTERM) < 5
    assert process.talk().count("nothing ran from") == 1

    async def told() -> list[str]:
        reader = ReadOnly(tmp_path / ".probes" / "probes.sqlite")
        try:
            return [event["detail-type"] for event in await reader.since("events", 0)]
        finally:
            await reader.close()

    assert set(asyncio.run(told())) == {"Plan Applied", "Location Status Changed", "Check Status Changed"}
