"""The pages as HTML: what they say, that they are honest about what is not known, and that no text of a target acts."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest

from probes import pipeline, view
from probes.core.diagnostics import Problem
from probes.local.web import overview
from tests.local.web.fleets import HOSTILE, RUNBOOK, Serving, configuration, lived, plan_of

VOID = {"meta", "link", "input", "br", "img"}


class Reader(HTMLParser):
    """The elements of a page, with their attributes, and its text; counts what is opened and never closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


async def paths(serving: Serving) -> list[str]:
    incidents = await view.incidents(serving.plan, serving.world)
    return [
        "/",
        "/?view=rows",
        "/groups/checkout",
        "/groups/other",
        "/incidents",
        *(f"/incidents/{quote(one.id, safe='/:')}" for one in incidents),
        *(f"/checks/{name}" for name in ("price-a-basket", "invoices", "gift-cards", "reviews", "certificate", *HOSTILE)),
        "/checks/price-a-basket?range=1h",
        "/nowhere",
    ]


async def test_every_page_is_whole_and_nothing_on_it_acts(serving: Serving, client: httpx.AsyncClient) -> None:
    for path in await paths(serving):
        answer = await client.get(path)
        assert answer.status_code == (404 if path == "/nowhere" else 200), path
        page = Reader(answer.text)
        assert page.open == [], path
        assert len(page.of("h1")) == 1
        assert len(page.of("main")) == 1
        assert all(script.get("src", "").startswith("/static/") for script in page.of("script")), path
        assert not page.of("img")
        assert not page.of("style")
        for _, attributes in page.elements:
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes), path
            assert not (attributes.get("href") or "").lower().startswith(("javascript:", "data:"))
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), f"{path}: {[one for one in ids if ids.count(one) > 1]}"
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", answer.text), path
        assert len(answer.content) < 400_000


async def test_every_control_has_a_name(serving: Serving, client: httpx.AsyncClient) -> None:
    for path in ("/", "/checks/price-a-basket", "/incidents"):
        text = (await client.get(path)).text
        assert all(
            re.sub("<[^>]*>", "", inside).strip()
            for inside in re.findall(r"<(?:a|button)\b[^>]*>(.*?)</(?:a|button)>", text, re.DOTALL)
        )
        for form in re.findall(r"<form.*?</form>", text, re.DOTALL):
            visible = re.findall(r"<(?:input|select)(?![^>]*hidden)", form)
            assert len(re.findall(r"<label", form)) == len(visible)
        assert all("aria-label" in svg or "aria-hidden" in svg for svg in re.findall(r"<svg[^>]*>", text))


async def test_the_fleet_says_what_is_wrong_first_and_counts_everything(client: httpx.AsyncClient) -> None:
    page = Reader((await client.get("/")).text).words
    assert "4 checks are down" in page
    counts = {
        word: int(number)
        for number, word in re.findall(r"(\d+) (down|degraded|unknown|paused|up)\b", page.split("Open incidents")[0])
    }
    assert counts.pop("down") == 4
    assert sum(counts.values()) + 4 == 40
    assert page.index("Open incidents") < page.index("Recent incidents")
    assert "status was 503" in page or "no response within 10s" in page


async def test_a_group_is_called_by_its_name(client: httpx.AsyncClient) -> None:
    fleet = Reader((await client.get("/")).text)
    assert "Names & certificates" in fleet.words
    assert "/groups/edge" in [link.get("href") for link in fleet.of("a")]


async def test_unknown_and_paused_are_never_green(serving: Serving, client: httpx.AsyncClient) -> None:
    text = (await client.get("/")).text
    rows = dict(re.findall(r'<tr role="row" id="check-([\w-]+)" class="(\w+)"', text))
    assert rows["reviews"] == "unknown"
    assert rows["gift-cards"] == "paused"
    row = text[text.index('id="check-reviews"') :].split("</tr>")[0]
    assert "unknown</span>" in row
    assert "#i-up" not in row
    assert 'class="p"' not in row.rpartition('class="e"')[2], "its newest runs are drawn as without evidence"
    paused = text[text.index('id="check-gift-cards"') :].split("</tr>")[0]
    assert "no runs yet" in paused


