"""A random life of which no news ever come: one reconcile finds out, and what comes late changes nothing."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from gateways.sandbox import Fault
from services.books.audit import audit
from services.books.reconciling import reconcile_payments
from tests.scenarios.invariants import books_of, broken, unfinished
from tests.scenarios.lifetimes import HUNG_UP, LIFETIME, REST, STEPS
from tests.scenarios.random_life import Act, Life
from tests.scenarios.random_terms import ACTS, open_shop
from tests.support.bank import bank
from tests.support.deliveries import Dump, dump, send
from tests.support.house import House
from tests.support.outside import dashboard, faults_always, sandbox_of

_INBOX = ("gateway_events", "audit_entries")


async def miss_all_news(house: House, seed: int, story: list[str]) -> Sequence[str]:
    """All that was broken; what happened is appended to `story`."""
    with bank(), capture_logs([format_exc_info]) as logs:
        found = await _missed(house, seed, story)
    errors = [log for log in logs if log["log_level"] in ("error", "critical") and log["event"] != HUNG_UP]
    return found + [f"{log['event']}: {log.get('exception', log)}" for log in errors]


async def _missed(house: House, seed: int, story: list[str]) -> list[str]:
    faults_always(house, Fault.WEBHOOKS_OFF)
    await open_shop(house)
    life = Life(house, seed, story=story)
    news: dict[str, dict[str, Any]] = {}
    await life.live({name: (weight, _noting(act, news)) for name, (weight, act) in ACTS.items()}, STEPS)
    sandbox_of(house).faults.clear()
    faults_always(house, Fault.WEBHOOKS_OFF)

    await reconcile_payments(house.app, life.merchant, since=house.machine.now() - LIFETIME, repair=True)
    seen = await audit(house.app)
    books = await books_of(house, life.user)
    found = [*(broken(books) if books is not None else []), *(each.text for each in seen.findings), *seen.not_yet_known]
    for pause in REST:
        house.pass_time(pause)
        await house.work()
    books = await books_of(house, life.user)
    found += unfinished(books, house.machine.now()) if books is not None else []
    found += await house.audit()
    await _note(house, news)
    story.append(f"{len(news)} news are sent after all")
    return found + await _sent_after_all(house, life, list(news.values()))


def _noting(act: Act, news: MutableMapping[str, Any]) -> Act:
    """The same act; what the gateway would have told of it is kept, for it does not keep it for ever itself."""

    async def acted(life: Life) -> None:
        try:
            await act(life)
        finally:
            await _note(life.house, news)

    return acted


async def _note(house: House, news: MutableMapping[str, Any]) -> None:
    told = dashboard(house).events.list_async({"limit": 100})
    async for each in (await told).auto_paging_iter():
        if each.id in news:
            break
        news[each.id] = each.to_dict()


async def _sent_after_all(house: House, life: Life, news: list[dict[str, Any]]) -> list[str]:
    """All of it shuffled, and once more: the first time only the inbox learns anything, then nothing does."""
    before = await dump(house, but=_INBOX)
    await _send(house, life, news)
    found = _changed(before, await dump(house, but=_INBOX), "by news that came late")
    before = await dump(house, but=())
    await _send(house, life, news)
    return found + _changed(before, await dump(house, but=()), "by news that had come before")


async def _send(house: House, life: Life, news: list[dict[str, Any]]) -> None:
    for each in life.dice.sample(news, len(news)):
        answer = await send(house, each)
        assert answer.status_code == 200, answer.text
    await house.work()


def _changed(before: Dump, after: Dump, by: str) -> list[str]:
    return [
        f"{table} changed {by}: {_but(before[table], after[table])} became {_but(after[table], before[table])}"
        for table in before
        if before[table] != after[table]
    ]


def _but(rows: Sequence[tuple[Any, ...]], others: Sequence[tuple[Any, ...]]) -> list[str]:
    return [str(row) for row in rows if row not in others]
