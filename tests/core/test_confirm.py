"""Confirming: m of the last n runs in slot order, whatever the order of arrival; a quorum of those that report."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.core.check import Confirm
from probes.core.confirm import GRACE, LETTERS, Change, Evidence, Window, agree, confirm, lapse, needed, patience

OUTCOMES = {letter: outcome for outcome, letter in LETTERS.items()}
EVERY = 60.0


def play(letters: str, policy: Confirm = Confirm(), window: Window = Window()) -> tuple[Window, list[Change]]:
    changes = []
    for number, letter in enumerate(letters):
        if letter != ".":
            window, change = confirm(policy, window, Evidence(number * EVERY, OUTCOMES[letter], "why"), patience(EVERY))
            changes += [change] if change else []
    return window, changes


def moves(letters: str, policy: Confirm = Confirm()) -> str:
    """``2:down 5:up`` for the statuses that letters lead to."""
    return " ".join(f"{change.at / EVERY:.0f}:{change.after}" for change in play(letters, policy)[1])


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("P", "0:up"),
        ("F", ""),
        ("FF", "1:down"),
        ("D", ""),
        ("DD", "1:degraded"),
        ("E", ""),
        ("EEEEEE", ""),
        ("PFF", "0:up 2:down"),
        ("PFPF", "0:up 3:down"),
        ("PFPPF", "0:up"),
        ("PFEF", "0:up 3:down"),  # an error of ours is no evidence, neither way
        ("PFDPP", "0:up 2:degraded 4:up"),
        ("PDFF", "0:up 2:degraded 3:down"),
        ("PFFPP", "0:up 2:down 4:up"),
        ("PFFPEP", "0:up 2:down 5:up"),
        ("PFFPFP", "0:up 2:down"),
        ("PFFDD", "0:up 2:down 4:degraded"),
        ("PFFPD", "0:up 2:down 4:degraded"),
        ("PFFDDPP", "0:up 2:down 4:degraded 6:up"),
        ("PF..F", "0:up 4:down"),
        ("PF....F", "0:up"),  # more than three periods apart: they do not add up
        ("PFFSPP", "0:up 2:down 5:up"),
    ],
)
def test_two_of_three(letters: str, expected: str) -> None:
    assert moves(letters) == expected


@pytest.mark.parametrize(
    ("policy", "letters", "expected"),
    [
        (Confirm(1, 1, "any", 1), "PFPF", "0:up 1:down 2:up 3:down"),
        (Confirm(3, 3), "PFFPFFF", "0:up 6:down"),
        (Confirm(3, 5), "PFPFPF", "0:up 5:down"),
        (Confirm(2, 3, "any", 1), "PFFP", "0:up 2:down 3:up"),
        (Confirm(2, 3, "any", 4), "PFFPPPFPPPP", "0:up 2:down 10:up"),
        (Confirm(1, 1, "any", 3), "FPPP", "0:down 3:up"),
    ],
)
def test_other_policies(policy: Confirm, letters: str, expected: str) -> None:
    assert moves(letters, policy) == expected


def test_a_change_says_why_and_shows_its_evidence() -> None:
    _, (up, down, again) = play("PFFPP")
    assert down == Change("up", "down", 2 * EVERY, "why", "PFF")
    assert (up.because, again.because, again.window) == ("the first pass", "2 passed in a row", "FPP")


def test_a_duplicate_and_a_very_late_run_give_back_the_same_window() -> None:
    window, _ = play("PPPPPPP")
    for at in (6 * EVERY, 3 * EVERY, 2.5 * EVERY, 0.0):
        after, change = confirm(Confirm(), window, Evidence(at, "failed"))
        assert after is window
        assert change is None


def test_a_straggler_completes_what_the_newest_run_began() -> None:
    window, _ = play("PP.F")
    assert window.status == "up"
    after, change = confirm(Confirm(), window, Evidence(2 * EVERY, "failed", "late"))
    assert change == Change("up", "down", 3 * EVERY, "why", "PFF")
    assert after.letters == "PPFF"


def test_a_straggler_never_undoes_newer_passes() -> None:
    window, _ = play("PF.PP")
    after, change = confirm(Confirm(), window, Evidence(2 * EVERY, "failed"))
    assert (after.status, change) == ("up", None)


policies = st.builds(
    lambda need, more, recover: Confirm(need, need + more, "any", recover), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3)
)


def naive(policy: Confirm, letters: str) -> str:
    """The same rules with the whole history at hand, in order."""
    status, known, seen = "unknown", "unknown", ""
    for letter in letters:
        if letter not in "PDF":
            continue
        seen += letter
        last, tail = seen[-policy.of :], seen[-policy.recover :]
        if letter == "F" and last.count("F") >= policy.need:
            status = "down"
        elif known == "down":
            if len(tail) == policy.recover and "F" not in tail:
                status = "degraded" if "D" in tail else "up"
        elif letter != "P" and len(last) - last.count("P") >= policy.need:
            status = "degraded"
        elif letter == "P" and (known != "degraded" or tail == "P" * policy.recover):
            status = "up"
        known = status if status != "unknown" else known
    return status


@given(policies, st.text("PDF", max_size=30))
def test_a_constant_window_equals_the_whole_history(policy: Confirm, letters: str) -> None:
    window, _ = play(letters, policy)
    assert window.status == naive(policy, letters)
    assert len(window.marks) <= max(policy.of, policy.recover) + 4


@given(policies, st.text("PDFE", min_size=1, max_size=30), st.data())
def test_any_order_of_arrival_ends_in_the_same_status(policy: Confirm, letters: str, data: st.DataObject) -> None:
    """Each run may be overtaken by up to three others, and any may come twice."""
    waiting = [(number, letter) for number, letter in enumerate(letters)]
    order = []
    while waiting:
        first = min(number for number, _ in waiting)
        overtaken = sum(number > first for number, _ in order)
        pick = 0 if overtaken >= 3 else data.draw(st.integers(0, min(3 - overtaken, len(waiting) - 1)))
        order.append(waiting.pop(pick))
        if data.draw(st.booleans()):
            order.append(order[-1])
    window, states = Window(), []
    for number, letter in order:
        window, _ = confirm(policy, window, Evidence(number * EVERY, OUTCOMES[letter]))
        states.append(window.status)
    straight = Window()
    for number, letter in enumerate(letters):
        straight, _ = confirm(policy, straight, Evidence(number * EVERY, OUTCOMES[letter]))
    assert (window.status, window.known, window.marks) == (straight.status, straight.known, straight.marks)


@given(policies, st.text("PDFE", max_size=12))
def test_a_window_survives_json(policy: Confirm, letters: str) -> None:
    window, _ = play(letters, policy)
    assert Window.parse(window.document()) == window


def test_silence_makes_a_location_dark_and_a_pass_brings_it_back() -> None:
    window, _ = play("PPF")
    last = window.proof or 0.0
    assert lapse(window, 0.0, EVERY, last + patience(EVERY))[0] is window
    dark, change = lapse(window, 0.0, EVERY, last + patience(EVERY) + 1)
    assert change is not None
    assert (change.before, change.after, change.because) == ("up", "unknown", "no runs were reported")
    assert (dark.dark, dark.marks, dark.known) == (True, (), "up")
    assert lapse(dark, 0.0, EVERY, last + 9999)[0] is dark
    assert confirm(Confirm(), dark, Evidence(last, "failed"))[0] is dark  # older than the silence
    back, change = confirm(Confirm(), dark, Evidence(last + 600, "passed"))
    assert (back.dark, back.status) == (False, "up")


def test_after_a_silence_a_check_that_was_down_still_needs_its_passes() -> None:
    window, _ = play("PFF")
    dark, _ = lapse(window, 0.0, EVERY, 9999.0)
    once, change = confirm(Confirm(), dark, Evidence(10_000.0, "passed"))
    assert (once.status, change) == ("unknown", None)
    twice, change = confirm(Confirm(), once, Evidence(10_060.0, "passed"))
    assert twice.status == "up"


def test_a_gap_is_told_within_three_periods_and_a_minute() -> None:
    assert 3 * EVERY < patience(EVERY) < 3 * EVERY + 60
    assert 0 < GRACE < 60


def test_silence_counts_from_creation_and_from_our_own_waking() -> None:
    assert lapse(Window(), 1000.0, EVERY, 1000.0 + patience(EVERY))[1] is None
    assert lapse(Window(), 1000.0, EVERY, 1001.0 + patience(EVERY))[1] is not None
    assert lapse(Window(), 1000.0, EVERY, 5000.0, resumed=4990.0)[1] is None


@pytest.mark.parametrize(
    ("quorum", "counts"),
    [("any", [1, 1, 1, 1, 1]), ("majority", [1, 2, 2, 3, 3]), ("all", [1, 2, 3, 4, 5]), (2, [1, 2, 2, 2, 2])],
)
def test_a_quorum_is_capped_by_who_reports(quorum: str | int, counts: list[int]) -> None:
    assert [needed(quorum, reporting) for reporting in range(1, 6)] == counts  # type: ignore[arg-type]


def seen(statuses: str) -> dict[str, Window]:
    words = {"u": "up", "d": "down", "g": "degraded", "?": "unknown", "x": "unknown"}
    return {
        f"place-{number}": replace(Window(), status=words[letter], dark=letter == "x", because=f"why {number}")  # type: ignore[arg-type]
        for number, letter in enumerate(statuses)
    }


@pytest.mark.parametrize(
    ("statuses", "status", "because"),
    [
        ("uuu", "up", "3 of 3 locations agree"),
        ("duu", "up", "2 of 3 locations agree: place-0 alone"),
        ("ddu", "down", "2 of 3 locations agree"),
        ("dgu", "degraded", "2 of 3 locations agree"),
        ("ddx", "down", "2 of 2 locations agree"),
        ("dxx", "down", "why 0"),
        ("d??", "up", None),  # the first to report does not decide alone
        ("???", "unknown", "no evidence yet"),
        ("xxx", "unknown", "no location sees it"),
        ("u", "up", "it passes"),
        ("d", "down", "why 0"),
    ],
)
def test_locations_agree(statuses: str, status: str, because: str | None) -> None:
    verdict = agree("majority", seen(statuses))
    assert verdict.status == status
    assert because is None or verdict.because == because
    assert verdict.blind is (statuses == "xxx")


@given(st.sampled_from(["any", "majority", "all", 1, 2, 3]), st.text("udg?x", min_size=1, max_size=6), st.randoms())
def test_the_order_of_locations_does_not_matter(quorum: str | int, statuses: str, chance: object) -> None:
    windows = seen(statuses)
    names = list(windows)
    chance.shuffle(names)  # type: ignore[attr-defined]
    first, second = (agree(quorum, each) for each in (windows, {name: windows[name] for name in names}))  # type: ignore[arg-type]
    assert (first.status, set(first.locations)) == (second.status, set(second.locations))


@given(st.sampled_from(["any", "majority", "all", 1, 2, 3]), st.text("udg", min_size=1, max_size=6), st.data())
def test_worse_evidence_never_makes_a_better_status(quorum: str | int, statuses: str, data: st.DataObject) -> None:
    rank = {"up": 0, "degraded": 1, "down": 2}
    place = data.draw(st.integers(0, len(statuses) - 1))
    worse = statuses[:place] + "d" + statuses[place + 1 :]
    assert rank[agree(quorum, seen(worse)).status] >= rank[agree(quorum, seen(statuses)).status]  # type: ignore[arg-type]
