"""``script`` with real functions in real processes: what comes back, what is kept apart, and that nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from probes.core import expression
from probes.core.check import Check, Confirm, Retries
from probes.core.compile import compile
from probes.core.diagnostics import Rejected
from probes.core.judge import judge
from probes.core.result import Observation, Run
from probes.core.spec import load
from probes.kinds import KINDS
from probes.kinds.script import Target
from tests.kinds.looking import see, tidy
from tests.kinds.test_dns import kind_of

KIND = KINDS["script"]


async def call(folder: Path, body: str, timeout: float = 20.0, **given: Any) -> Observation:
    """What is seen of a function ``look(context)`` of that body."""
    (folder / "checks").mkdir(exist_ok=True)
    (folder / "checks" / "own.py").write_text("def look(context):\n" + textwrap.indent(textwrap.dedent(body), "    "))
    return await see("script", {"function": "checks/own.py:look", "with": given}, timeout, base=str(folder))


def outcome(seen: Observation, *must: str) -> str:
    check = Check("c", "c", "script", {}, must or KIND.must, (), 60, 10, Retries(), ("here",), Confirm())
    return judge(check, Run("c", "here", 0), seen).outcome


async def test_what_a_function_returns_are_facts(tmp_path: Path) -> None:
    async with tidy():
        seen = await call(
            tmp_path,
            """
            import time
            print("hello", context["with"]["user"])
            time.sleep(0.05)
            return {"total": 3, "items": [{"name": "x"}], "given": context}
            """,
            user="probe",
            password="s3cret",
        )
    assert seen.fault is None
    facts = seen.facts
    assert (facts["error"], facts["exit_code"], facts["output"]) == (None, 0, "hello probe\n")
    assert facts["value"]["total"] == 3
    given = facts["value"]["given"]
    assert (given["run"], given["location"], given["with"]) == ("test@here/now", "here", {"user": "probe", "password": "s3cret"})
    assert 0 < given["timeout"] <= 20
    assert 0.05 <= facts["took"] == seen.latency == seen.phases["wait"] < facts["total"] == pytest.approx(seen.total)
    assert set(facts) <= set(KIND.facts)
    assert outcome(seen) == "passed"
    assert outcome(seen, "value.total == 3", 'value.items[0].name == "x"', "took < 10s", 'output contains "hello"') == "passed"
    assert outcome(seen, "value.total > 3") == "failed"


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        ("return None", None, 0),
        ("raise RuntimeError('no order: ' + 'x' * 1000)", "RuntimeError: no order: xxx", 1),
        ("raise SystemExit(3)", "exit code 3", 3),
        ("raise SystemExit(0)", None, 0),
        ("raise SystemExit('gone')", "exit code 1", 1),
        ("return 5", "int, not a dict", 1),
        ("return {1: 2}", "dict, not a dict of facts", 1),
        ("return {'a': float('nan')}", "not JSON", 1),
        ("return {'a': object()}", "not JSON", 1),
        ("return {'a': 'x' * 70000}", "the limit is 64 KB", 1),
        ("a = []\nfor _ in range(100000): a = [a]\nreturn {'a': a}", "not JSON", 1),
        ("import os; os._exit(7)", "exit code 7 before the function returned", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV", -signal.SIGSEGV),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
    ],
)
async def test_how_a_function_may_end(tmp_path: Path, body: str, error: str | None, code: int) -> None:
    seen = await call(tmp_path, body)
    assert seen.fault is None
    if error is None:
        assert seen.facts["error"] is None
    else:
        assert error in seen.facts["error"]
        assert len(seen.facts["error"]) <= 300
    assert seen.facts["exit_code"] == code
    assert seen.facts["value"] == {}
    assert outcome(seen) == ("passed" if error is None else "failed")


async def test_the_trace_is_of_the_user_s_own_code(tmp_path: Path) -> None:
    trace = (await call(tmp_path, "return 1 / 0")).evidence["traceback"]
    assert "ZeroDivisionError" in trace
    assert "own.py" in trace
    assert "_child.py" not in trace


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def other(context): pass", "own.py has no function look"),
        ("look = 5", "own.py has no function look"),
        ("def look(context:", "SyntaxError"),
        ("import nothing_like_this", "No module named"),
        ("async def look(context):\n    import asyncio\n    await asyncio.sleep(0)\n    return {'a': 1}", None),
        ("from helper import answer\ndef look(context): return {'a': answer}", None),
        ("import httpx\ndef look(context): return {'a': 1}", None),  # what is installed beside us is there
    ],
)
async def test_the_file(tmp_path: Path, text: str, error: str | None) -> None:
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "helper.py").write_text("answer = 1")
    seen = await see("script", "own.py:look", base=str(tmp_path), timeout=20)
    if error is None:
        assert (seen.facts["error"], seen.facts["value"]) == (None, {"a": 1})
    else:
        assert error in seen.facts["error"]


async def test_a_file_that_is_missing_or_elsewhere_is_trouble_of_ours(tmp_path: Path) -> None:
    assert kind_of(await see("script", "own.py:look", base=str(tmp_path))) == "probe.internal"
    (tmp_path / "inner").mkdir()
    (tmp_path / "own.py").write_text("def look(context): open('harm', 'w')")
    (tmp_path / "inner" / "link.py").symlink_to(tmp_path / "own.py")
    seen = await see("script", "link.py:look", base=str(tmp_path / "inner"))
    assert kind_of(seen) == "probe.internal"
    assert seen.fault is not None
    assert "out of the folder" in seen.fault.because


async def test_it_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBES_SECRET", "s3cret")
    held = open(tmp_path / "held", "w")  # noqa: SIM115  # a descriptor of ours
    os.set_inheritable(held.fileno(), True)
    seen = await call(
        tmp_path,
        """
        import os, resource, sys
        open("left", "w").write("x")
        names = ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE")
        limits = {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in names}
        descriptors = []
        for number in range(64):
            try:
                descriptors.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                pass
        return {
            "environment": dict(os.environ), "stdin": sys.stdin.read(), "cwd": os.getcwd(), "files": os.listdir(),
            "session": os.getsid(0) == os.getpid() == os.getpgid(0), "limits": limits, "isolated": sys.flags.isolated,
            "argv": sys.argv, "descriptors": descriptors, "modules": [m for m in sys.modules if m.startswith("probes")],
            "path": sys.path,
        }
        """,
        timeout=10,
        password="s3cret",
    )
    held.close()
    value = seen.facts["value"]
    assert set(value["environment"]) <= {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE"}
    assert "s3cret" not in json.dumps([value["environment"], value["argv"]])
    assert (value["stdin"], value["files"], value["session"], value["isolated"], value["modules"]) == ("", ["left"], True, 1, [])
    assert not os.path.exists(value["cwd"])
    assert str(tmp_path) not in value["cwd"]
    assert value["path"][-1] == str(tmp_path / "checks")
    assert value["limits"]["AS"] == [1 << 30, 1 << 30]
    assert value["limits"]["CPU"] == [11, 11]
    assert value["limits"]["CORE"] == [0, 0]
    assert value["limits"]["FSIZE"] == [16 << 20, 16 << 20]
    assert value["limits"]["NOFILE"][0] <= 256
    assert value["limits"]["NPROC"][0] < 100_000
    if sys.platform == "linux":
        assert not [path for path in value["descriptors"] if "held" in path]
        assert len(value["descriptors"]) <= 5


async def test_too_much_memory_and_too_large_a_file_are_errors_of_the_script(tmp_path: Path) -> None:
    assert "MemoryError" in (await call(tmp_path, "x = bytearray(2 << 30)")).facts["error"]
    written = await call(tmp_path, "with open('big', 'wb') as file:\n    for _ in range(20): file.write(bytes(1 << 20))")
    assert "File too large" in written.facts["error"] or "SIGXFSZ" in written.facts["error"]


async def test_output_is_capped_and_never_blocks(tmp_path: Path) -> None:
    seen = await call(
        tmp_path, "import sys\nfor _ in range(2000): print('x' * 999)\nprint('end', file=sys.stderr)\nreturn {'a': 1}"
    )
    assert (seen.facts["error"], seen.facts["value"]) == (None, {"a": 1})
    assert len(seen.facts["output"]) == 65536


async def test_much_may_be_given(tmp_path: Path) -> None:
    seen = await call(tmp_path, "return {'n': len(context['with']['text'])}", text="x" * 900_000)
    assert seen.facts["value"] == {"n": 900_000}


async def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":  # somebody else's to bury
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        await asyncio.sleep(0.01)
    return False


FORK = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    time.sleep(60)
open(context["with"]["to"], "w").write(str(pid))
print("going", flush=True)
"""


