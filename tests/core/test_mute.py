"""Mutes: each names its author, its end and its reason; and says in words what it mutes."""

from dataclasses import replace

import pytest

from probes.core.check import Check, Confirm, Retries
from probes.core.expression import ExpressionError
from probes.core.mute import Silence, facts, maintained, matches, silenced
from probes.core.route import Maintenance

CHECK = Check("quote", "Price", "http", {}, (), (), 60.0, 10.0, Retries(), (), Confirm(), group="checkout", tags=("tier-1",))
SILENCE = Silence("s1", ('check == "quote"',), 100.0, 200.0, "ada", "moving")


def about(**changes: object) -> dict[str, object]:
    return {**facts(CHECK), "severity": "critical", "event": "opened", **changes}


def test_every_line_must_hold() -> None:
    assert matches((), about())
    assert matches(('check == "quote"', 'tags contains "tier-1"', 'severity == "critical"'), about())
    assert not matches(('check == "quote"', 'severity == "warning"'), about())


def test_a_fact_that_is_missing_matches_nothing() -> None:
    assert not matches(('owner != "ada"',), about())
    assert matches(("owner == null",), about())


def test_a_silence_holds_from_its_start_to_its_end() -> None:
    assert [silenced([SILENCE], about(), at) is not None for at in (99, 100, 199, 200)] == [False, True, True, False]
    assert silenced([SILENCE], about(), 150) == "ada: moving (until 1970-01-01T00:03:20Z)"
    assert silenced([SILENCE], about(check="other"), 150) is None


@pytest.mark.parametrize("changes", [{"by": " "}, {"because": ""}, {"until": 100.0}, {"until": float("nan")}, {"when": ()}])
def test_a_silence_without_author_reason_end_or_object_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a silence"):
        replace(SILENCE, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["check ==", 'chek == "quote"', "severity > 3"])
def test_a_line_that_says_nothing_is_refused(line: str) -> None:
    with pytest.raises(ExpressionError):
        replace(SILENCE, when=(line,))


def test_a_silence_survives_json_and_tells_its_life() -> None:
    assert Silence.parse(SILENCE.document()) == SILENCE
    created, ended = SILENCE.event("shop", 100.0), SILENCE.event("shop", 150.0, "bob")
    assert (created.detail_type, created.detail["by"], created.detail["until"]) == (
        "Silence Created",
        "ada",
        "1970-01-01T00:03:20Z",
    )
    assert (ended.detail_type, ended.detail["by"]) == ("Silence Ended", "bob")
    assert created.id != ended.id


def test_maintenance_is_for_the_checks_it_names() -> None:
    window = Maintenance("release", ('group == "checkout"',), None, 100.0, 50.0)
    assert maintained([window], CHECK, 120.0) == "release until 1970-01-01T00:02:30Z"
    assert maintained([window], CHECK, 150.0) is None
    assert maintained([window], replace(CHECK, group="edge"), 120.0) is None
    assert maintained([replace(window, when=())], replace(CHECK, group=None), 120.0) is not None
