"""A real disk that is full or may not be written in the middle of a renewals run (promise R2), and a lock on it."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, func, select
from structlog.testing import capture_logs

from billing.lifecycle import InvoiceStatus
from models.invoices import Invoice
from models.leases import LEASE
from models.setbacks import Setback, setback_of
from tests.scenarios.shopping import ATTACH, SUBSCRIBE
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house
from tests.support.outside import charges_by_invoice

MEMBERS = 8
A_MONTH = timedelta(days=31)
HOLDING = """import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(10)
connection.execute("ROLLBACK")"""


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, *, but: int) -> None:
        """Up to so many bytes."""
        self._ballast.write_bytes(bytes(shutil.disk_usage(self.folder).free - but))

    def make_room(self) -> None:
        self._ballast.unlink()

    def allow(self, writing: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{writing}", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not allowed here")
    yield Disk(folder)
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
async def house(disk: Disk, stocked_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    """Its books are on the small disk, the gateway's are not; everybody is due."""
    ours, theirs = copy_of_file(stocked_file, disk.folder / "ours.db"), copy_of_file(stocked_file, tmp_path / "theirs")
    async with open_house(ours, demo=False, sandbox_database_url=theirs) as house:
        for number in range(MEMBERS):
            user = f"member-{number}"
            saved = await house.ask(ATTACH, {"card": "pm_card_visa"}, user=user)
            card = saved["attachPaymentMethod"]["paymentMethod"]["id"]
            await house.ask(SUBSCRIBE, {"input": {"planCode": "reader-pro", "paymentMethodId": card}}, user=user)
        await house.deliver()
        house.pass_time(A_MONTH)
        yield house


async def paid(house: House) -> int:
    async with house.app.database.read() as session:
        query = select(func.count(col(Invoice.id))).where(
            Invoice.status == InvoiceStatus.PAID, Invoice.reason == "subscription_cycle"
        )
        return (await session.exec(query)).one()


async def charged(house: House) -> list[int]:
    """How often each renewal and each purchase was."""
    return list((await charges_by_invoice(house)).values())


async def everybody_is_renewed(house: House) -> None:
    await house.deliver()
    assert await paid(house) == MEMBERS
    assert await charged(house) == [1] * 2 * MEMBERS
    assert await house.audit() == []


async def test_a_disk_that_fills_up_in_the_middle_of_a_run(house: House, disk: Disk) -> None:
    """A little later each time."""
    seen: list[int] = []
    kinds: set[Setback | None] = set()
    for room in range(200_000, 500_000, 25_000):
        await house.app.database.engine.dispose()
        disk.fill(but=room)
        try:
            with capture_logs():
                await house.work()
        except DBAPIError as error:
            kinds.add(setback_of(error))
        seen.append(await paid(house))
        assert max(await charged(house)) == 1
        disk.make_room()
        house.pass_time(LEASE)
    assert (seen[0], seen[-1]) == (0, MEMBERS)
    assert kinds == {Setback.AWAY}
    await everybody_is_renewed(house)


async def test_a_disk_that_is_read_only(house: House, disk: Disk) -> None:
    await house.app.database.engine.dispose()
    disk.allow("ro")
    with capture_logs(), pytest.raises(DBAPIError) as refused:
        await house.work()
    assert setback_of(refused.value) is Setback.AWAY
    disk.allow("rw")
    assert await charged(house) == [1] * MEMBERS
    await everybody_is_renewed(house)


async def test_another_process_holds_sqlite_for_ten_seconds(house: House) -> None:
    """The run waits, reading does not."""
    path = str(house.app.database.url.database)
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDING, path, stdout=asyncio.subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    run = asyncio.create_task(house.work())
    await asyncio.sleep(1)
    assert (await house.ask("{ subscriptions { nodes { status } } }", user="member-0"))["subscriptions"]["nodes"]
    assert not run.done()
    await run
    assert await holder.wait() == 0
    await everybody_is_renewed(house)
