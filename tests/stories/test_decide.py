"""Stories of telling and keeping quiet: maintenance, silences, dependencies, acknowledgement, reminders, escalation, groups."""

import pytest

from probes import pipeline
from probes.core.units import iso
from tests.stories.conftest import MINUTE, Story
from tests.worlds import START

TO_CHAT = [{"notify": ["chat"]}]
BOTH = "oncall, chat"


def window(first: int, minutes: int) -> list[dict[str, object]]:
    return [{"name": "release", "when": ['check == "quote"'], "starts": iso(START + first * MINUTE), "lasting": f"{minutes}m"}]


async def test_an_outage_that_outlives_its_maintenance_is_told_at_the_end(story: Story) -> None:
    told = await story("dublin P P F F F F F F F F", maintenance=window(1, 6))
    assert told.alerts == ["7m opened critical quote -> oncall, chat"]
    assert told.quiet == ["opened oncall: maintenance", "opened chat: maintenance"]
    (event, _) = told.memory.bus.of("Alert Suppressed")
    assert event["muted_by"] == "release until 2026-02-03T04:12:00Z"


async def test_an_outage_inside_maintenance_is_told_to_nobody(story: Story) -> None:
    told = await story("dublin P P F F F P P P P P P", maintenance=window(1, 8))
    assert told.alerts == []
    assert len(told.events("Incident Resolved", "incident")) == 1
    assert (await told.state()).incidents == ()


async def test_who_was_told_before_maintenance_hears_of_the_recovery_at_its_end(story: Story) -> None:
    told = await story("dublin P F F F F P P P P P P", maintenance=window(4, 5))
    assert told.alerts == ["2m opened critical quote -> oncall, chat", "9m resolved critical quote -> oncall, chat"]
    assert told.events("Incident Resolved", "resolved_at") == ["2026-02-03T04:11:00Z"]
    assert told.quiet == ["resolved oncall: maintenance", "resolved chat: maintenance"]


async def test_two_incidents_around_a_window_keep_their_ids(story: Story) -> None:
    told = await story(
        "dublin P F F P P P F F F F F F", maintenance=window(4, 6), confirm={"runs": 2, "recover": 2, "locations": "any"}
    )
    assert [alert.split()[:2] for alert in told.alerts] == [["2m", "opened"], ["10m", "resolved"], ["10m", "opened"]]
    ids = told.events("Incident Opened", "incident")
    assert [key for path, _, key in told.keys if path == "chat"] == [ids[0], ids[0], ids[1]]


async def test_runs_in_maintenance_are_marked_and_not_counted(story: Story) -> None:
    told = await story("dublin P P F F F F F F P P", maintenance=window(2, 6), checks={"quote": {"slo": "99% over 7d"}})
    runs = await told.memory.store.since("runs/quote", 0)
    assert [bool(run.get("muted")) for run in runs] == [False, False, *[True] * 6, False, False]
    assert told.memory.metrics.of("Availability") == [100.0] * 4
    assert sum(bad for _, bad in (await told.state()).budget.values()) == 0
    assert (await told.state()).summary.availability(told.memory.clock.at) == 100.0


async def test_a_silence_holds_and_lets_go(story: Story) -> None:
    told = await story("dublin P P")
    made = await pipeline.silence(told.plan, told.memory.world, ['check == "quote"'], 6 * MINUTE, "ada", "moving the database")
    await told.play("dublin F F F F F F F F")
    assert told.quiet == ["opened oncall: silence", "opened chat: silence"]
    assert told.alerts == ["8m opened critical quote -> oncall, chat"]
    assert told.events("Silence Created", "silence", "by", "because") == [(made.id, "ada", "moving the database")]
    assert told.events("Silence Ended", "silence", "by") == [(made.id, "time")]
    assert await pipeline.silences(told.memory.world) == []


async def test_a_silence_can_be_ended_by_a_person(story: Story) -> None:
    told = await story("dublin P P")
    made = await pipeline.silence(told.plan, told.memory.world, ['severity == "critical"'], 3600, "ada", "a try")
    await told.play("dublin F F F")
    assert told.alerts == []
    await pipeline.unsilence(told.plan, told.memory.world, made.id[:4], "bob")
    await told.play("dublin F")
    assert told.alerts == ["5m opened critical quote -> oncall, chat"]
    assert told.events("Silence Ended", "by") == ["bob"]


