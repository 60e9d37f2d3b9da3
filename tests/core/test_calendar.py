"""Maintenance windows: over midnight, on the days clocks change, in three zones; against a minute-by-minute count."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.core.calendar import DAYS, current, following, opening
from probes.core.route import Maintenance, Weekly


def weekly(days: str, at: str, hours: float, zone: str = "UTC") -> Maintenance:
    return Maintenance("release", (), Weekly(tuple(days.split()), at, zone), None, hours * 3600)


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def holds(window: Maintenance, text: str) -> bool:
    return current(window, utc(text)) is not None


def test_a_weekly_window_begins_and_ends() -> None:
    window = weekly("tue", "02:00", 2)
    assert [holds(window, f"2026-02-03T{t}") for t in ("01:59:59", "02:00:00", "03:59:59", "04:00:00")] == [
        False,
        True,
        True,
        False,
    ]
    assert not holds(window, "2026-02-04T03:00:00")
    assert current(window, utc("2026-02-03T03:00:00")) == (utc("2026-02-03T02:00:00"), utc("2026-02-03T04:00:00"))


def test_a_window_goes_over_midnight_and_the_end_of_the_week() -> None:
    window = weekly("sun", "23:00", 3)
    assert holds(window, "2026-02-08T23:30:00")
    assert holds(window, "2026-02-09T01:59:00")
    assert not holds(window, "2026-02-09T02:00:00")
    assert not holds(window, "2026-02-08T01:00:00")


def test_a_window_of_several_days() -> None:
    window = weekly("fri", "18:00", 62)
    assert holds(window, "2026-02-09T07:59:00")
    assert not holds(window, "2026-02-09T08:00:00")


def test_a_single_window() -> None:
    window = Maintenance("move", (), None, utc("2026-03-01T01:00:00"), 4 * 3600)
    assert [holds(window, f"2026-03-01T0{hour}:00:00") for hour in (0, 1, 4, 5)] == [False, True, True, False]
    assert following(window, utc("2026-02-01T00:00:00")) == utc("2026-03-01T01:00:00")
    assert following(window, utc("2026-03-01T01:00:00")) is None


@pytest.mark.parametrize(
    ("zone", "day", "at", "opens"),
    [
        ("Europe/Dublin", "2026-03-24", "02:00", "2026-03-24T02:00:00"),
        ("Europe/Dublin", "2026-03-31", "02:00", "2026-03-31T01:00:00"),  # two days after clocks went forward
        ("Europe/Dublin", "2026-03-29", "01:30", "2026-03-29T01:30:00"),  # skipped: opens as much later as was skipped (02:30 IST)
        ("Europe/Dublin", "2026-10-25", "01:30", "2026-10-25T00:30:00"),  # comes twice: the first one
        ("America/New_York", "2026-03-08", "02:30", "2026-03-08T07:30:00"),  # skipped: 03:30 EDT
        ("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30:00"),  # comes twice
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:45:00"),  # half an hour is skipped: 02:45 LHDT
        ("Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-04T14:45:00"),  # half an hour comes twice
    ],
)
def test_openings_on_the_days_clocks_change(zone: str, day: str, at: str, opens: str) -> None:
    assert opening(Weekly(("sun",), at, zone), date.fromisoformat(day)) == utc(opens)


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Dublin", "2026-03-29"), ("America/New_York", "2026-11-01"), ("Australia/Lord_Howe", "2026-10-04")]
)
def test_a_window_lasts_as_long_on_those_days(zone: str, day: str) -> None:
    window = weekly("sun", "00:30", 4, zone)
    start = opening(window.weekly, date.fromisoformat(day))  # type: ignore[arg-type]
    inside = [minute for minute in range(-120, 480) if current(window, start + 60 * minute) is not None]
    assert inside == list(range(240))


zones = st.sampled_from(["UTC", "Europe/Dublin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
times = st.builds(lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.integers(0, 59))
moments = st.integers(int(utc("2026-01-01T00:00:00")), int(utc("2026-12-31T00:00:00")))


@given(st.sets(st.sampled_from(DAYS), min_size=1), times, st.integers(1, 30 * 60), zones, moments)
def test_equals_a_brute_force_count(days: set[str], at: str, minutes: int, zone: str, moment: int) -> None:
    """Every local day near the moment is asked for its opening; nothing else is shared with the code under test."""
    window = Maintenance("w", (), Weekly(tuple(days), at, zone), None, minutes * 60.0)
    hour, minute = map(int, at.split(":"))
    middle = datetime.fromtimestamp(moment, ZoneInfo(zone)).date()
    opens = []
    for offset in range(-4, 5):
        day = middle + timedelta(days=offset)
        if DAYS[day.weekday()] in days:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
            opens.append(local.timestamp())
    assert (current(window, moment) is not None) == any(start <= moment < start + minutes * 60 for start in opens)


@given(st.sets(st.sampled_from(DAYS), min_size=1), times, zones, moments)
def test_the_following_opening_is_the_first_one_after(days: set[str], at: str, zone: str, moment: int) -> None:
    window = weekly(" ".join(sorted(days)), at, 0.5, zone)
    start = following(window, moment)
    assert start is not None
    assert start > moment
    assert current(window, start) == (start, start + 1800)
    assert current(window, start - 1) is None or current(window, start - 1) != (start, start + 1800)
    local = datetime.fromtimestamp(start, ZoneInfo(zone))
    assert DAYS[local.weekday()] in days
    assert start - moment <= 8 * 86400
