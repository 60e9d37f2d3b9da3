"""Results whose every text is hostile: nothing of it steers a terminal, a CI system or a report."""

import re

import pytest
from junitparser import JUnitXml

from probes.cli.shared import results
from probes.core.fault import Fault
from probes.core.result import Finding, Observation, Result, Run

HOSTILE = "a\x1b[31mb\x00\u202e\r\n::error::gotcha & <c> %0A"


@pytest.fixture
def document():
    seen = Observation(
        facts={"body": HOSTILE, HOSTILE: 1}, evidence={HOSTILE: HOSTILE, "head": [HOSTILE]}, phases={"wait": 0.2}, total=0.3
    )
    findings = (Finding("body == 1", "must", holds=False, because=HOSTILE),)
    return Result(Run("evil", "here", 0.0), "http", "failed", HOSTILE, findings, seen).document()


def test_text(document, capsys):
    results.show([document], {}, everything=True)
    out = capsys.readouterr().out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", out)
    assert not any(line.startswith("::") for line in out.splitlines())
    assert "a\\x1b[31mb" in out


def test_junit(document, tmp_path):
    results.junit(tmp_path / "r.xml", "shop", [document], {})
    (suite,) = JUnitXml.fromfile(str(tmp_path / "r.xml"))
    (case,) = suite
    assert case.result[0].message.startswith("a\\x1b[31mb")
    assert case.time == pytest.approx(0.3)


def test_github(document, capsys):
    results.annotate([document], {})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("::error title=evil failed::a\\x1b[31mb")
    assert "%250A" in line


NESTED = {
    "response": {"status": "503 Service Unavailable", "headers": {"server": "x"}, "hidden": []},
    "peers": [{"host": "a", "up": True}, {"host": "b", "up": None}],
    "flags": ["QR", "AA"],
}


def test_nested_evidence_is_indented_lines(capsys, tmp_path):
    seen = Observation(evidence=NESTED, total=0.0123456)
    found = Result(Run("a", "here", 0.0), "http", "failed", "no", (), seen).document()
    wanted = """\
response:
  status: 503 Service Unavailable
  headers:
    server: x
peers:
  - host: a
    up: true
  - host: b
    up: null
flags:      QR, AA"""
    results.show([found], {})
    assert [line[10:] for line in capsys.readouterr().out.splitlines()[1:]] == wanted.splitlines()
    results.junit(tmp_path / "r.xml", "shop", [found], {})
    (suite,) = JUnitXml.fromfile(str(tmp_path / "r.xml"))
    (case,) = suite
    assert case.system_out == f"outcome: failed\n{wanted}"
    assert (case.time, suite.time) == (0.012, 0.012)


def test_each_step_has_a_line(capsys):
    steps = [
        {"step": "login", "url": "http://a/in", "status": 200, "phases_ms": {"wait": 2.0}, "total_ms": 12.3},
        {"step": "buy", "url": "http://a/buy", "status": 503, "phases_ms": {"wait": 2.0}, "total_ms": 4.0, "seen": {"ip": "::1"}},
        {"step": "out", "url": "http://a/out"},
    ]
    findings = (
        Finding("login: status == 200", "must", holds=True, because="status was 200"),
        Finding("buy: status == 201", "must", holds=False, because="status was 503"),
        Finding("buy: size > 0B", "must", holds=False, because="size was 0B"),
    )
    seen = Observation(evidence={"steps": steps}, facts={"failed_step": "buy"})
    found = Result(Run("a", "here", 0.0), "steps", "failed", "buy: status", findings, seen).document()
    results.show([found], {})
    assert [line[10:] for line in capsys.readouterr().out.splitlines()[3:]] == [
        "steps:",
        "  login  200     12 ms  http://a/in",
        "  buy    503    4.0 ms  http://a/buy  failed: status == 201 (status was 503); size > 0B (size was 0B)",
        "    phases: wait 2.0 ms",
        "    ip: ::1",
        "  out      -         -  http://a/out",
    ]


def test_a_step_without_an_answer_tells_the_fault(capsys):
    steps = [{"step": "buy", "url": "http://a/buy", "status": None, "phases_ms": {}, "total_ms": 1.0, "seen": {}}]
    seen = Observation(evidence={"steps": steps}, facts={"failed_step": "buy"}, fault=Fault("conn.refused", "buy: nothing listens"))
    found = Result(Run("a", "here", 0.0), "steps", "failed", "buy: nothing listens", (), seen).document()
    results.show([found], {})
    assert "  buy    -    1.0 ms  http://a/buy  failed: nothing listens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [([], 0), (["passed", "degraded", "skipped"], 0), (["errored", "passed"], 3), (["errored", "failed"], 1), (["failed"], 1)],
)
def test_the_exit_code(outcomes, code):
    assert results.code([{"outcome": outcome} for outcome in outcomes]) == code
