"""Judge: never fooled, and never theirs when it is ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from probes.core.fault import Fault
from probes.core.judge import judge
from probes.core.result import Observation, Run
from probes.core.units import Duration
from tests.core.test_plan import a_check

RUN = Run("quote", "here", 1_770_091_500.0)


def seen(**facts: object) -> Observation:
    return Observation(facts=facts, latency=0.124, total=0.171)


@pytest.mark.parametrize(
    ("must", "should", "facts", "outcome", "because"),
    [
        (["status == 200"], [], {"status": 200}, "passed", ""),
        (["status == 201"], [], {"status": 503}, "failed", "status == 201 (status was 503)"),
        (
            ["status == 200"],
            ["latency < 100ms"],
            {"status": 200, "latency": Duration(0.124)},
            "degraded",
            "latency < 100ms (latency was 124ms)",
        ),
        (
            ["status == 201"],
            ["latency < 100ms"],
            {"status": 503, "latency": Duration(0.124)},
            "failed",
            "status == 201 (status was 503)",
        ),
        (
            ["body.errors < 5"],
            [],
            {"body": "<html>502 Bad Gateway</html>"},
            "failed",
            "body.errors < 5 (body.errors was missing: body is not JSON)",
        ),
        (["body.errors != 5"], [], {}, "failed", "body.errors != 5 (body.errors was missing)"),
        ([], [], {}, "passed", ""),
    ],
)
def test_outcomes(must, should, facts, outcome, because):
    result = judge(replace(a_check(), must=tuple(must), should=tuple(should)), RUN, seen(**facts))
    assert (result.outcome, result.because) == (outcome, because)


def test_our_trouble_is_errored_whatever_was_seen():
    observation = replace(seen(status=500), fault=Fault("probe.resources", "no descriptors left"))
    result = judge(a_check(), RUN, observation)
    assert (result.outcome, result.because) == ("errored", "no descriptors left")


def test_a_fault_of_the_target_fails_and_says_so():
    observation = Observation(fault=Fault("conn.refused", "nothing listens at 127.0.0.1:1"))
    result = judge(a_check(), RUN, observation)
    assert (result.outcome, result.because, result.observation.fault.kind) == (
        "failed",
        "nothing listens at 127.0.0.1:1",
        "conn.refused",
    )


@pytest.mark.parametrize(("line", "outcome"), [('rcode == "NXDOMAIN"', "passed"), ('rcode == "NOERROR"', "failed")])
def test_where_the_check_asserts_the_fact_the_finding_decides(line, outcome):
    check = replace(a_check(), kind="dns", must=(line,), decides='rcode == "NOERROR"')
    observation = Observation(facts={"rcode": "NXDOMAIN"}, fault=Fault("dns.nxdomain", "no such name"))
    result = judge(check, RUN, observation)
    assert result.outcome == outcome
    assert result.document()["fault"] is None


def test_a_fault_that_the_fact_does_not_state_fails_the_check():
    check = replace(a_check(), kind="tcp", must=("connected == true",), decides="connected == true")
    seen = Observation(facts={"connected": True}, fault=Fault("timeout.response", "it did not answer as expected within 5s"))
    assert (judge(check, RUN, seen).outcome, judge(check, RUN, seen).document()["fault"]) == ("failed", "timeout.response")


def test_the_fact_must_have_been_reported_for_the_finding_to_decide():
    check = replace(a_check(), kind="dns", must=('rcode == "NXDOMAIN"',), decides='rcode == "NOERROR"')
    result = judge(check, RUN, Observation(fault=Fault("timeout.dns", "no answer in 5s")))
    assert (result.outcome, result.document()["fault"]) == ("failed", "timeout.dns")
