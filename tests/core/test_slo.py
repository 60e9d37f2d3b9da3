"""Error budgets: window sums equal a brute-force count; one bad probe burns nothing; an outage does."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.core.check import Check, Confirm, Objective, Retries
from probes.core.slo import FINE, HOUR, ROWS, Budget, Ledger, bucket, budget, expected, label, warning

DAY = 86400.0
NOW = 1_770_091_500.0 // DAY * DAY + DAY / 2
MONTH = Objective(99.9, 30 * DAY)
CHECK = Check("quote", "quote", "http", {}, (), (), 60.0, 10.0, Retries(), ("dublin",), Confirm(), slo=MONTH)


def ledger(bad: dict[int, int], days: float = 3, now: float = NOW) -> Ledger:
    """A run a minute over the last days; ``bad``: minutes before now that failed."""
    fine: dict[int, tuple[int, int]] = {}
    for minute in range(1, int(days * 1440)):
        start = bucket(now - 60 * minute)
        good, wrong = fine.get(start, (0, 0))
        fine[start] = (good, wrong + 1) if bad.get(minute) else (good + 1, wrong)
    book = Ledger({}, {})
    for start in sorted(fine):  # as ticks enter them: a few at a time
        book = book.enter({start: fine[start]}, 30 * DAY, start + FINE)
    return book


def outage(minutes: range) -> dict[int, int]:
    return dict.fromkeys(minutes, 1)


def test_all_good() -> None:
    left = budget(CHECK, MONTH, ledger({}), 1, NOW)
    assert (left.sli, left.remaining, left.bad, left.burning) == (100.0, 100.0, 0, ())
    assert left.allowed == pytest.approx(43.2)


def test_bad_runs_use_the_budget_up() -> None:
    left = budget(CHECK, MONTH, ledger(outage(range(1, 22))), 1, NOW)
    assert left.remaining == pytest.approx(100 * (1 - 21 / 43.2))
    assert budget(CHECK, MONTH, ledger(outage(range(1, 101))), 1, NOW).remaining < 0


@pytest.mark.parametrize("percent", [90.0, 99.0, 99.5, 99.9, 99.95, 99.99])
@pytest.mark.parametrize("minute", [1, 3, 30, 300])
def test_one_bad_probe_never_burns(percent: float, minute: int) -> None:
    objective = Objective(percent, 30 * DAY)
    assert budget(CHECK, objective, ledger({minute: 1}), 1, NOW).burning == ()


def test_a_total_outage_burns_soon_and_the_fast_row_first() -> None:
    burning = [
        next((burn.row.severity for burn in budget(CHECK, MONTH, ledger(outage(range(1, 1 + minutes))), 1, NOW).burning), None)
        for minutes in range(1, 6)
    ]
    assert burning == [None, None, "page", "page", "page"]


def test_trouble_that_is_over_stops_burning() -> None:
    book = ledger(outage(range(40, 60)))
    assert [burn.window for burn in budget(CHECK, MONTH, book, 1, NOW).burning] == ["1d", "3d"]


def test_a_window_that_is_mostly_unseen_does_not_burn() -> None:
    assert budget(CHECK, MONTH, ledger(outage(range(1, 10)), days=0.01), 1, NOW).burning == ()


def test_more_badness_never_means_more_budget() -> None:
    before: Budget | None = None
    for minutes in range(0, 200, 10):
        now = budget(CHECK, MONTH, ledger(outage(range(1, 1 + minutes))), 1, NOW)
        if before is not None:
            assert now.remaining <= before.remaining
            assert len(now.burning) >= len(before.burning)
        before = now


def test_an_objective_of_all_allows_nothing() -> None:
    perfect = Objective(100.0, 30 * DAY)
    assert budget(CHECK, perfect, ledger({}), 1, NOW).remaining == 100.0
    assert budget(CHECK, perfect, ledger({5: 1}), 1, NOW).remaining == 0.0


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_window_sums_equal_a_count(seed: int, hours: int) -> None:
    """Every window at the end of a random stream, against the runs themselves; entered late, twice and in pieces."""
    chance = random.Random(seed)
    runs = [(NOW - chance.random() * hours * HOUR, chance.random() < 0.3) for _ in range(200)]
    book = Ledger({}, {})
    for step in range(int(NOW - hours * HOUR), int(NOW) + 600, 1800):
        seen = [run for run in runs if run[0] <= step]
        recent = sorted({bucket(at) for at, _ in seen})[-7:]
        counts = {
            b: (sum(bucket(at) == b and not bad for at, bad in seen), sum(bucket(at) == b and bad for at, bad in seen))
            for b in recent
        }
        book = book.enter(counts, 30 * DAY, step)
        book = book.enter(counts, 30 * DAY, step)
    for window in (FINE, 1800.0, HOUR, 6 * HOUR):
        inside = [bad for at, bad in runs if at // FINE * FINE > NOW - window - FINE]
        assert book.count(window, NOW) == (len(inside) - sum(inside), sum(inside))
    for window in (12 * HOUR, DAY, 3 * DAY):
        inside = [bad for at, bad in runs if at // HOUR * HOUR > NOW - window - HOUR]
        assert book.count(window, NOW) == (len(inside) - sum(inside), sum(inside))


def test_a_ledger_is_bounded_and_survives_json() -> None:
    book = ledger({}, days=40)
    assert len(book.fine) <= 7 * 12 + 2
    assert len(book.hours) <= 30 * 24 + 2
    assert Ledger.parse(book.document()) == book
    assert Ledger.parse(None) == Ledger({}, {})


def test_what_probes_cannot_express_is_warned_about() -> None:
    assert warning(CHECK) is None
    assert warning(replace(CHECK, slo=None)) is None
    text = warning(replace(CHECK, slo=Objective(99.95, DAY)))
    assert text is not None
    assert "99.95% of 1,440 runs in 1d" in text
    assert "0.72" in text
    assert warning(replace(CHECK, slo=Objective(99.95, DAY)), locations=5) is None


def test_rows_are_those_of_the_workbook() -> None:
    factors = [round(row.share * 30 * DAY / row.long, 2) for row in ROWS]
    assert factors == [14.4, 6.0, 3.0, 1.0]
    assert all(row.long / row.short == 12 for row in ROWS)
    assert label(MONTH) == "99.9% over 30d"
    assert expected(CHECK, 3, 3600) == 180
