"""Idempotency keys are kept for thirty days, and not for ever."""

from datetime import timedelta

import pytest
from sqlmodel import col, select

from models.idempotency import IdempotencyRecord, delete_expired
from tests.scenarios.changing import Changer
from tests.scenarios.merchant import Merchant
from tests.support.house import House

THIRTY_DAYS = timedelta(days=30)


async def _kept(house: House) -> list[str]:
    async with house.app.database.read() as session:
        return list((await session.exec(select(col(IdempotencyRecord.scope)))).all())


async def _forgotten(house: House) -> int:
    return (await house.work())["forgotten"]


async def test_a_key_is_kept_for_thirty_days_and_then_forgotten(house: House) -> None:
    await Merchant(house).plan("monthly", "28.00")
    changer = Changer(house, "demo-card")
    await changer.begin("monthly", idempotencyKey="first")
    (first,) = await _kept(house)
    house.pass_time(THIRTY_DAYS - timedelta(seconds=1))
    assert (await _forgotten(house), await _kept(house)) == (0, [first])
    house.pass_time(timedelta(seconds=1))
    assert (await _forgotten(house), await _kept(house)) == (1, [])


async def test_what_is_left_over_of_a_batch_goes_with_the_next(house: House) -> None:
    now = house.app.machine_now()
    async with house.app.database.write() as session:
        session.add_all(
            IdempotencyRecord(
                scope=f"{days}", input_hash="", created_at=now - THIRTY_DAYS, expires_at=now - timedelta(days=days)
            )
            for days in (1, 3, -1, 2)
        )
    assert await house.app.database.transact(delete_expired, now, 2) == 2
    assert sorted(await _kept(house)) == ["-1", "1"]
    assert await house.app.database.transact(delete_expired, now, 2) == 1
    assert await house.app.database.transact(delete_expired, now, 2) == 0
    assert await _kept(house) == ["-1"]


async def test_two_workers_forget_different_ones_and_wait_for_nobody(house: House) -> None:
    if house.app.database.is_sqlite:
        pytest.skip("one writer at a time")
    now = house.app.machine_now()
    async with house.app.database.write() as session:
        session.add_all(
            IdempotencyRecord(scope=scope, input_hash="", created_at=now - THIRTY_DAYS, expires_at=now)
            for scope in ("one", "other")
        )
    async with house.app.database.write() as session:
        assert await delete_expired(session, now, 1) == 1
        assert await _forgotten(house) == 1
    assert await _kept(house) == []
