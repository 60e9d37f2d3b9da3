"""Durations, sizes, percentages and times keep their value through their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.core.units import Duration, Size, duration, instant, iso, percent, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"), (0.0001, "0.1ms"), (0.3, "300ms"), (0.3005, "300.5ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m"), (90, "1m30s"),
        (90.25, "1m30.25s"), (5400, "1h30m"), (86400, "1d"), (14 * 86400, "14d"), (86400.5, "1d0.5s"), (-3, "-3s"),
        (0.9999999, "1s"),
    ],
)  # fmt: skip
def test_durations_print_as_they_are_said(seconds: float, text: str) -> None:
    assert str(Duration(seconds)) == text
    assert repr(Duration(seconds)) == text


def test_a_duration_that_is_no_number_prints() -> None:
    assert str(Duration("nan")) == "nan"
    assert str(Duration("inf")) == "inf"


@given(st.integers(0, 100 * 365 * 86400 * 1_000_000))
def test_durations_round_trip_to_the_microsecond(microseconds: int) -> None:
    value = Duration(round(microseconds / 1e6, 6))
    assert duration(str(value)) == value
    assert str(duration(str(value))) == str(value)


@given(st.integers(0, 1 << 50))
def test_sizes_round_trip(count: int) -> None:
    assert size(str(Size(count))) == count


@pytest.mark.parametrize(("text", "count"), [("64KB", 65536), ("1.5MB", 1572864), ("0B", 0), ("2GB", 2147483648)])
def test_sizes(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize(
    "text", [60, 1.5, "60", True, None, "", "s", "5min", "1h 30m", "-5s", "5s!", "1e3s", "40000d", "\u0665s", [], "5S"]
)
def test_what_is_no_duration_is_refused_with_its_mend(text: object) -> None:
    with pytest.raises(ValueError, match=r"write|number with a unit|longer"):
        duration(text)


def test_a_duration_without_unit_names_three() -> None:
    for text in (60, "60"):
        with pytest.raises(ValueError, match=r"^a duration needs a unit: write 60s, 60ms or 60m$"):
            duration(text)


@pytest.mark.parametrize("text", [64, "64", True, None, "64kb", "1.5B", "-1B", "99999999GB", ""])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"size|bytes"):
        size(text)


def test_percent() -> None:
    assert percent("99.95%") == 99.95
    for text in ("99.95", "101%", "-1%", "", 99, None, "nan%"):
        with pytest.raises(ValueError, match="percentage"):
            percent(text)


@given(st.integers(0, 4_000_000_000_000))
def test_times_round_trip_to_the_millisecond(milliseconds: int) -> None:
    assert instant(iso(milliseconds / 1000)) == milliseconds / 1000


def test_times() -> None:
    assert iso(1770091500) == "2026-02-03T04:05:00Z"
    assert iso(1770091500.25) == "2026-02-03T04:05:00.250Z"
    assert instant("2026-03-01T01:00Z") == instant("2026-03-01T02:00+01:00")
    for text in ("2026-03-01T01:00", "yesterday", "2026-13-01T00:00Z"):
        with pytest.raises(ValueError, match=r"zone|not a time"):
            instant(text)
