"""Pictures of every page, to be opened and judged: ``python -m tests.local.web.shots FOLDER [WIDTH ...]``.

A fleet of 40 checks in every state, with hostile names, is served and photographed at phone, laptop and wall size, light and dark.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import quote

from probes import pipeline
from probes.core.diagnostics import Problem
from tests.local.web.browser import chromium, served
from tests.local.web.fleets import Serving, configuration, lived

HEIGHTS = {375: 812, 1280: 800, 2560: 1440}


async def story(minutes: int) -> Serving:
    serving = await lived(configuration(), minutes)
    plan, world = serving.plan, serving.world
    await pipeline.pay(plan, world)
    await pipeline.acknowledge(plan, world, "search", "Ana")
    await pipeline.silence(plan, world, ['check == "markup"'], 7200, "Ben", "the resolver is being replaced, ticket 1204")
    serving.rejected = (
        Problem("unknown-key", "there is no key `evry` here", "checks.yaml", 22, 5, "checks.quote", "did you mean `every`?"),
        Problem("type", "`latency` is a duration, but 300 is not", "teams/checkout.yaml", 18, 19, "", "write 300ms or 300s"),
    )
    return serving


async def main(folder: Path, widths: list[int], minutes: int = 150) -> None:
    serving = await story(minutes)

    from probes import view

    incident = next(one for one in await view.incidents(serving.plan, serving.world) if one.check == "place-an-order")
    pages = {
        "fleet": "/",
        "group": "/groups/payments",
        "check-down": "/checks/price-a-basket?range=1h",
        "check-up": "/checks/cancel-an-order",
        "check-hostile": "/checks/handler",
        "heartbeat": "/checks/invoices",
        "paused": "/checks/gift-cards",
        "incidents": "/incidents",
        "incident": f"/incidents/{quote(incident.id, safe='/:')}",
        "missing": "/checks/price-a-baskte",
    }
    async with served(serving) as address, chromium() as browser:
        for width in widths:
            for theme in ("light", "dark"):
                context = await browser.new_context(
                    viewport={"width": width, "height": HEIGHTS.get(width, 900)}, color_scheme=theme
                )
                page = await context.new_page()
                page.on("console", lambda message: print(message.type, message.text[:200]))
                page.on("pageerror", lambda error: print("error", str(error)[:200]))
                for name, path in pages.items():
                    await page.goto(address + path)
                    await page.wait_for_timeout(900)
                    await page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
                    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    if wide > 0:
                        print(f"{name} is {wide} px too wide at {width}")
                await context.close()
        context = await browser.new_context(viewport={"width": 1280, "height": 800}, java_script_enabled=False)
        page = await context.new_page()
        for name in ("fleet", "check-down"):
            await page.goto(address + pages[name])
            await page.screenshot(path=folder / f"{name}-without-script.png", full_page=True)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target, [int(width) for width in sys.argv[2:]] or list(HEIGHTS)))
