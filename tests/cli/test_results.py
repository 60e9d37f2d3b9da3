"""Results whose every text is hostile: nothing of it steers a terminal, a CI system or a report."""

import re

import pytest
from junitparser import JUnitXml

from probes.cli.shared import results
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


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [([], 0), (["passed", "degraded", "skipped"], 0), (["errored", "passed"], 3), (["errored", "failed"], 1), (["failed"], 1)],
)
def test_the_exit_code(outcomes, code):
    assert results.code([{"outcome": outcome} for outcome in outcomes]) == code
