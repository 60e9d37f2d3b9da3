"""A heartbeat is never probed; its shape and default are what the evaluator relies on."""

import pytest
from pydantic import ValidationError

from probes.core import expression
from probes.core.kind import Context
from probes.kinds import KINDS
from probes.kinds.heartbeat import Target

KIND = KINDS["heartbeat"]


def test_it_is_passive_and_wants_ok() -> None:
    assert KIND.passive
    assert KIND.must == ('reported == "ok"',)
    for line in (*KIND.must, "took < 2h", "exit_code == 0", "age < 1d"):
        assert str(expression.parse(line, KIND.facts)) == line


async def test_probing_it_is_a_defect_of_ours() -> None:
    seen = await KIND.probe(Target(), Context(run="x@here/2026-02-03T04:05:00Z", timeout=1))
    assert seen.fault is not None
    assert seen.fault.kind == "probe.internal"


def test_the_grace_is_a_duration() -> None:
    assert Target.model_validate({"grace": "30m"}).grace == 1800
    assert Target.model_validate({}).grace == 0
    assert KIND.short("30m") == {"grace": "30m"}
    for wrong in ({"grace": 30}, {"grace": "30"}, {"grace": "-1m"}, {"grce": "1m"}):
        with pytest.raises(ValidationError):
            Target.model_validate(wrong)
    with pytest.raises(ValueError, match="how late"):
        KIND.short(30)


def test_it_says_when_it_wants_to_be_called() -> None:
    assert KIND.describe({"grace": "30m"}) == "called within 30m of its time"
    assert KIND.describe({}) == "called in time"