@pytest.mark.parametrize(
    "rest", ["time.sleep(60)", "while True: pass", "while True: print('x' * 1000)", "os.close(1); os.close(2); time.sleep(60)"]
)
async def test_a_script_that_does_not_end_is_killed_with_its_children(tmp_path: Path, rest: str) -> None:
    descriptors = len(os.listdir("/dev/fd"))
    started = time.monotonic()
    async with tidy():
        seen = await call(tmp_path, FORK + rest, timeout=1.5, to=str(tmp_path / "pid"))
    assert time.monotonic() - started < 2.5
    assert kind_of(seen) == "timeout.response"
    assert seen.fault is not None
    assert "within 1.5s" in seen.fault.because
    assert seen.facts["output"].startswith("going")
    assert "error" not in seen.facts  # so that no assertion takes silence for success
    assert seen.latency is None
    assert await gone(int((tmp_path / "pid").read_text()))
    assert len(os.listdir("/dev/fd")) == descriptors


async def test_children_that_it_leaves_behind_are_killed_too(tmp_path: Path) -> None:
    seen = await call(tmp_path, FORK + "return {'a': 1}", to=str(tmp_path / "pid"))
    assert seen.facts["value"] == {"a": 1}
    assert seen.total < 15
    assert await gone(int((tmp_path / "pid").read_text()))


