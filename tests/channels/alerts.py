from probes.core.alert import Alert, Subject

AT = 1_770_091_500.0  # 2026-02-03T04:05:00Z


def subject(**changes) -> Subject:
    fields = {
        "id": "quote/2026-02-03T04:05:00Z",
        "check": "quote",
        "name": "Price a basket",
        "kind": "http",
        "target": "POST https://api.shop.example/v1/quotes",
        "group": "checkout",
        "owner": "team-checkout",
        "tags": ("tier-1",),
        "severity": "critical",
        "status": "down",
        "opened_at": AT,
        "because": "status == 201 (status was 503)",
        "locations": ("dublin", "virginia"),
        "runbook": "https://wiki.shop.example/runbooks/checkout",
        "link": "http://127.0.0.1:8080/checks/quote",
        "findings": ({"assertion": "status == 201", "level": "must", "holds": False, "because": "status was 503"},),
        "phases_ms": {"connect": 12.0, "wait": 75.0},
    }
    return Subject(**{**fields, **changes})


def alert(*subjects: Subject, **changes) -> Alert:
    chosen = subjects or (subject(),)
    fields = {
        "id": "quote/2026-02-03T04:05:00Z/opened/chat",
        "key": "quote/2026-02-03T04:05:00Z",
        "channel": "chat",
        "event": "opened",
        "reason": "opened",
        "severity": "critical",
        "at": AT,
        "service": "shop",
        "subjects": chosen,
        "total": len(chosen),
    }
    return Alert(**{**fields, **changes})


def storm(count: int = 1000, **changes) -> Alert:
    some = [subject(**{"id": f"check-{n}/x", "check": f"check-{n}", "name": f"Check {n}", **changes}) for n in range(10)]
    return alert(*some, total=count, group="checkout", key="group/checkout/1")


HOSTILE = "\x1b[31mred\x1b[0m <!channel> <https://evil.example|click> & \u202eback\u2028\r\nBcc: all@example.com `code` @here"


NOW = AT + 150