@pytest.mark.parametrize(
    ("when", "lasting", "by", "because", "word"),
    [
        (['check == "quote"'], 0, "ada", "why", "ends"),
        (['check == "quote"'], 60, " ", "why", "author"),
        (['check == "quote"'], 60, "ada", "", "reason"),
        ([], 60, "ada", "why", "names"),
    ],
)
async def test_a_silence_has_an_end_an_author_and_a_reason(
    story: Story, when: list[str], lasting: float, by: str, because: str, word: str
) -> None:
    told = await story("dublin P")
    with pytest.raises(ValueError, match=word):
        await pipeline.silence(told.plan, told.memory.world, when, lasting, by, because)
    assert await pipeline.silences(told.memory.world) == []


async def test_a_child_stays_quiet_while_its_parent_is_down(story: Story) -> None:
    told = await story(
        """
        resolver@dublin P P F F F F F P P P P
        quote@dublin    P P P F F F F F P P P """,
        checks={"quote": {"depends_on": ["resolver"]}},
    )
    assert told.alerts == ["3m opened critical resolver -> oncall, chat", "8m resolved critical resolver -> oncall, chat"]
    assert told.quiet[:2] == ["opened oncall: dependency", "opened chat: dependency"]
    (event, *_) = told.memory.bus.of("Alert Suppressed")
    assert event["muted_by"] == "resolver is down (resolver/2026-02-03T04:08:00Z)"


async def test_a_child_that_stays_down_after_its_parent_is_told(story: Story) -> None:
    told = await story(
        """
        resolver@dublin P P F F F P P P P
        quote@dublin    P P P F F F F F F """,
        checks={"quote": {"depends_on": ["resolver"]}},
    )
    assert told.alerts == [
        "3m opened critical resolver -> oncall, chat",
        "6m opened critical quote -> oncall, chat",
        "6m resolved critical resolver -> oncall, chat",
    ]


async def test_a_child_confirmed_first_waits_for_a_parent_that_is_failing_too(story: Story) -> None:
    tape = """
        resolver@dublin P P P F F F
        quote@dublin    P P F F F F """
    told = await story(tape, checks={"quote": {"depends_on": ["resolver"]}})
    assert told.alerts == ["4m opened critical resolver -> oncall, chat"]
    alone = await story(tape.replace("P P P F F F", "P P P F P P"), checks={"quote": {"depends_on": ["resolver"]}})
    assert alone.alerts[-1] == "4m opened critical quote -> oncall, chat"  # a blip of the parent delays it, no more


async def test_a_parent_that_takes_long_to_confirm_delays_two_periods_at_most(story: Story) -> None:
    told = await story(
        """
        resolver@dublin P P F F F F F F
        quote@dublin    P P F F F F F F """,
        checks={"quote": {"depends_on": ["resolver"]}, "resolver": {"confirm": {"runs": 6}}},
    )
    assert told.alerts == ["5m opened critical quote -> oncall, chat", "7m opened critical resolver -> oncall, chat"]


async def test_a_parent_down_in_one_location_explains_that_location(story: Story) -> None:
    told = await story(
        """
        resolver@dublin   P P F F F F
        resolver@virginia P P P P P P
        quote@dublin      P P F F F F
        quote@virginia    P P P P P P """,
        checks={"quote": {"depends_on": ["resolver"], "confirm": {"locations": "any"}}},
    )
    assert told.alerts == []
    assert "opened chat: dependency" in told.quiet


async def test_acknowledging_stops_reminders_and_escalation(story: Story) -> None:
    routes = [{"notify": ["chat"], "repeat": "2m", "escalate": {"after": "5m", "notify": ["manager"]}}]
    told = await story("dublin P F F F F", routes=routes)
    assert told.alerts == ["2m opened critical quote -> chat", "4m reminded critical quote (repeat) -> chat"]
    taken = await pipeline.acknowledge(told.plan, told.memory.world, "quote", "ada")
    assert taken.acknowledged_by == "ada"
    await told.play("dublin F F F F F F")
    assert len(told.alerts) == 2
    assert "reminded chat: acknowledged" in told.quiet
    assert "escalated manager: acknowledged" in told.quiet
    await told.play("dublin P P")
    assert told.alerts[2:] == ["12m resolved critical quote -> chat"]
    assert told.events("Incident Acknowledged", "by", "incident") == [("ada", taken.id)]


