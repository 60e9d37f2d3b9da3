"""``steps`` against a real server on loopback: order, captures, cookies, cleaning up, and nothing captured told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError

from probes.core import template
from probes.core.check import Check, Confirm, Retries
from probes.core.diagnostics import Rejected
from probes.core.judge import judge
from probes.core.kind import Context
from probes.core.result import Observation, Result, Run
from probes.core.spec import load
from probes.core.units import Duration
from probes.kinds import KINDS
from probes.kinds.steps import Target
from tests.kinds.looking import HOST, tidy
from tests.servers.raw import Peer, Raw, response

KIND = KINDS["steps"]
TOKEN = "eyJ.captured.token"


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Shop:
    """Answers by method and path; remembers what it was asked."""

    answers: dict[str, bytes | Callable[[Peer], Any]]
    asked: list[Request] = field(default_factory=list)

    def __call__(self, peer: Peer) -> None:
        head = peer.request()
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length:
            head = peer.request(int(length[1]))
        lines, _, body = head.partition(b"\r\n\r\n")
        first, *rest = lines.decode().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        self.asked.append(Request(method, path, headers, json.loads(body) if body else None))
        answer = self.answers.get(f"{method} {path.partition('?')[0]}", response(b"{}", "404 Not Found"))
        if callable(answer):
            answer(peer)
        else:
            peer.send(answer)

    @property
    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]


def data(value: Any, status: str = "200 OK", **headers: str) -> bytes:
    return response(json.dumps(value).encode(), status, Content_Type="application/json", **headers)


def buying(**more: Any) -> dict[str, bytes | Callable[[Peer], Any]]:
    return {
        "POST /sessions": data({"access_token": TOKEN, "user": {"id": 7}}, Set_Cookie="session=s3cr3t; Path=/"),
        "POST /orders": data({"id": 41, "reference": "r-1"}, "201 Created"),
        "DELETE /orders/41": data({}),
        **more,
    }


def journey(port: int) -> list[dict[str, Any]]:
    base = f"http://{HOST}:{port}"
    return [
        {"id": "login", "http": {"method": "POST", "url": f"{base}/sessions", "json": {"user": "probe"}}, "must": ["status == 200"],
         "capture": {"token": "body.access_token", "user": "body.user"}},
        {"id": "order",
         "http": {"method": "POST", "url": f"{base}/orders", "json": {"sku": "demo-1", "for": "${{ step.login.user }}"},
                  "headers": {"authorization": "Bearer ${{ step.login.token }}"}},
         "must": ["status == 201", "body.reference != null"], "should": ["latency < 5s"], "capture": {"order": "body.id"}},
        {"id": "cancel", "always": True, "http": f"DELETE {base}/orders/${{{{ step.order.order }}}}",
         "must": ["status in [200, 204, 404]"]},
    ]  # fmt: skip


async def walk(steps: list[dict[str, Any]], timeout: float = 5.0) -> Observation:
    """As the pipeline does it."""

    def fill(data: Any, captures: Mapping[str, Any]) -> Any:
        return template.fill(data, {"step": captures})

    target = Target.model_validate(KIND.short(steps))
    async with tidy():
        return await KIND.probe(target, Context(run="test@here/now", timeout=timeout, fill=fill))


def judged(seen: Observation) -> Result:
    check = Check("c", "c", "steps", {}, KIND.must, (), 60, 10, Retries(), ("here",), Confirm())
    return judge(check, Run("c", "here", 0), seen)


def said(seen: Observation) -> list[tuple[str, bool]]:
    return [(finding.assertion, finding.holds) for finding in seen.findings]


async def test_a_journey_from_login_to_cancel() -> None:
    shop = Shop(buying())
    with Raw(shop) as server:
        seen = await walk(journey(server.port))
    assert seen.fault is None
    assert shop.paths == ["POST /sessions", "POST /orders", "DELETE /orders/41"]
    assert shop.asked[1].headers["authorization"] == f"Bearer {TOKEN}"
    assert shop.asked[1].body == {"sku": "demo-1", "for": {"id": 7}}  # types survive, and nothing is spliced
    assert said(seen) == [
        ("login: status == 200", True),
        ("order: status == 201", True),
        ("order: body.reference != null", True),
        ("order: latency < 5s", True),
        ("cancel: status in [200, 204, 404]", True),
    ]
    assert seen.facts["steps"] == 3
    assert "failed_step" not in seen.facts
    assert judged(seen).outcome == "passed"
    assert set(seen.facts) <= set(KIND.facts)


async def test_times_are_sums() -> None:
    shop = Shop(
        buying(**{"POST /orders": lambda peer: (peer.wait(0.1), peer.send(data({"id": 41, "reference": "r"}, "201 Created")))})
    )
    with Raw(shop) as server:
        seen = await walk(journey(server.port))
    steps = seen.evidence["steps"]
    assert [step["step"] for step in steps] == ["login", "order", "cancel"]
    assert steps[1]["phases_ms"]["wait"] >= 100 > steps[0]["phases_ms"]["wait"]
    assert seen.phases["wait"] * 1000 == pytest.approx(sum(step["phases_ms"]["wait"] for step in steps), abs=0.01)
    assert seen.latency is not None
    assert seen.total >= seen.latency >= seen.phases["wait"] >= 0.1
    assert isinstance(seen.facts["latency"], Duration)


async def test_cookies_are_kept_for_the_host_that_set_them() -> None:
    shop, other = Shop(buying()), Shop({"GET /": data({})})
    with Raw(shop) as server, Raw(other, host="127.0.0.2") as elsewhere:
        steps = journey(server.port)
        steps.append({"id": "stranger", "http": f"http://127.0.0.2:{elsewhere.port}/"})
        await walk(steps)
        await walk(journey(server.port))
    assert "cookie" not in shop.asked[0].headers
    assert [one.headers.get("cookie") for one in shop.asked[1:3]] == ["session=s3cr3t"] * 2
    assert "cookie" not in other.asked[0].headers
    assert "cookie" not in shop.asked[3].headers  # the next run starts without


# stopping and cleaning up


async def test_the_first_broken_must_stops_and_cleaning_up_still_runs() -> None:
    shop = Shop(buying(**{"POST /orders": data({"id": 41}, "201 Created"), "GET /never": data({})}))
    with Raw(shop) as server:
        steps = journey(server.port)
        steps.insert(2, {"id": "never", "http": f"http://{HOST}:{server.port}/never"})
        seen = await walk(steps)
    assert shop.paths == ["POST /sessions", "POST /orders", "DELETE /orders/41"]
    assert seen.facts["failed_step"] == "order"
    assert seen.facts["steps"] == 1
    result = judged(seen)
    assert result.outcome == "failed"
    assert result.because == "order: body.reference != null (body.reference was missing)"
    assert ("cancel: status in [200, 204, 404]", True) in said(seen)


async def test_a_broken_should_goes_on() -> None:
    shop = Shop(buying())
    with Raw(shop) as server:
        steps = journey(server.port)
        steps[0]["should"] = ["latency < 0.001ms"]
        seen = await walk(steps)
    assert seen.facts["steps"] == 3
    assert judged(seen).outcome == "degraded"


async def test_a_fault_stops_and_stays_the_trouble_whatever_cleaning_up_brings() -> None:
    shop = Shop(buying(**{"POST /orders": lambda peer: None, "DELETE /all": lambda peer: None}))
    with Raw(shop) as server:
        steps = journey(server.port)
        steps.append({"id": "sweep", "always": True, "http": f"DELETE http://{HOST}:{server.port}/all"})
        seen = await walk(steps)
    assert shop.paths == ["POST /sessions", "POST /orders", "DELETE /all"]
    assert seen.fault is not None
    assert seen.fault.kind == "http.empty_reply"
    assert seen.fault.because.startswith("order: ")
    assert seen.facts["failed_step"] == "order"
    skipped = next(finding for finding in seen.findings if finding.assertion == "cancel: skipped")
    assert skipped.because == "step.order.order was not captured"
    swept = next(finding for finding in seen.findings if finding.assertion == "sweep: answered")
    assert not swept.holds
    assert judged(seen).outcome == "failed"


async def test_cleaning_up_that_fails_alone_fails_the_run() -> None:
    shop = Shop(buying(**{"DELETE /orders/41": data({}, "500 Oops")}))
    with Raw(shop) as server:
        seen = await walk(journey(server.port))
    assert seen.facts["failed_step"] == "cancel"
    assert judged(seen).because == "cancel: status in [200, 204, 404] (status was 500)"


async def test_time_is_kept_for_cleaning_up() -> None:
    shop = Shop(buying(**{"POST /orders": lambda peer: peer.hold()}))
    shop.answers["DELETE /orders"] = data({})
    with Raw(shop) as server:
        steps = journey(server.port)
        steps[2]["http"] = f"DELETE http://{HOST}:{server.port}/orders"
        seen = await walk(steps, timeout=1.0)
    assert seen.fault is not None
    assert seen.fault.kind == "timeout.response"
    assert ("cancel: status in [200, 204, 404]", True) in said(seen)
    assert 0.8 <= seen.total < 1.0


async def test_one_deadline_over_all() -> None:
    late = lambda peer: (peer.wait(0.25), peer.send(data({})))  # noqa: E731
    shop = Shop({"GET /": late})
    with Raw(shop) as server:
        seen = await walk([{"id": f"s{i}", "http": f"http://{HOST}:{server.port}/"} for i in range(10)], timeout=0.6)
    assert seen.fault is not None
    assert seen.fault.kind.startswith("timeout.")
    assert seen.facts["failed_step"] == "s2"
    assert seen.total < 1.6


# captures


@pytest.mark.parametrize("body", [{"other": 1}, {"access_token": None}, "text", []])
async def test_a_capture_that_finds_nothing_fails_the_step(body: Any) -> None:
    shop = Shop(buying(**{"POST /sessions": data(body)}))
    with Raw(shop) as server:
        seen = await walk(journey(server.port))
    assert shop.paths == ["POST /sessions"]
    assert judged(seen).outcome == "failed"
    assert "login: capture token (body.access_token was" in judged(seen).because
    assert ("cancel: skipped", False) in said(seen)


async def test_what_was_captured_may_be_compared_with() -> None:
    shop = Shop(buying(**{"GET /orders/41": data({"id": 42})}))
    with Raw(shop) as server:
        steps = journey(server.port)
        base = f"http://{HOST}:{server.port}"
        steps.insert(
            2, {"id": "check", "http": f"{base}/orders/${{{{ step.order.order }}}}", "must": ["body.id == step.order.order"]}
        )
        seen = await walk(steps)
    assert judged(seen).because == "check: body.id == step.order.order (body.id was 42, and step.order.order was 41)"


async def test_nothing_captured_is_told() -> None:
    echo = data({"error": f"token {TOKEN} is not valid", "nested": [TOKEN]}, "403 Forbidden")
    shop = Shop(buying(**{"POST /orders": echo}))
    with Raw(shop) as server:
        steps = journey(server.port)
        steps[1]["http"]["query"] = {"token": "${{ step.login.token }}"}
        seen = await walk(steps)
        document = json.dumps(judged(seen).document(), default=str)
        assert TOKEN not in document
        assert "s3cr3t" not in document
        assert "403" in document
        # also where the login itself is what fails, and where an address is made of what was captured
        steps = journey(server.port)
        steps[0]["must"] = ["status == 201"]
        assert TOKEN not in json.dumps(judged(await walk(steps)).document(), default=str)
        for url in (
            "http://${{ step.login.token }}:x/",
            "http://[${{ step.login.token }}/",
            "${{ step.login.token }}",
            "http://h/${{ step.login.user }}",
        ):
            steps = journey(server.port)
            steps[1]["http"] = {"url": url}
            seen = await walk(steps)
            assert judged(seen).outcome == "failed"
            assert TOKEN not in json.dumps(judged(seen).document(), default=str), url
            assert seen.facts["failed_step"] == "order"


@pytest.mark.parametrize(
    "token",
    ["line\r\nx-injected: yes", "${{ secret.PASSWORD }}", "${{ step.login.token }}", '"}, "admin": true, "x": {"y": "', "\x00"],
)
async def test_a_hostile_capture_stays_data(token: str) -> None:
    shop = Shop(
        buying(
            **{
                "POST /sessions": data({"access_token": token, "user": token}),
                "POST /orders": data({"id": 41, "reference": 1}, "201 Created"),
            }
        )
    )
    with Raw(shop) as server:
        steps = journey(server.port)
        del steps[1]["http"]["headers"]
        await walk(steps)
        assert shop.asked[1].body == {"sku": "demo-1", "for": token}
        steps = journey(server.port)
        seen = await walk(steps)
    for one in shop.asked:
        assert "x-injected" not in one.headers
    if any(character in token for character in "\r\n\x00"):
        assert judged(seen).because == "order: request (`headers.authorization` cannot be made of what was captured)"


@pytest.mark.parametrize("host", ["169.254.169.254", "0x7f.1", "[::ffff:169.254.169.254]", "fd00:ec2::254"])
async def test_a_capture_leads_nowhere_a_probe_may_not_go(host: str) -> None:
    shop = Shop({"GET /where": data({"host": host if host.startswith("[") or ":" not in host else f"[{host}]"})})
    with Raw(shop) as server:
        seen = await walk([
            {"id": "where", "http": f"http://{HOST}:{server.port}/where", "capture": {"host": "body.host"}},
            {"id": "there", "http": "http://${{ step.where.host }}/latest/meta-data", "must": ["status == 200"]},
        ])  # fmt: skip
    assert seen.fault is not None
    assert seen.fault.kind == "ssrf.blocked"
    assert seen.facts["failed_step"] == "there"


# the shape

GOOD: dict[str, Any] = {"id": "login", "http": "POST https://a.test/login", "capture": {"token": "body.access_token"}}


def wrong(*steps: dict[str, Any]) -> list[tuple[str, str, tuple[Any, ...], int | None]]:
    with pytest.raises(ValidationError) as error:
        Target.model_validate({"steps": list(steps)})
    return [
        (
            problem["type"],
            (context := problem.get("ctx") or {}).get("message", problem["msg"]),
            problem["loc"],
            context.get("column"),
        )
        for problem in error.value.errors()
    ]


def test_a_step_has_a_default_must() -> None:
    step = Target.model_validate({"steps": [{"id": "a", "http": "https://a.test"}]}).steps[0]
    assert step.must == ("status < 400",)
    assert KIND.must == ()


def test_names_that_lead_nowhere_are_told_at_their_column() -> None:
    unknown = {"id": "order", "http": "GET https://a.test/${{ step.order2.id }}"}
    assert wrong(GOOD, unknown) == [
        ("unknown-step", "there is no step `order2`, so it has no values here", ("steps", 1, "http"), len("GET https://a.test/"))
    ]
    nameless = {"id": "order", "http": {"url": "https://a.test", "headers": {"authorization": "Bearer ${{ step.login.tokn }}"}}}
    assert wrong(GOOD, nameless) == [
        ("unknown-step", "step `login` captures no `tokn`", ("steps", 1, "http", "headers", "authorization"), 7)
    ]
    later = {"id": "first", "http": "https://a.test/${{ step.login.token }}"}
    assert wrong(later, GOOD)[0][1] == "step `login` comes later, so it has no values here"
    own = {**GOOD, "must": ["body.x == step.login.token"]}
    assert wrong(own) == [("unknown-step", "a step cannot use its own values", ("steps", 0, "must", 0), len("body.x == "))]
    assert wrong(GOOD, GOOD)[0][:3] == ("id", "there are two steps with the id `login`", ("steps", 1, "id"))


def test_lines_are_typed_by_the_facts_of_http() -> None:
    assert wrong({**GOOD, "must": ["status == 200", "statsu == 201"]}) == [
        ("unknown-fact", "there is no fact `statsu` here", ("steps", 0, "must", 1), 0)
    ]
    assert wrong({**GOOD, "should": ["latency < 300"]})[0][2:] == (("steps", 0, "should", 0), len("latency < "))
    assert wrong({**GOOD, "capture": {"x": "bdy.x"}})[0][:3] == (
        "unknown-fact",
        "there is no fact `bdy` here",
        ("steps", 0, "capture", "x"),
    )
    assert wrong({**GOOD, "must": ["status == ${{ secret.X }}"]})[0][::3] == ("template", len("status == "))
    assert wrong({**GOOD, "must": [{"body.message": "x"}]})[0][0] == "type"


def test_what_else_is_refused() -> None:
    assert wrong()[0][:2] == ("missing-key", "there are no steps")
    for nonsense in (
        None,
        "x",
        [None],
        ["x"],
        [[]],
        [{"id": []}],
        [{"http": {"url": [1]}, "must": {"a": 1}, "capture": 5, "id": 5}],
        {"a": {}},
    ):
        with pytest.raises(ValidationError):
            Target.model_validate({"steps": nonsense})
    with pytest.raises(ValidationError):
        Target.model_validate("x")
    assert wrong(*({**GOOD, "id": f"s{i}"} for i in range(51)))[0][0] == "too_long"
    assert wrong({**GOOD, "id": "Login"})[0][0] == "id"
    assert wrong({**GOOD, "http": 5})[0][0] == "short-form"
    assert wrong({**GOOD, "http": {"url": "ftp://a.test"}})[0][::2] == ("url", ("steps", 0, "http", "url"))
    assert wrong({**GOOD, "http": "http://169.254.169.254/"})[0][0] == "ssrf"
    assert wrong({**GOOD, "htp": "x"})[0][0] == "extra_forbidden"
    assert wrong({"id": "a"})[0][::2] == ("missing", ("steps", 0, "http"))
    assert wrong({**GOOD, "capture": {"a b": "body.x"}})[0][0] == "string_pattern_mismatch"
    with pytest.raises(ValueError, match="is a list"):
        KIND.short("GET https://a.test")


def test_problems_stand_at_their_place_in_the_file() -> None:
    text = """version: 1
checks:
  a:
    steps:
      - id: login
        http: POST https://a.example/login
        capture: {token: body.access_token, bad: bdy.x}
      - id: login
        http: GET https://a.example/${{ step.order.id }}
        must: [status == 200, statsu == 201]
"""
    with pytest.raises(Rejected) as rejected:
        load(text, KINDS)
    places = {(problem.code, problem.line, problem.column) for problem in rejected.value.problems}
    assert places >= {("unknown-fact", 7, 50), ("unknown-fact", 10, 31), ("id", 8, 13), ("unknown-step", 9, 37)}


def test_it_is_described_by_its_steps() -> None:
    assert KIND.describe({"steps": journey(1)}) == "login, order, cancel"
