"""Stories of time and space: what becomes an incident, and what does not."""

import random

import pytest

from probes import pipeline
from probes.core.events import RunsReported
from tests.stories.conftest import Story

OPEN_AT_4 = "quote/2026-02-03T04:09:00Z"


async def test_two_of_three_make_one_incident_and_one_page(story: Story) -> None:
    told = await story("""
                        0 1 2 3 4 5 6 7 8
        dublin          P P F F F F P P P
        virginia        P P P F F F P P P
        sydney          P P P P P P P P P """)
    assert told.alerts == ["4m opened critical quote -> oncall, chat", "7m resolved critical quote -> oncall, chat"]
    assert told.events("Incident Opened", "incident") == [OPEN_AT_4]
    assert told.events("Incident Resolved", "incident") == [OPEN_AT_4]
    assert {key for _, _, key in told.keys} == {OPEN_AT_4}
    assert told.events("Check Status Changed", "before", "after") == [("unknown", "up"), ("up", "down"), ("down", "up")]


async def test_the_events_say_what_was_seen(story: Story) -> None:
    told = await story("dublin P P F F")
    (moved,) = [detail for detail in told.memory.bus.of("Location Status Changed") if detail["after"] == "down"]
    assert moved["id"] == "quote@dublin/2026-02-03T04:08:00Z/down"
    assert (moved["window"], moved["run"], moved["before"]) == ("PFF", "quote@dublin/2026-02-03T04:08:00Z", "up")
    assert moved["because"] == 'letter != "F" (letter was "F")'
    (opened,) = told.memory.bus.of("Incident Opened")
    assert (opened["because"], opened["severity"], opened["locations"]) == (moved["because"], "critical", ["dublin"])


@pytest.mark.parametrize(
    ("quorum", "rows", "opened"),
    [
        ("any", "a P F F\nb P P P\nc P P P", True),
        ("majority", "a P F F\nb P P P\nc P P P", False),
        ("majority", "a P F F\nb P F F\nc P P P", True),
        ("all", "a P F F\nb P F F\nc P P P", False),
        ("all", "a P F F\nb P F F\nc P F F", True),
        (2, "a P F F\nb P F F\nc P P P", True),
        (2, "a P F F\nb P P P\nc P P P", False),
        ("majority", "a P F F\nb P F F\nc P P P\nd P P P", False),
    ],
)
async def test_a_quorum_of_locations(story: Story, quorum: str | int, rows: str, opened: bool) -> None:
    told = await story(rows, confirm={"runs": "2 of 3", "locations": quorum, "recover": 2})
    assert (told.alerts == ["2m opened critical quote -> oncall, chat"]) is opened
    assert bool(told.alerts) is opened


async def test_a_location_that_starts_first_does_not_decide_alone(story: Story) -> None:
    told = await story("""
        dublin   F F F F
        virginia . . P P
        sydney   . . P P """)
    assert told.alerts == []


async def test_a_flake_is_counted_and_opens_nothing(story: Story) -> None:
    told = await story("dublin P R R R P", checks={"quote": {"retries": 1}}, confirm={"runs": 1, "locations": "any"})
    assert told.alerts == []
    runs = await told.memory.store.since("runs/quote", 0)
    assert [run["attempt"] for run in runs] == [1, 2, 2, 2, 1]
    assert [run["outcome"] for run in runs] == ["passed"] * 5


async def test_without_retries_the_same_tape_is_an_outage(story: Story) -> None:
    told = await story("dublin P R R R P", confirm={"runs": 1, "locations": "any"})
    assert told.alerts == ["1m opened critical quote -> oncall, chat"]


@pytest.mark.parametrize("tape", ["P F P P F P P P F P P", "P P F P P P", "P F P F P F P P"])
async def test_an_outage_shorter_than_the_window_opens_nothing(story: Story, tape: str) -> None:
    told = await story(f"dublin {tape}", confirm={"runs": 2 if "F P F P F" in tape else "2 of 3", "locations": "any"})
    assert told.alerts == []
    assert told.events("Incident Opened", "incident") == []