async def test_cancelled_looks_leave_nothing(tmp_path: Path) -> None:
    await call(tmp_path, "import time\ntime.sleep(60)", timeout=0.2)  # whose threads stay
    descriptors = len(os.listdir("/dev/fd"))
    async with tidy():
        looks = [asyncio.create_task(call(tmp_path, FORK + "time.sleep(60)", to=str(tmp_path / f"pid{n}"))) for n in range(6)]
        while len(list(tmp_path.glob("pid*"))) < min(6, 2 * (os.cpu_count() or 1)):
            await asyncio.sleep(0.02)
        for look in looks:
            look.cancel()
        ends = await asyncio.gather(*looks, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}
    for path in tmp_path.glob("pid*"):
        assert await gone(int(path.read_text() or 0))
    assert len(os.listdir("/dev/fd")) == descriptors


async def test_too_many_at_once_is_trouble_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.kinds.script._TOGETHER", 1)
    slow = asyncio.create_task(call(tmp_path, "import time\ntime.sleep(60)", timeout=3))
    await asyncio.sleep(0.1)
    waited = await call(tmp_path, "import time\ntime.sleep(60)", timeout=0.5)
    assert kind_of(waited) == "probe.overloaded"
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert (await call(tmp_path, "return {'a': 1}")).facts["value"] == {"a": 1}


# The shape, and the switch

TEXT = """
version: 1
secrets: {PASSWORD: env:PASSWORD}
checks:
  login: {script: {function: checks/login.py:login, with: {password: "${{ secret.PASSWORD }}", run: "${{ run.id }}"}}}
"""


def test_it_is_off_until_the_file_says_so() -> None:
    with pytest.raises(Rejected) as rejected:
        load(TEXT, KINDS)
    assert [(p.code, p.line) for p in rejected.value.problems if p.severity == "error"] == [("not-allowed", 5)]
    check = compile(load("scripts: allowed\n" + TEXT, KINDS)).checks["login"]
    assert check.target["with"] == {"password": "${{ secret.PASSWORD }}", "run": "${{ run.id }}"}
    assert check.must == ("error == null",)
    for word in ("true", "yes", "Allowed", "[allowed]", "null"):
        with pytest.raises(Rejected):
            load(f"scripts: {word}\n" + TEXT, KINDS)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"function": "login"}, "value"),
        ({"function": "login.py"}, "value"),
        ({"function": "login.sh:login"}, "value"),
        ({"function": "/etc/login.py:login"}, "value"),
        ({"function": "../login.py:login"}, "value"),
        ({"function": "a/../../login.py:login"}, "value"),
        ({"function": "~/login.py:login"}, "value"),
        ({"function": "login.py:1"}, "value"),
        ({"function": "login.py:a", "given": {}}, "extra_forbidden"),
        ({"with": {}}, "missing"),
    ],
)
def test_what_is_refused_at_load(data: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as error:
        Target.model_validate(data)
    assert [problem["type"] for problem in error.value.errors()] == [code]


def test_assertions_are_typed() -> None:
    for line in ("value.a.b[0] > 1", "took < 5s", "exit_code == 0", 'output matches "x"', "error == null", "len(value.items) > 2"):
        expression.parse(line, KIND.facts)
    with pytest.raises(ValueError, match=r"login\.py:login"):
        KIND.short(["a"])