async def test_only_an_open_incident_can_be_acknowledged(story: Story) -> None:
    told = await story("dublin P P")
    for name in ("quote", "quote/2026-02-03T04:05:00Z", "nothing"):
        with pytest.raises(KeyError):
            await pipeline.acknowledge(told.plan, told.memory.world, name, "ada")
    await told.play("dublin F F")
    with pytest.raises(KeyError):
        await pipeline.acknowledge(told.plan, told.memory.world, "quote/2020-01-01T00:00:00Z", "ada")
    with pytest.raises(ValueError, match="person"):
        await pipeline.acknowledge(told.plan, told.memory.world, "quote", "  ")
    await pipeline.acknowledge(told.plan, told.memory.world, "quote", "ada")
    assert (await pipeline.acknowledge(told.plan, told.memory.world, "quote", "bob")).acknowledged_by == "ada"


async def test_what_became_worse_is_told_even_when_acknowledged(story: Story) -> None:
    told = await story("dublin P D D D")
    await pipeline.acknowledge(told.plan, told.memory.world, "quote", "ada")
    await told.play("dublin F F")
    assert told.alerts == [
        "2m opened warning quote -> chat",
        "5m opened critical quote -> oncall",
        "5m reminded critical quote (worsened) -> chat",
    ]


async def test_escalation_tells_more_people_when_nobody_takes_it(story: Story) -> None:
    routes = [{"notify": ["chat"], "escalate": {"after": "3m", "notify": ["manager", "chat"]}}]
    told = await story("dublin P F F F F F F F P P", routes=routes)
    assert told.alerts == [
        "2m opened critical quote -> chat",
        "5m escalated critical quote -> chat, manager",
        "9m resolved critical quote -> chat, manager",
    ]


async def test_maintenance_that_holds_the_opening_holds_the_escalation_too(story: Story) -> None:
    routes = [{"notify": ["chat"], "escalate": {"after": "3m", "notify": ["manager"]}}]
    told = await story("dublin P F F F F F F F F F F F", routes=routes, maintenance=window(0, 7))
    assert told.alerts == ["7m opened critical quote -> chat", "10m escalated critical quote -> manager"]


async def test_reminders_come_while_it_is_open(story: Story) -> None:
    told = await story("dublin P F F F F F F F F P P", routes=[{"notify": ["chat"], "repeat": "3m"}])
    assert [alert.split()[:2] for alert in told.alerts] == [
        ["2m", "opened"],
        ["5m", "reminded"],
        ["8m", "reminded"],
        ["10m", "resolved"],
    ]


async def test_without_repeat_it_is_told_once(story: Story) -> None:
    told = await story("dublin P " + "F " * 60, routes=TO_CHAT)
    assert told.alerts == ["2m opened critical quote -> chat"]


async def test_a_route_that_fits_nobody_is_said_once(story: Story) -> None:
    told = await story("dublin P F F F F", routes=[{"when": ['owner == "nobody"'], "notify": ["chat"]}])
    assert told.alerts == []
    assert told.quiet == ["opened : no route"]


async def test_a_plan_without_routes_tells_the_console(story: Story, capfd: pytest.CaptureFixture[str]) -> None:
    told = await story("dublin P F F", routes=[])
    assert told.alerts == []
    assert told.events("Alert Sent", "channel", "event") == [("console", "opened")]
    assert "quote" in capfd.readouterr().err


async def test_a_flapping_check_is_told_once_and_noticed_once_an_hour(story: Story) -> None:
    told = await story("dublin " + "F F P P " * 12 + "P " * 40, routes=TO_CHAT)
    opened = [alert for alert in told.alerts if " opened " in alert]
    assert opened == ["1m opened critical quote -> chat", "5m opened critical quote (flapping) -> chat"]
    assert len(told.events("Incident Opened", "incident")) == 12
    resolved = [alert for alert in told.alerts if " resolved " in alert]
    assert [alert.split()[0] for alert in resolved] == ["3m", "52m"]
    assert (await told.state()).incidents == ()
    keys = [(event, key) for _, event, key in told.keys]
    assert sorted(key for event, key in keys if event == "opened") == sorted(key for event, key in keys if event == "resolved")


