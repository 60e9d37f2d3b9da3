"""The outbox: order within an incident and channel, one message for a group, backoff without chance."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.core.alert import Alert, Delivery, Subject
from probes.core.outbox import CAP, INTERVAL, LEASE, TRIES, Owed, add, after, batches, claim, parked, stream

AT = 1_770_091_500.0


def alert(incident: str, event: str = "opened", group: str | None = None, channel: str = "chat", at: float = AT) -> Alert:
    subject = Subject(incident, incident, incident, "http", "", None, None, (), "critical", "down", AT, "why")
    key = group or incident
    return Alert(f"{incident}/{event}/{channel}", key, channel, event, event, "critical", at, "shop", (subject,), 1, group)  # type: ignore[arg-type]


def owe(*alerts: Alert, wait: float = 0.0) -> tuple[Owed, ...]:
    return add((), [(one, wait) for one in alerts])[0]


def ids(owed: tuple[Owed, ...], now: float = AT, **kwargs: dict[str, float]) -> list[list[str]]:
    found = batches(owed, kwargs.get("sent", {}), kwargs.get("told", {}), now)  # type: ignore[arg-type]
    return [[one.alert.id for one in batch.owed] for batch in found]


def test_one_after_the_other_within_an_incident_and_channel() -> None:
    owed = owe(alert("a"), alert("a", channel="oncall"), alert("b"), alert("a", "resolved"))
    assert ids(owed) == [["a/opened/chat"], ["a/opened/oncall"], ["b/opened/chat"]]
    assert ids(owed[3:]) == [["a/resolved/chat"]]
    tried = (replace(owed[0], next=AT + 10), *owed[1:])
    assert ids(tried) == [["a/opened/oncall"], ["b/opened/chat"]]  # the resolve waits behind its opening


def test_an_alert_waits_for_its_time() -> None:
    owed = owe(alert("a"), wait=30.0)
    assert ids(owed, AT + 29) == []
    assert ids(owed, AT + 30) == [["a/opened/chat"]]


def test_a_group_leaves_as_one_message_when_the_first_has_waited() -> None:
    owed = add(owe(alert("a", group="g"), wait=30.0), [(alert("b", group="g", at=AT + 29), 30.0)])[0]
    assert ids(owed, AT + 29) == []
    (batch,) = batches(owed, {}, {}, AT + 30)
    assert (batch.alert.total, [s.id for s in batch.alert.subjects], batch.alert.key) == (2, ["a", "b"], "g")


def test_the_next_message_of_a_group_waits_for_the_interval() -> None:
    owed = owe(alert("c", group="g"))
    sent = {stream(alert("a", group="g")): AT - 10}
    assert ids(owed, AT, sent=sent) == []
    assert ids(owed, AT - 10 + INTERVAL, sent=sent) == [["c/opened/chat"]]
    assert ids(owe(alert("c", "resolved", group="g")), AT, sent=sent) == [["c/resolved/chat"]]


@pytest.mark.parametrize(("reason", "leaves"), [("worsened", True), ("escalated", True), ("repeat", False)])
def test_what_presses_takes_the_waiting_opening_along(reason: str, leaves: bool) -> None:
    owed = add(owe(alert("c", group="g"), wait=30.0), [(replace(alert("c", "reminded", "g"), reason=reason), 0.0)])[0]
    assert ids(owed, AT, sent={stream(alert("a", group="g")): AT - 10}) == ([["c/opened/chat"]] if leaves else [])


def test_reminders_do_not_pile_up_behind_a_channel_that_is_down() -> None:
    def reminder(number: int) -> Alert:
        return replace(alert("a", "reminded"), id=f"a/reminded/chat/{number}", reason="repeat")

    tried = (claim(owe(alert("a"))[0], "a/opened/chat", AT),)
    owed = tried
    for number in range(5):
        owed = add(owed, [(reminder(number), 0.0)])[0]
    assert [one.alert.id for one in owed] == ["a/opened/chat", "a/reminded/chat/4"]
    owed = add(owed, [(alert("a", "resolved"), 0.0)])[0]
    assert [one.alert.id for one in owed] == ["a/opened/chat", "a/resolved/chat"]


def test_a_message_that_was_tried_keeps_its_members() -> None:
    first = tuple(claim(one, "batch-1", AT) for one in owe(alert("a", group="g"), alert("b", group="g")))
    owed = (*first, *owe(alert("c", group="g")))
    assert ids(owed, AT, sent={stream(alert("a", group="g")): AT}) == []
    (batch,) = batches(owed, {stream(alert("a", group="g")): AT}, {}, AT + LEASE)
    assert (batch.id, [one.incident for one in batch.owed]) == ("batch-1", ["a", "b"])


def test_a_group_is_resolved_outside_when_the_last_incident_is() -> None:
    owed = owe(alert("a", "resolved", group="g"))
    assert batches(owed, {}, {"chat|g": 1}, AT)[0].alert.key == "g/a"
    assert batches(owed, {}, {}, AT)[0].alert.key == "g"


def test_at_most_ten_names_and_the_worst_first() -> None:
    many = [alert(f"i{n:02}", group="g") for n in range(25)]
    many[20] = replace(many[20], severity="critical")
    many = [replace(one, severity="warning") if n != 20 else one for n, one in enumerate(many)]
    (batch,) = batches(owe(*many), {}, {}, AT)
    assert (batch.alert.total, len(batch.alert.subjects), batch.alert.severity) == (25, 10, "critical")
    assert batch.alert.subjects[0].id == "i20"


def test_what_ends_while_it_waits_cancels_out() -> None:
    waiting = owe(alert("a"), wait=30.0)
    left, cancelled = add(waiting, [(alert("a", "resolved", at=AT + 5), 0.0)])
    assert (left, [one.id for one in cancelled]) == ((), ["a/resolved/chat"])
    tried = (claim(waiting[0], "b", AT),)
    assert len(add(tried, [(alert("a", "resolved"), 0.0)])[0]) == 2  # it may have got through
    assert len(add(owe(alert("a")), [(alert("a", "resolved"), 0.0)])[0]) == 2  # it waited for nothing


def test_paid_parked_or_put_off() -> None:
    one = claim(owe(alert("a"))[0], "b", AT)
    assert after(one, Delivery("delivered", "ok"), AT) is None
    later = after(one, Delivery("retry", "503"), AT)
    assert later is not None
    assert (later.error, later.attempts) == ("503", 1)
    assert after(one, Delivery("permanent", "400"), AT) is not None
    assert after(replace(one, attempts=TRIES), Delivery("permanent", "400"), AT) is None
    assert parked(replace(one, attempts=TRIES), Delivery("permanent", "400"), AT)
    assert after(replace(one, attempts=500), Delivery("retry", "503"), AT + 23 * 3600) is not None
    assert after(one, Delivery("retry", "503"), AT + 25 * 3600) is None


@given(st.integers(1, 200), st.text(max_size=8), st.none() | st.floats(0, 5000))
def test_backoff_is_bounded_and_repeatable(attempts: int, name: str, wish: float | None) -> None:
    one = replace(owe(alert(name))[0], attempts=attempts)
    answer = Delivery("retry", "503", wish)
    first, second = after(one, answer, AT), after(one, answer, AT)
    assert first is not None
    assert first == second
    assert AT + 1 <= first.next <= AT + max(CAP, wish or 0.0)
    assert first.next >= AT + (wish or 0.0)


def test_the_jitter_spreads() -> None:
    waits = {
        round((after(replace(owe(alert(f"i{n}"))[0], attempts=8), Delivery("retry", ""), AT) or owe(alert("x"))[0]).next)
        for n in range(50)
    }
    assert len(waits) > 30


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["chat", "oncall"]), st.sampled_from([None, "g"])), max_size=12),
    st.data(),
)
def test_every_alert_leaves_once_and_in_order(wanted: list[tuple[str, str, str | None]], data: st.DataObject) -> None:
    owed: tuple[Owed, ...] = ()
    for number, (incident, channel, group) in enumerate(wanted):
        one = replace(alert(incident, "reminded", group, channel, AT + number), id=f"{number}")
        owed = add(owed, [(one, data.draw(st.sampled_from([0.0, 30.0])))])[0]
    left, now, gone, sent = owed, AT, list[Owed](), dict[str, float]()
    while left:
        now += 10
        for batch in batches(left, sent, {}, now):
            gone += batch.owed
            sent[stream(batch.alert)] = now
            left = tuple(one for one in left if one not in batch.owed)
        assert now < AT + 100_000
    assert sorted(one.alert.id for one in gone) == sorted(one.alert.id for one in owed)
    for incident, channel in {(incident, channel) for incident, channel, _ in wanted}:
        mine = [int(one.alert.id) for one in gone if (one.incident, one.alert.channel) == (incident, channel)]
        assert mine == sorted(mine)


@pytest.mark.parametrize("group", [None, "g"])
def test_what_is_owed_survives_json(group: str | None) -> None:
    one = claim(owe(alert("a", group=group))[0], "b", AT)
    assert Owed.parse(one.document()) == one