async def test_a_fleet_without_a_single_run_claims_nothing() -> None:
    serving = await lived(configuration(8, False), 0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_app(serving)), base_url="http://127.0.0.1") as client:
        page = Reader((await client.get("/")).text).words
        assert "7 checks are unknown" in page
        assert "Everything is up" not in page
        check = Reader((await client.get("/checks/price-a-basket")).text).words
        assert "Nothing was measured in this time" in check
        assert "100%" not in check.split("Error budget")[0]


async def test_an_empty_plan_says_what_to_do() -> None:
    serving = await lived(configuration(8, False), 0)
    serving.plan = type(serving.plan)("shop", "0" * 12, {}, {}, {}, {}, (), (), {}, 1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_app(serving)), base_url="http://127.0.0.1") as client:
        page = Reader((await client.get("/")).text).words
        assert "Nothing is watched yet" in page
        assert "checks.yaml" in page


async def test_hostile_names_are_text(client: httpx.AsyncClient) -> None:
    text = (await client.get("/")).text
    assert "&lt;script&gt;alert(document.domain)&lt;/script&gt;" in text
    assert "invoice\\u202egpj.exe" in text
    assert "\\x1b[31mred" in text
    assert "x" * 200 not in text, "a long name is cut"
    assert len((await client.get("/checks/long")).text) < 60_000


async def test_evidence_is_shown_and_masked(client: httpx.AsyncClient) -> None:
    answer = await client.get("/checks/price-a-basket?range=1h")
    page = Reader(answer.text).words
    assert "status == 200" in page
    assert "status was 503" in page
    assert "2001:db8::7" in page
    assert "ISRG" not in page
    assert "2026-05-01" in page
    assert "alert('evidence')" in page
    assert "\\u001b[2J" in page
    for secret in ("sid=abc", "user:secret", "literal-in-the-file"):
        assert secret not in answer.text
    assert "**** ${{ secret.API_TOKEN }}" in page, "a reference is a name, and stays"
    assert "application/json" in page


async def test_a_young_check_is_not_lost_in_a_long_range(client: httpx.AsyncClient) -> None:
    chosen = re.compile(r'href="\?range=(\w+)" aria-current')
    assert chosen.findall((await client.get("/checks/search")).text) == ["1h"], "an hour is all that has happened"
    assert chosen.findall((await client.get("/checks/search?range=7d")).text) == ["7d"]
    assert chosen.findall((await client.get("/checks/search?range=99y")).text) == ["1h"]
    assert chosen.findall((await client.get("/checks/gift-cards")).text) == ["15m"]


async def test_an_incident_about_a_location_leads_to_no_check(serving: Serving, client: httpx.AsyncClient) -> None:
    found = {one.check: one for one in await view.incidents(serving.plan, serving.world)}
    page = await client.get(f"/incidents/{found['@dublin'].id}")
    assert page.status_code == 200
    assert "/checks/@dublin" not in page.text
    assert "not a check of this plan" in page.text


async def test_the_check_says_what_it_is(client: httpx.AsyncClient) -> None:
    page = Reader((await client.get("/checks/place-an-order")).text)
    for said in (
        "POST https://api.shop.example/v1/place-an-order",
        "99.9% over 30d",
        "2 of 3 runs",
        "team-checkout",
        "1m, at most 10s",
    ):
        assert said in page.words
    assert {"href": "/checks/log-in"} in page.of("a")
    assert any(link.get("href") == RUNBOOK and link.get("rel") == "noreferrer noopener" for link in page.of("a"))
    beat = Reader((await client.get("/checks/invoices")).text).words
    assert "curl -fsS http://127.0.0.1:8080/beat/invoices" in beat


async def test_the_incident_says_who_was_told_and_who_was_not_and_why(serving: Serving, client: httpx.AsyncClient) -> None:
    await pipeline.pay(serving.plan, serving.world)
    found = {one.check: one for one in await view.incidents(serving.plan, serving.world)}
    told = Reader((await client.get(f"/incidents/{found['log-in'].id}")).text).words
    assert "Opened as critical" in told
    assert "Told chat: opened" in told
    held = Reader((await client.get(f"/incidents/{found['place-an-order'].id}")).text).words
    assert "Not told to chat: opened" in held
    assert "something it depends on is not up: log-in is down" in held
    over = Reader((await client.get(f"/incidents/{found['refunds'].id}")).text).words
    assert over.index("Opened as critical") < over.index("Resolved")