async def test_degraded_down_degraded_up_is_one_incident(story: Story) -> None:
    told = await story("dublin P D D F F D D P P P")
    assert told.alerts == [
        "2m opened warning quote -> chat",
        "4m opened critical quote -> oncall",
        "4m reminded critical quote (worsened) -> chat",
        "6m reminded warning quote (improved) -> oncall, chat",
        "8m resolved warning quote -> oncall, chat",
    ]
    assert len(told.events("Incident Opened", "incident")) == 1
    assert told.events("Incident Escalated", "severity") == ["critical"]
    assert {key for _, _, key in told.keys} == {"quote/2026-02-03T04:07:00Z"}


async def test_recovery_takes_its_passes(story: Story) -> None:
    told = await story("dublin P F F P F P F P P P", confirm={"runs": "2 of 3", "locations": "any", "recover": 2})
    assert told.alerts == ["2m opened critical quote -> oncall, chat", "8m resolved critical quote -> oncall, chat"]


async def test_trouble_of_ours_is_never_a_page_about_the_target(story: Story) -> None:
    told = await story("""
        dublin   P P E E E E E E E E P P
        virginia P P P P P P P P P P P P """)
    assert told.alerts == []
    assert (await told.state()).locations["dublin"].status == "up"
    assert "unknown" in [after for _, after in told.events("Location Status Changed", "location", "after")]
    assert told.memory.metrics.of("RunsErrored").count(1.0) == 8
    assert 0.0 not in told.memory.metrics.of("Availability")


async def test_errors_everywhere_are_told_as_a_warning_about_us(story: Story) -> None:
    told = await story("dublin P P E E E E E E P P")
    assert told.alerts == ["4m opened warning quote -> chat", "8m resolved warning quote -> chat"]
    (opened,) = told.memory.bus.of("Incident Opened")
    assert opened["because"] == "no evidence from dublin for 3m30s: only errors of ours: too many open files"


async def test_a_location_that_goes_dark_leaves_the_quorum(story: Story) -> None:
    told = await story(
        """
        dublin   P P . . . . . . . .
        virginia P P P P P P P F F F
        sydney   P P P P P P P P P P """,
        confirm={"runs": "2 of 3", "locations": "all"},
    )
    assert told.alerts == []
    told = await told.play("""
        dublin   . . .
        virginia F F F
        sydney   F F F """)
    assert told.alerts == ["11m opened critical quote -> oncall, chat"]
    assert told.memory.bus.of("Check Status Changed")[-1]["locations"] == {
        "dublin": "unknown",
        "virginia": "down",
        "sydney": "down",
    }


async def test_no_location_left_is_a_warning_within_three_periods_and_a_minute(story: Story) -> None:
    told = await story("dublin P P . . . . . . P P", step=10.0)
    assert told.alerts == ["4m opened warning quote -> chat", "8m resolved warning quote -> chat"]
    (opened,) = told.events("Incident Opened", "opened_at")
    assert opened <= "2026-02-03T04:10:00Z"  # last seen 04:06, three periods and 60 s later


async def test_a_check_that_never_ran_is_noticed(story: Story) -> None:
    told = await story("dublin . . . . . .")
    assert told.alerts == ["4m opened warning quote -> chat"]


async def test_a_sleeping_evaluator_blames_nobody(story: Story) -> None:
    told = await story("dublin P P")
    told.minute += 60  # the laptop slept for an hour: neither runs nor ticks
    await told.play("dublin P P F P")
    assert told.alerts == []
    assert told.events("Check Status Changed", "after") == ["up"]


async def test_an_evaluator_that_wakes_up_first_waits_for_runs(story: Story) -> None:
    told = await story("dublin P P")
    told.memory.clock.at += 3600
    await told.wait(3 * 60 + 20)
    assert told.alerts == []
    await told.wait(60)  # nobody runs, and now we have been awake for long enough to know
    assert told.alerts == ["2m opened warning quote -> chat"]


async def test_failures_before_and_after_a_long_gap_do_not_add_up(story: Story) -> None:
    told = await story("dublin P F")
    told.minute += 60
    await told.play("dublin F P P")
    assert told.alerts == []


