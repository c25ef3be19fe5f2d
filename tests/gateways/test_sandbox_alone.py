"""The sandbox as a process of its own, over real sockets: `python -m gateways.sandbox`."""

import asyncio

import httpx
import pytest
import stripe

from gateways.sandbox.__main__ import main
from tests.gateways.sandbox_alone import PATIENCE

# The SDK hands httpx its form in a way httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ASKED = {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}


async def test_the_official_sdk_pays_over_a_socket_and_the_webhook_arrives(alone) -> None:
    intent = await alone.client.v1.payment_intents.create_async(ASKED)
    assert intent.status == "succeeded"
    async with asyncio.timeout(PATIENCE):
        types = [(await alone.next_event()).type for _ in range(3)]
    assert types == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def test_a_person_answers_the_challenge_at_its_public_address(alone) -> None:
    asked = {**ASKED, "payment_method": "pm_card_threeDSecure2Required", "return_url": f"{alone.url}/back"}
    intent = await alone.client.v1.payment_intents.create_async(asked)
    url = intent.next_action.redirect_to_url.url
    assert url.startswith(f"{alone.url}/challenge/{intent.id}/")
    async with httpx.AsyncClient(timeout=PATIENCE) as wire:
        assert "9.00 USD" in (await wire.get(url)).text
        assert (await wire.post(url, data={"outcome": "succeeded"})).status_code == 303
    assert (await alone.client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


@pytest.mark.parametrize(
    ("kind", "charged"), [("timeout_before", 0), ("reset_before", 0), ("timeout_after", 1), ("reset_after", 1)]
)
async def test_a_lost_answer_is_a_connection_closed_without_one(alone, kind, charged) -> None:
    await alone.arm(kind=kind)
    with pytest.raises(stripe.APIConnectionError):
        await alone.client.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert len((await alone.client.v1.charges.list_async()).data) == charged
    await alone.arm(kind=kind)
    async with httpx.AsyncClient(base_url=alone.url, timeout=PATIENCE) as wire:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await wire.get("/v1/customers", headers={"Authorization": "Bearer sk_test_sandbox"})
    intent = await alone.client.v1.payment_intents.create_async(ASKED, {"idempotency_key": "k"})
    assert intent.status == "succeeded"
    assert len((await alone.client.v1.charges.list_async()).data) == 1


@pytest.mark.parametrize("database", ["sqlite:////dev/no/such/folder/s.db", "postgresql://nobody@127.0.0.1:1/x"])
def test_a_database_that_cannot_be_used_is_told_in_a_line(database, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["sandbox", "--database", database])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "error: --database: " in capsys.readouterr().err.splitlines()[-1]
