"""Deliveries that arrive at once: committed together, each answered for itself."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event as listener
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, func, select

from models.base import new_id
from models.inbox import GatewayEvent, GatewayEventStatus
from services.inbox.intake import Intake
from tests.support.house import House

AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def told(ref: str, **more: Any) -> GatewayEvent:
    return GatewayEvent(
        id=new_id("gateway_event"),
        gateway_ref=ref,
        type="charge.refunded",
        status=GatewayEventStatus.RECEIVED,
        received_at=AT,
        **more,
    )


async def known(house: House) -> int:
    async with house.app.database.read() as session:
        mine = col(GatewayEvent.gateway_ref).startswith("evt_at_once")
        return (await session.exec(select(func.count()).select_from(GatewayEvent).where(mine))).one()


async def test_what_arrives_at_once_takes_two_commits_and_is_stored_once_each(house: House) -> None:
    intake, commits = Intake(house.app.database), []
    listener.listen(house.app.database.engine.sync_engine, "commit", commits.append)
    stored = await asyncio.gather(*(intake.store(told(f"evt_at_once_{n % 40}")) for n in range(80)))
    assert stored == [True] * 40 + [False] * 40
    assert await known(house) == 40
    assert len(commits) <= 2


async def test_a_sender_that_left_changes_nothing_for_the_others(house: House) -> None:
    intake = Intake(house.app.database)
    senders = [asyncio.create_task(intake.store(told(f"evt_at_once_{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    senders[1].cancel()
    assert await asyncio.gather(*senders, return_exceptions=True) != [True] * 3
    assert (senders[0].result(), senders[1].cancelled(), senders[2].result()) == (True, True, True)


async def test_a_row_that_cannot_be_written_takes_no_other_with_it(house: House) -> None:
    intake = Intake(house.app.database)
    broken = told("evt_at_once_broken")
    broken.type = None  # type: ignore[assignment]
    outcomes = await asyncio.gather(
        intake.store(told("evt_at_once_1")),
        intake.store(broken),
        intake.store(told("evt_at_once_2")),
        return_exceptions=True,
    )
    assert (outcomes[0], outcomes[2]) == (True, True)
    assert isinstance(outcomes[1], DBAPIError)
    with pytest.raises(DBAPIError):
        await intake.store(broken)
    assert await known(house) == 2