async def test_duplicates_change_nothing(story: Story) -> None:
    told = await story("dublin P P F F F P P P")
    seen, events, state = list(told.alerts), told.events("Check Status Changed", "id"), await told.state()
    assert seen == ["3m opened critical quote -> oncall, chat", "6m resolved critical quote -> oncall, chat"]
    writes = told.memory.store.writes
    for event in [event for event in told.memory.bus.published if event.detail_type == "Runs Reported"]:
        await pipeline.settle(told.plan, told.memory.world, RunsReported.model_validate(event.detail))
    assert told.memory.store.writes == writes
    await told.wait(60)
    assert (told.alerts, told.events("Check Status Changed", "id"), await told.state()) == (seen, events, state)


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_arrival_ends_in_the_same_story(story: Story, seed: int) -> None:
    """Reports come up to three minutes late, some twice: the same incident opens, the same one resolves."""
    chance = random.Random(seed)
    told = await story(
        "dublin P P P F F F F F F P P P P P P P",
        deliver=lambda minute, report: [chance.randrange(3) for _ in range(chance.choice((1, 1, 2)))],
    )
    for _ in range(3):
        told.late, due = [], told.late
        for _, report in due:
            await pipeline.settle(told.plan, told.memory.world, report)
    await told.wait(60)
    told._hear()
    (opened,) = told.events("Incident Opened", "opened_at")
    assert opened in ("2026-02-03T04:09:00Z", "2026-02-03T04:10:00Z")
    assert len(told.events("Incident Resolved", "incident")) == 1
    assert [alert.split()[1] for alert in told.alerts] == ["opened", "resolved"]
    assert (await told.state()).status == "up"


async def test_a_stale_result_never_changes_newer_state(story: Story) -> None:
    told = await story("dublin P F F P P P P P", deliver=lambda minute, report: [5 if minute in (1, 2) else 0])
    assert told.alerts == []
    assert (await told.state()).status == "up"


async def test_a_defect_of_a_kind_is_ours_and_stops_nobody(story: Story) -> None:
    told = await story("""
        broken@dublin X X X
        quote@dublin  P F F """)
    assert told.alerts == ["2m opened critical quote -> oncall, chat"]
    runs = await told.memory.store.since("runs/broken", 0)
    assert {run["fault"] for run in runs} == {"probe.internal"}
    assert {run["because"] for run in runs} == {"RuntimeError: a defect"}


@pytest.mark.parametrize("back", ["F F P P", "P P P P"])
async def test_a_location_that_comes_back_from_silence_does_not_end_what_it_saw(story: Story, back: str) -> None:
    """Found by simulation (seed 10385): silent for its patience, its first run counted as a vote for up, and the incident ended."""
    told = await story(
        f"""
        dublin   P F F F F F F F F F {" ".join("FFPP")}
        virginia P F F . . . . . . . {back} """,
        confirm={"runs": "2 of 3", "locations": "all", "recover": 2},
    )
    opened = told.memory.bus.of("Incident Opened")
    assert len(opened) == 1
    assert [line.split()[1] for line in told.alerts] == ["opened", "resolved"]
    assert told.alerts[-1].split()[0] == ("13m" if back.startswith("F") else "11m")


async def test_one_pass_after_a_silence_is_no_recovery(story: Story) -> None:
    told = await story("dublin P F F . . . . . . P")
    state = await told.state()
    assert (state.status, state.because) == ("down", "it was down before the silence, and has yet to recover")
    assert state.incident is not None
    assert "letter was" in state.incident.because
    await told.play("dublin P")
    assert (await told.state()).status == "up"


async def test_a_status_that_moves_to_and_fro_within_one_time_is_told_each_time(story: Story) -> None:
    """Found by simulation (seed 30655): two moves had one id, so whoever drops duplicates believed the check degraded for ever."""
    told = await story(
        """
        dublin   P D P
        virginia P P D
        sydney   P D P """,
        confirm={"runs": "1 of 1", "locations": "majority", "recover": 1},
    )
    moves = told.events("Check Status Changed", "before", "after")
    assert moves == [("unknown", "up"), ("up", "degraded"), ("degraded", "up"), ("up", "degraded"), ("degraded", "up")]
    assert (await told.state()).status == "up"
