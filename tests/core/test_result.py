"""The JSON form of a result: small, plain, in milliseconds, and without what belongs to the target."""

from __future__ import annotations

import json

from probes.core.judge import judge
from probes.core.result import Observation, Run
from probes.core.units import Duration, Size
from tests.core.test_plan import a_check


def test_a_document_tells_small_facts_and_keeps_bodies_and_headers_to_itself():
    facts = {
        "status": 200,
        "ip": "192.0.2.7",
        "size": Size(1310),
        "answers": ["192.0.2.1", "192.0.2.2"],
        "latency": Duration(0.1242),
        "connect": Duration(0.012),
        "expires_in": Duration(86400),
        "header": {"set-cookie": "session=1"},
        "body": {"token": "abc"},
        "banner": "x" * 1000,
        "trusted": True,
    }
    seen = Observation(facts=facts, phases={"connect": 0.012, "wait": 0.0754}, latency=0.1242, total=0.171)
    document = judge(a_check(), Run("quote", "here", 1_770_091_500.0), seen).document()
    assert document["facts"] == {
        "status": 200,
        "ip": "192.0.2.7",
        "size": 1310,
        "answers": ["192.0.2.1", "192.0.2.2"],
        "expires_in_ms": 86_400_000.0,
        "trusted": True,
    }
    assert (document["latency_ms"], document["total_ms"], document["phases_ms"]) == (124.2, 171.0, {"connect": 12.0, "wait": 75.4})
    assert (document["run"], document["at"]) == ("quote@here/2026-02-03T04:05:00Z", "2026-02-03T04:05:00Z")
    assert json.loads(json.dumps(document)) == document
