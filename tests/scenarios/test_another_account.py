"""The key of another account of the gateway's, set by mistake: it knows none of our customers."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.databases import copy_of_file
from tests.support.house import House, open_house

USER = "demo-card"
STANDING = """{
  mySubscription { status }
  paymentMethods { nodes { isDefault } }
  invoices(first: 1) { nodes { status attemptCount } }
}"""


async def standing(house: House) -> tuple[str, str, int]:
    told: dict[str, Any] = await house.ask(STANDING, user=USER)
    assert told["paymentMethods"]["nodes"] == [{"isDefault": True}]
    (invoice,) = told["invoices"]["nodes"]
    return told["mySubscription"]["status"], invoice["status"], invoice["attemptCount"]


async def test_renewals_that_another_account_refused_are_paid_once_the_right_one_is_back(
    sqlite_file: Path, tmp_path: Path
) -> None:
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    right, wrong = (f"sqlite:///{tmp_path / name}.db" for name in ("right", "wrong"))
    async with open_house(url, sandbox_database_url=right) as house:
        (card,) = (await house.ask("{ paymentMethods { nodes { id } } }", user=USER))["paymentMethods"]["nodes"]
        wish = f'{{planCode: "reader-pro", paymentMethodId: "{card["id"]}"}}'
        await house.ask(f"mutation {{ subscribe(input: {wish}) {{ userErrors {{ code }} }} }}", user=USER)
        assert await standing(house) == ("ACTIVE", "PAID", 1)
    async with open_house(url, sandbox_database_url=wrong, demo=False) as house:
        house.pass_time(timedelta(days=28, minutes=1))
        await house.work()
        assert await standing(house) == ("PAST_DUE", "OPEN", 0)
        await house.work()
        assert await standing(house) == ("PAST_DUE", "OPEN", 0)
    async with open_house(url, sandbox_database_url=right, demo=False) as house:
        house.pass_time(timedelta(days=28, minutes=59))
        await house.work()
        assert await standing(house) == ("PAST_DUE", "OPEN", 0)
        house.pass_time(timedelta(minutes=2))
        await house.work()
        assert await standing(house) == ("ACTIVE", "PAID", 1)
