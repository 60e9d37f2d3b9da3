"""A person at the page: Debian's Chromium against a real server: live without reload, charts under the strict policy, keys."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from probes import pipeline, view
from tests.local.web.browser import CHROMIUM, chromium, served
from tests.local.web.fleets import HOSTILE, Serving, minute

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}: apt install chromium"),
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
MAPS = "sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o="
"""Plotly's script tries to write the style sheet of its maps into the page, and is refused. We draw no maps."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as made:
        yield made


class Visit:
    """A page with what happened on it: every complaint of the browser, every dialog, every address it asked for."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.asked.add(urlsplit(request.url).netloc))

    async def go(self, path: str) -> None:
        await self.page.goto(self.address + path)

    @property
    def unexpected(self) -> list[str]:
        """Complaints besides the one that is known and harmless, and requests to anybody else."""
        own = urlsplit(self.address).netloc
        return [one for one in self.complaints if MAPS not in one] + sorted(self.asked - {own, ""})


@asynccontextmanager
async def visit(browser: Browser, serving: Serving, width: int = 1280, **options: object) -> AsyncIterator[Visit]:
    async with served(serving) as address:
        context = await browser.new_context(viewport={"width": width, "height": 800}, **options)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        try:
            yield Visit(await context.new_page(), address)
        finally:
            await context.close()


async def lives(serving: Serving, mood: str, check: str, minutes: int = 3) -> None:
    """The fleet lives on: so many minutes in which one check is in that mood, and the page is told."""
    chance, now = random.Random(1), time.time()
    for step in range(minutes):
        at = now + 60 * step
        clock = serving.world.__class__(**{**_fields(serving), "now": lambda at=at: at})
        await minute(serving.plan, clock, at // 60 * 60, lambda name, _: mood if name == check else "good", chance)
    serving.world = serving.world.__class__(**{**_fields(serving), "now": lambda: time.time() + 60 * minutes})
    serving.tell(f"runs/{check}")


def _fields(serving: Serving) -> dict[str, object]:
    return {name: getattr(serving.world, name) for name in serving.world.__dataclass_fields__}


async def test_a_change_arrives_without_a_reload_and_disturbs_nobody(browser: Browser, serving: Serving) -> None:
    async with visit(browser, serving) as seen:
        page = seen.page
        await seen.go("/")
        row = page.locator("#check-cancel-an-order")
        await expect(row).to_have_class("up")
        await expect(page.locator("#live")).to_have_text("Live")
        await page.evaluate("window.kept = document.getElementById('check-feeds')")
        await page.locator("#check-feeds a").focus()
        await page.evaluate("scrollTo(0, 900)")
        before = await page.evaluate("scrollY")
        await lives(serving, "bad", "cancel-an-order")
        await expect(row).to_have_class("down")
        await expect(row).to_contain_text("status was 503")
        await expect(page).to_have_title("1 check is down · Probes")
        assert await page.evaluate("document.activeElement.getAttribute('href')") == "/checks/feeds"
        assert await page.evaluate("window.kept === document.getElementById('check-feeds') && window.kept.isConnected")
        assert abs(await page.evaluate("scrollY") - before) < 400, "rows above may grow; the page does not jump to its top"
        assert seen.unexpected == []


async def test_half_written_forms_and_open_details_survive(browser: Browser, serving: Serving) -> None:
    async with visit(browser, serving) as seen:
        page = seen.page
        await seen.go("/checks/price-a-basket?range=1h")
        await page.locator("#silence-price-a-basket summary").click()
        await expect(page.locator("select[name=for]")).to_be_focused()
        await page.get_by_label("Why").fill("half a sen")
        await page.locator("details.failure").nth(2).locator("summary").click()
        await page.get_by_label("Why").focus()
        await lives(serving, "good", "price-a-basket")
        await expect(page.locator("h1 + .lede")).to_contain_text("up")
        assert await page.get_by_label("Why").input_value() == "half a sen"
        assert await page.locator("#silence-price-a-basket").get_attribute("open") is not None
        assert await page.evaluate("document.activeElement.name") == "because"
        await page.keyboard.press("Escape")
        assert await page.locator("#silence-price-a-basket").get_attribute("open") is None
        assert seen.unexpected == []


async def test_charts_are_drawn_under_the_strict_policy(browser: Browser, serving: Serving) -> None:
    async with visit(browser, serving, color_scheme="dark") as seen:
        page = seen.page
        await seen.go("/checks/price-a-basket?range=1h")
        plot = page.locator("#panel-latency .plot")
        await expect(plot.locator(".main-svg").first).to_be_visible()
        assert await plot.locator(".scatterlayer .trace").count() == 4, "three locations, and the runs that failed"
        assert await plot.locator(".shapelayer path").count() == 1, "the incident"
        box = await plot.locator(".draglayer .nsewdrag").bounding_box()
        assert box is not None
        assert box["width"] > 800
        await page.mouse.move(box["x"] + 200, box["y"] + 60)
        await page.mouse.down()
        await page.mouse.move(box["x"] + 500, box["y"] + 60, steps=8)
        await page.mouse.up()
        reset = page.get_by_role("button", name="Reset zoom")
        await expect(reset).to_be_visible()
        zoomed = await page.evaluate("document.querySelector('#panel-latency .plot').layout.xaxis.range.map(Number.isFinite)")
        await reset.focus()
        await page.keyboard.press("Enter")
        await expect(reset).to_have_count(0)
        assert zoomed
        dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name="Switch between dark and light").click()
        light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark != light
        await page.reload()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == light, "the choice is kept"
        assert seen.unexpected == []


async def test_acknowledge_and_silence_by_keyboard(browser: Browser, serving: Serving) -> None:
    async with visit(browser, serving) as seen:
        page = seen.page
        await seen.go("/checks/log-in")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.locator("summary", has_text="Acknowledge").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("details[id^=ack] input[name=by]")).to_be_focused()
        await page.keyboard.type("Ana <b>")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Acknowledged. Reminders and escalation have stopped.")).to_be_visible()
        found = {one.check: one for one in await view.incidents(serving.plan, serving.world, open_only=True)}
        assert found["log-in"].acknowledged_by == "Ana <b>"
        await page.locator("summary", has_text="Silence").focus()
        await page.keyboard.press("Space")
        await expect(page.locator("#silence-log-in").get_by_label("Your name")).to_have_value("Ana <b>")
        await page.get_by_label("Why").fill("deploying")
        await page.get_by_role("button", name="Silence this check").click()
        await expect(page.get_by_text("Quiet: Ana <b>")).to_be_visible()
        assert [one.because for one in await pipeline.silences(serving.world)] == ["deploying"]
        await page.get_by_role("button", name="End now").click()
        await expect(page.get_by_text("The silence has ended.")).to_be_visible()
        assert await pipeline.silences(serving.world) == []
        assert seen.unexpected == []


async def test_without_scripts_everything_is_there(browser: Browser, serving: Serving) -> None:
    async with visit(browser, serving, java_script_enabled=False) as seen:
        page = seen.page
        await seen.go("/")
        await page.locator("#check-price-a-basket a").click()
        await expect(page.locator("h1")).to_contain_text("Price a basket")
        await page.get_by_role("link", name="1h").click()
        assert await page.locator("svg.chart .line").count() == 3
        await expect(page.locator("#theme")).to_be_hidden()
        await page.locator("#silence-price-a-basket summary").click()
        await page.locator("#silence-price-a-basket").get_by_label("Your name").fill("Ben")
        await page.get_by_label("Why").fill("no scripts here")
        await page.get_by_role("button", name="Silence this check").click()
        await expect(page.get_by_text("Silenced. Runs go on")).to_be_visible()


@pytest.mark.parametrize("width", [375, 1280, 2560])
async def test_nothing_acts_and_nothing_is_wider_than_the_screen(browser: Browser, serving: Serving, width: int) -> None:
    incidents = await view.incidents(serving.plan, serving.world)
    hostile = next(one for one in incidents if one.check == "handler")
    async with visit(browser, serving, width) as seen:
        paths = ["/", "/incidents", f"/incidents/{quote(hostile.id, safe='/:')}", "/checks/price-a-basket?range=1h"]
        for path in paths + [f"/checks/{name}" for name in HOSTILE]:
            await seen.go(path)
            await seen.page.locator("h1").wait_for()
            assert await seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
            assert await seen.page.evaluate("document.querySelectorAll('main script, main img, main iframe').length") == 0
        assert seen.unexpected == []


async def test_a_page_whose_monitor_is_gone_does_not_look_well(browser: Browser, serving: Serving) -> None:
    page = await browser.new_page()
    try:
        async with served(serving) as address:
            await page.goto(address)
            await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator("#live")).to_have_text("Not live: the monitor does not answer")
        assert "grayscale" in await page.locator("main").evaluate("node => getComputedStyle(node).filter")
    finally:
        await page.close()


async def test_pages_that_are_closed_are_let_go_of(browser: Browser, serving: Serving) -> None:
    async with visit(browser, serving) as seen:
        await seen.go("/")
        await expect(seen.page.locator("#live")).to_have_text("Live")
        assert len(serving.told) == 1
        await seen.page.close()
        for _ in range(200):
            serving.tell("plan")
            await asyncio.sleep(0.02)
            if not serving.told:
                break
        assert serving.told == []
