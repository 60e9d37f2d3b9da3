"""The error budgets: counted runs move from the state into a ledger for each check, and what is left is told."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from probes.core import slo
from probes.core.check import Check, Objective
from probes.core.events import ErrorBudgetBurning, ErrorBudgetExhausted, Event
from probes.core.metrics import Sample, sample, wanted
from probes.core.plan import Plan
from probes.core.plan import slot as slot_of
from probes.core.state import Slot, key
from probes.core.units import iso
from probes.pipeline.publish import publish
from probes.ports import Conflict, World


async def account(plan: Plan, world: World, now: float) -> None:
    """Bring the ledger ``slo/<check>`` of every check with an objective up to ``now``; record and tell what is left.

    Paging on a budget that burns is not decided here: this gives the metrics and events to decide on.
    """
    slots = {name: Slot.parse(document) for name, (document, _) in (await world.store.find("state/")).items()}
    for check in plan.checks.values():
        state = slots.get(key(slot_of(check.id, plan.of), plan.of), Slot()).check(check.id)
        if check.slo is None or check.paused or state is None:
            continue
        document, version = await world.store.read(f"slo/{check.id}")
        known = document or {"ledger": None, "told": []}
        fine = {int(start): counts for start, counts in state.budget.items()}
        ledger = slo.Ledger.parse(known["ledger"]).enter(fine, check.slo.window, now)
        locations = sum(not window.dark for window in state.locations.values())
        budget = slo.budget(check, check.slo, ledger, locations, now)
        names = [burn.window for burn in budget.burning] + (["exhausted"] if budget.remaining <= 0 else [])
        world.metrics.record(_samples(check, budget, now))
        await publish(world, _events(plan, check, check.slo, budget, known["told"], now))
        entered = {"ledger": ledger.document(), "left": budget.remaining, "told": names}
        try:
            await world.store.write(f"slo/{check.id}", entered, version)
        except Conflict:
            continue  # another evaluator entered the same buckets: assigned, not added


def _samples(check: Check, budget: slo.Budget, now: float) -> Iterator[Sample]:
    if wanted(check, "ErrorBudgetRemaining"):
        yield sample("ErrorBudgetRemaining", budget.remaining, now, check=check.id)
    if wanted(check, "BurnRate"):
        for window, rate in budget.rates.items():
            yield sample("BurnRate", rate, now, check=check.id, window=window)


def _events(
    plan: Plan, check: Check, objective: Objective, budget: slo.Budget, told: Collection[str], now: float
) -> Iterator[Event]:
    """An event for each row that began to burn since the last time, and one when the budget is gone."""
    at, left, name = iso(now), round(budget.remaining, 3), slo.label(objective)
    for burn in budget.burning:
        if burn.window not in told:
            yield Event.of(
                ErrorBudgetBurning(
                    id=f"{check.id}/slo/{burn.window}/{at}",
                    at=at,
                    service=plan.service,
                    check=check.id,
                    slo=name,
                    burn_rate=burn.rate,
                    window=burn.window,
                    remaining_percent=left,
                )
            )
    if budget.remaining <= 0 and "exhausted" not in told:
        window, rate = next(iter(budget.rates.items()))
        yield Event.of(
            ErrorBudgetExhausted(
                id=f"{check.id}/slo/exhausted/{at}",
                at=at,
                service=plan.service,
                check=check.id,
                slo=name,
                burn_rate=round(rate, 2),
                window=window,
                remaining_percent=left,
            )
        )