async def test_a_warning_that_flaps_hides_no_critical_incident(story: Story) -> None:
    told = await story("dublin P " + "D D P P " * 4 + "F F F", routes=TO_CHAT)
    assert told.alerts[-1].endswith("opened critical quote -> chat")


async def test_an_outage_that_lasts_is_told_whatever_flapped_before(story: Story) -> None:
    told = await story("dublin " + "F F P P " * 3 + "F " * 30 + "P " * 12, routes=TO_CHAT)
    assert [alert.split()[0] for alert in told.alerts if "opened" in alert] == ["1m", "5m", "18m"]
    assert [alert.split()[0] for alert in told.alerts if "resolved" in alert] == ["3m", "18m", "43m"]


GROUPED = [{"notify": ["chat"], "group_by": ["group"], "wait": "30s"}]


def many(names: list[str]) -> dict[str, dict[str, object]]:
    return {name: {"group": "checkout"} for name in names}


async def test_a_storm_is_one_message_with_a_count_and_ten_names(story: Story) -> None:
    names = [f"check-{n}" for n in range(60)]
    told = await story("\n".join(f"{name}@dublin P F F F F P P P P P P P P" for name in names), checks=many(names), routes=GROUPED,
                       groups={"checkout": {}})  # fmt: skip
    assert told.plan.of > 1
    assert len(told.alerts) == 2
    assert told.alerts[0].startswith("2m opened critical check-0, check-1")
    assert told.alerts[0].endswith("(+50) -> chat")
    assert told.alerts[1].startswith("6m resolved critical")
    assert [key for _, _, key in told.keys] == ["shop/group=checkout"] * 2
    assert len(told.events("Alert Sent", "incident")) == 120
    assert "opened chat: waiting for group" in told.quiet


async def test_one_more_in_the_group_waits_for_the_interval(story: Story) -> None:
    told = await story(
        """
        a@dublin P F F F F F F F F F F P P P P P P P P P P
        b@dublin P P P F F F F F F F F F F F F F F F P P P """,
        checks=many(["a", "b"]),
        routes=GROUPED,
        groups={"checkout": {}},
    )
    assert told.alerts == [
        "2m opened critical a -> chat",
        "7m opened critical b (new in group) -> chat",
        "12m resolved critical a -> chat",
        "19m resolved critical b -> chat",
    ]
    keys = [key for _, _, key in told.keys]
    assert keys[0] == keys[1] == keys[3] == "shop/group=checkout"  # only the last one closes what is open outside
    assert keys[2].startswith("shop/group=checkout/a/")


async def test_an_incident_that_ends_while_it_waits_for_its_group_is_told_to_nobody(story: Story) -> None:
    told = await story(
        "dublin P F P P P P", confirm={"runs": 1, "recover": 1, "locations": "any"}, routes=[{"notify": ["chat"], "wait": "3m"}]
    )
    assert told.alerts == []
    assert told.quiet == ["opened chat: waiting for group", "resolved chat: waiting for group"]
    assert await told.owed() == 0


async def test_a_location_without_network_is_one_alert_about_us(story: Story) -> None:
    told = await story("""
        a@dublin P P O O O O O O O P P P
        b@dublin P P O O O O O O O P P P
        c@dublin P P O O O O O O O P P P """)
    assert told.alerts == ["2m opened warning @dublin -> chat", "9m resolved warning @dublin -> chat"]
    assert "opened chat: location offline" in told.quiet
    assert {detail["check"] for detail in told.memory.bus.of("Incident Opened")} == {"@dublin", "a", "b", "c"}
    taken = [event["incident"] for event in told.memory.bus.of("Incident Resolved")]
    assert sorted(taken) == sorted(detail["incident"] for detail in told.memory.bus.of("Incident Opened"))


async def test_trouble_about_a_location_can_be_acknowledged(story: Story) -> None:
    told = await story("dublin P P O O")
    taken = await pipeline.acknowledge(told.plan, told.memory.world, "@dublin", "ada")
    assert (taken.acknowledged_by, taken.because) == ("ada", "no network here")
