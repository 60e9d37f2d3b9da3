from probes.channels.console import Config, message
from tests.channels.alerts import AT, HOSTILE, NOW, alert, storm, subject

CONTROL = [chr(n) for n in (*range(10), *range(11, 32), *range(127, 160))] + ["\u202e", "\u2028", "\u2066", "\u200b"]


def told(one):
    return message(one, Config(), NOW).text


def test_one_block_says_what_since_when_because_and_where_to_read():
    assert told(alert()) == (
        "[DOWN] Price a basket\n"
        "  check:        quote (http, shop)\n"
        "  target:       POST https://api.shop.example/v1/quotes\n"
        "  since:        2026-02-03T04:05:00Z, for 2m30s\n"
        "  because:      status == 201 (status was 503)\n"
        "  seen from:    dublin, virginia\n"
        "  owner:        team-checkout\n"
        "  runbook:      https://wiki.shop.example/runbooks/checkout\n"
        "  page:         http://127.0.0.1:8080/checks/quote\n"
    )


def test_recovery_says_how_long_it_was():
    text = told(alert(subject(resolved_at=AT + 90), event="resolved"))
    assert text.startswith("[RECOVERED] Price a basket\n")
    assert "2026-02-03T04:05:00Z until 2026-02-03T04:06:30Z, 1m30s" in text


def test_reminder_and_escalation_say_so():
    assert told(alert(event="reminded")).startswith("[STILL DOWN]")
    assert told(alert(event="reminded", reason="worsened")).startswith("[NOW DOWN]")
    assert told(alert(event="escalated")).startswith("[DOWN, ESCALATED]")
    assert told(alert(subject(status="degraded"), severity="warning")).startswith("[DEGRADED]")


def test_nothing_a_target_wrote_can_steer_the_terminal():
    hostile = subject(**dict.fromkeys(("because", "name", "target", "owner", "fault", "runbook", "link", "status"), HOSTILE))
    for one in (alert(hostile, reason=HOSTILE, service=HOSTILE), storm(because=HOSTILE)):
        text = told(one)
        assert not any(letter in text for letter in CONTROL)
        assert "\\x1b[31m" in text
        assert "evil" not in "".join(line for line in text.splitlines() if line.lstrip().startswith(("runbook", "page")))


def test_no_text_makes_a_new_line_of_its_own():
    assert told(alert(subject(because="a\nb\r\nc"))).count("\n") == told(alert()).count("\n")


def test_a_group_is_one_block():
    text = told(storm(37))
    assert text.startswith("[FAILING] checkout: 37 checks (check-0, check-1, check-2 and 34 more)\n")
    assert text.count("\n  check-") == 10
    assert "\n  and 27 more\n" in text
