"""From what was seen to what it means. An assertion that cannot be evaluated never passes; our trouble is never theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from probes.core import expression
from probes.core.check import Check
from probes.core.result import Finding, Observation, Outcome, Result, Run


def judge(check: Check, run: Run, observation: Observation, attempt: int = 1) -> Result:
    """The result of one run.

    A fault of ours is ``errored``. A fault of the target is ``failed``, unless the check itself asserts the fact that states it
    (``rcode == "NXDOMAIN"``, ``trusted == false``) and that fact does state it: then the findings decide. A broken ``must`` is
    ``failed``, a broken ``should`` is ``degraded``.
    """

    def result(outcome: Outcome, because: str, findings: tuple[Finding, ...], seen: Observation = observation) -> Result:
        return Result(run, check.kind, outcome, because, findings, seen, attempt)

    fault = observation.fault
    if fault is not None and fault.ours:
        return result("errored", fault.because, observation.findings)
    if fault is not None and not _states(check.decides, observation.facts):
        return result("failed", fault.because, observation.findings)
    if fault is not None:
        observation = _without_fault(observation)
    findings = (
        *observation.findings,
        *weigh(check.must, "must", observation.facts),
        *weigh(check.should, "should", observation.facts),
    )
    for level, outcome in (("must", "failed"), ("should", "degraded")):
        for finding in findings:
            if finding.level == level and not finding.holds:
                return result(outcome, f"{finding.assertion} ({finding.because})", findings, observation)  # type: ignore[arg-type]  # the two literals above
    return result("passed", "", findings, observation)


def _states(line: str | None, facts: Mapping[str, Any]) -> bool:
    """Whether the facts themselves say what went wrong: the fact of ``line`` was seen, and ``line`` does not hold of it."""
    return line is not None and expression.parse(line).subject.fact in facts and not weigh((line,), "must", facts)[0].holds


def weigh(
    lines: Iterable[str],
    level: Literal["must", "should"],
    facts: Mapping[str, Any],
    captures: Mapping[str, Mapping[str, Any]] | None = None,
    label: str = "",
) -> tuple[Finding, ...]:
    """A finding for each assertion line against the facts (``captures``: values kept by earlier steps; ``label``: ``login: ``)."""
    findings = []
    for line in lines:
        holds, because = expression.parse(line).check(facts, captures or {})
        findings.append(Finding(label + line, level, holds, because))
    return tuple(findings)


def _without_fault(seen: Observation) -> Observation:
    return replace(seen, fault=None, evidence={**seen.evidence, "stated": seen.fault.because if seen.fault else ""})
