"""Stories of what a channel needs beyond one request: to find its message again, and not to be told more than its product takes."""

import json

import pytest
import respx
from httpx import Response

from probes import pipeline
from probes.core.outbox import room
from tests.stories.conftest import MINUTE, Story

POST, UPDATE = "https://slack.com/api/chat.postMessage", "https://slack.com/api/chat.update"
SLACK = {
    "secrets": {"SLACK": "env:SLACK"},
    "channels": {"chat": {"slack": {"token": "${{ secret.SLACK }}", "channel": "#alerts"}}},
    "routes": [{"notify": ["chat"], "repeat": "5m"}],
}
PAGES = {
    "secrets": {"PAGES": "env:PAGES"},
    "channels": {"oncall": {"pagerduty": {"routing_key": "${{ secret.PAGES }}"}}},
    "routes": [{"notify": ["oncall"]}],
}


class Slack:
    """Answers like Slack: each message has a ``ts`` of its own; ``lost`` are messages that somebody deleted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []
        self.lost: set[str] = set()

    def __call__(self, request):  # type: ignore[no-untyped-def]
        payload = json.loads(request.content)
        what = "update" if request.url.path.endswith("update") else "reply" if "thread_ts" in payload else "post"
        about = payload.get("ts") or payload.get("thread_ts")
        word = payload["text"].split(":")[0].split(" ", 1)[1]
        self.calls.append((f"{what} {word}", about))
        if about in self.lost:
            return Response(200, json={"ok": False, "error": "message_not_found"})
        return Response(
            200, json={"ok": True, "channel": "C0000000001", "ts": about if what == "update" else f"{len(self.calls)}.0"}
        )


@pytest.fixture
def slack():
    with respx.mock(assert_all_called=False) as router:
        answering = Slack()
        router.post(POST).mock(side_effect=answering)
        router.post(UPDATE).mock(side_effect=answering)
        yield answering


async def told_to(story, top, tape):
    """A story whose channels need a secret, which is there from the first run on."""
    told = await story("dublin P", **top)
    told.memory.secrets.values = {"env:SLACK": "xoxb-secretsecret", "env:PAGES": "0123456789abcdef0123456789abcdef"}
    return await told.play(tape)


async def test_one_message_is_kept_up_to_date_and_forgotten_after_recovery(story: Story, slack: Slack) -> None:
    told = await told_to(story, SLACK, "dublin F F F F F F F P P P")
    assert slack.calls == [
        ("post DOWN", None),
        ("reply STILL DOWN", "1.0"),
        ("update STILL DOWN", "1.0"),
        ("update RECOVERED", "1.0"),
        ("reply RECOVERED", "1.0"),
    ]
    assert await told.memory.store.find("notes/") == {}
    await told.play("dublin " + "P " * 70 + "F F F")
    assert slack.calls[5:] == [("post DOWN", None)]


async def test_a_recovery_whose_message_was_deleted_is_told_anew(story: Story, slack: Slack) -> None:
    told = await told_to(story, SLACK, "dublin F F F")
    slack.lost.add("1.0")
    await told.play("dublin P P P P P")
    assert slack.calls == [("post DOWN", None), ("update RECOVERED", "1.0"), ("post RECOVERED", None)]
    assert await told.owed() == 0


async def test_a_group_has_one_thread(story: Story, slack: Slack) -> None:
    top = {**SLACK, "routes": [{"notify": ["chat"], "group_by": ["kind"], "wait": "30s"}]}
    told = await story("quote@dublin P\nbasket@dublin P", **top)
    told.memory.secrets.values = {"env:SLACK": "xoxb-secretsecret"}
    await told.play(f"quote@dublin {'F ' * 10}{'P ' * 20}\nbasket@dublin {'F ' * 16}{'P ' * 14}")
    assert [what for what, _ in slack.calls] == ["post FAILING", "reply RECOVERED", "update RECOVERED", "reply RECOVERED"]
    assert {about for _, about in slack.calls} == {None, "1.0"}
    assert await told.memory.store.find("notes/") == {}


async def test_no_more_pages_leave_than_the_product_takes_and_none_is_lost(story: Story) -> None:
    checks = [f"c{n}" for n in range(130)]
    with respx.mock() as router:
        route = router.post("https://events.pagerduty.com/v2/enqueue").respond(202, json={"status": "success"})
        told = await story("\n".join(f"{check}@dublin P" for check in checks), **PAGES)
        told.memory.secrets.values = {"env:PAGES": "0123456789abcdef0123456789abcdef"}
        told.step = MINUTE  # the end of the outage is one payment
        await told.play("\n".join(f"{check}@dublin F F" for check in checks))
        assert await told.owed() == 10
        assert route.call_count == 120
        await pipeline.pay(told.plan, told.memory.world)
        assert route.call_count == 120
        told.memory.clock.at += 61.0
        await pipeline.pay(told.plan, told.memory.world)
        assert (route.call_count, await told.owed()) == (130, 0)
        assert len({json.loads(call.request.content)["dedup_key"] for call in route.calls}) == 130
        assert len((await told.memory.store.read("sent/oncall"))[0]) == 10  # what is past is not kept


def test_room_within_any_window() -> None:
    assert room([], (3, 10.0), 100.0) == 3
    assert room([90.0, 90.5, 99.0], (3, 10.0), 100.0) == 1
    assert room([95.0] * 5, (3, 10.0), 100.0) == 0
    assert room([200.0] * 5, (3, 10.0), 100.0) == 3  # the clock was set back: what it says of the future is nothing