async def test_a_rejected_configuration_is_on_every_page_with_its_place(serving: Serving, client: httpx.AsyncClient) -> None:
    serving.rejected = (Problem("unknown-key", "there is no key `<b>evry`", "checks.yaml", 22, 5, hint="did you mean `every`?"),)
    for path in ("/", "/checks/search", "/incidents"):
        page = Reader((await client.get(path)).text).words
        assert "was rejected; the last good one goes on" in page
        assert "checks.yaml:22:5" in page
        assert "there is no key `<b>evry`" in page
        assert "did you mean `every`?" in page


async def test_a_schedule_that_stands_still_is_shouted(serving: Serving, client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json()["ok"] is True
    assert "stands still" not in (await client.get("/")).text
    serving.turned = serving.world.now() - 120
    serving.trouble = "the disk is full: history is not kept"
    page = Reader((await client.get("/")).text).words
    assert "The schedule stands still" in page
    assert "the disk is full" in page
    assert (await client.get("/health")).status_code == 503


@pytest.mark.parametrize(
    ("path", "said", "link"),
    [
        ("/checks/price-a-baskte", "There is no such check", "/checks/price-a-basket"),
        ("/checks/%3Cscript%3E", "There is no such check", "/"),
        ("/groups/chekout", "There is no such group", "/groups/checkout"),
        ("/incidents/log-in/2020", "There is no such incident", "/"),
        ("/nowhere", "Not found", "/"),
    ],
)
async def test_what_is_not_there_is_said_with_a_way_on(client: httpx.AsyncClient, path: str, said: str, link: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    page = Reader(answer.text)
    assert said in page.words
    assert any(one.get("href") == link for one in page.of("a"))


async def test_a_defect_of_ours_is_a_page_without_a_traceback(serving: Serving) -> None:
    transport = httpx.ASGITransport(_app(serving), raise_app_exceptions=False)
    serving.plan.checks["search"].target.pop("url")  # type: ignore[attr-defined]  # broken on purpose
    serving.world.store.logs["runs/search"] = {(serving.world.now(), "x"): '{"not": "a run"}'}  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers={"accept": "text/html"}) as client:
        answer = await client.get("/checks/search")
    assert answer.status_code == 500
    assert "Something broke" in answer.text
    assert "Traceback" not in answer.text


async def test_a_large_fleet_draws_quiet_groups_as_tiles() -> None:
    serving = await lived(configuration(330, False, ("here",)), 4, lambda check, *_: "good", locations=("here",))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_app(serving)), base_url="http://127.0.0.1") as client:
        tiles = (await client.get("/")).text
        rows = (await client.get("/?view=rows")).text
    assert tiles.count('class="tile up"') > 200
    assert "Show every row" in tiles
    assert rows.count('<tr role="row" id="check-') == 330
    assert len(tiles) < len(rows)


def test_the_fixture_is_in_every_state() -> None:
    plan = plan_of(configuration())
    assert len(plan.checks) == 40
    assert any(check.paused for check in plan.checks.values())
    assert any(check.passive for check in plan.checks.values())


def _app(serving: Serving) -> httpx.ASGITransport:
    from probes.local.web import app

    return app(serving)  # type: ignore[return-value]  # httpx types ASGI loosely


async def test_a_location_that_sees_nothing_is_not_well(serving: Serving) -> None:
    items = await view.fleet(serving.plan, serving.world)
    well = {place["name"]: place["status"] for place in overview.places(items)}
    assert well == {"dublin": "up", "virginia": "up", "sydney": "up"}
    blind = [
        replace(
            item, locations=tuple(replace(one, status="unknown") if one.location == "sydney" else one for one in item.locations)
        )
        for item in items
    ]
    seen = {place["name"]: (place["status"], place["words"]) for place in overview.places(blind)}
    assert seen["sydney"] == ("unknown", "knows of no check")
    assert seen["dublin"][0] == "up"
