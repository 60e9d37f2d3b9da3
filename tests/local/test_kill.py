"""kill -9 at any moment: the same incident goes on, and people are told once that it opened and once that it resolved."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.local.parts import Process, Target, eventually

CHECKS = """
version: 1
service: shop
defaults: {{every: 1s, timeout: 500ms, confirm: {{runs: 2 of 3, recover: 2}}}}
checks:
  quote: {{http: "GET {target}/"}}
  other: {{http: "GET {target}/"}}
channels:
  hook: {{webhook: {{url: "{hook}/", private: true}}}}
routes:
  - {{when: [check == "quote"], notify: [hook]}}
  - {{notify: [console]}}
"""


def told(hook: Target) -> list[str]:
    return [body["type"] for _, body in hook.messages]


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long), pytest.param(40, marks=pytest.mark.long)])
def test_killed_again_and_again_in_the_middle_of_an_incident(tmp_path: Path, kills: int) -> None:
    chance = random.Random(kills)
    path = tmp_path / "checks.yaml"
    with Target() as target, Target() as hook:
        path.write_text(CHECKS.format(target=target.url, hook=hook.url))
        process = Process(path)
        process.up()
        eventually(lambda: target.seen >= 4)
        target.status = 503
        for kill in range(kills):
            if kill == kills - 1:  # the last one around the recovery
                eventually(lambda: "incident.opened" in told(hook))
                target.status = 200
            process.up()
            seen = target.seen
            eventually(lambda seen=seen: target.seen > seen)  # it looks again soon after each kill
            time.sleep(chance.uniform(0.0, 2.0))  # any moment of probing, settling and paying
            process.end(signal.SIGKILL)
            process = Process(path)
        process.up()
        try:
            eventually(lambda: "incident.resolved" in told(hook), 100)
        finally:
            ended = process.end(signal.SIGTERM)
        assert ended < 5
        assert process.child.returncode == 0, process.talk()
    messages = dict(hook.messages)  # by id: a message that is sent again has the one it had
    assert [body["type"] for body in messages.values()] == ["incident.opened", "incident.resolved"]
    assert len({body["data"]["key"] for body in messages.values()}) == 1, "the incident keeps its id"
    assert len(hook.messages) - len(messages) <= kills, "at most one more sending for each kill"
    order = [body["type"] for _, body in hook.messages]
    assert order == sorted(order), "opened before resolved, also when sent again"
