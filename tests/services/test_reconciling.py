"""With every webhook lost the state is right after one reconcile pass; what is not certain is told and left alone."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from gateways.sandbox import Fault
from services.app import Actor, ActorKind
from services.reconciling import ReportView, reconcile_payments
from tests.scenarios.shopping import Channel, Shopper
from tests.scenarios.standing import standing
from tests.scenarios.test_subscribe_flows import STATES, STORIES
from tests.support.house import House

LOST = Channel("webhooks off", (Fault.WEBHOOKS_OFF,))
ADMIN = Actor(ActorKind.ADMIN, "demo-admin")
DAY = timedelta(days=1)


async def reconcile(house: House, *, repair: bool = True) -> ReportView:
    view = await reconcile_payments(house.app, ADMIN, since=house.clock.now() - DAY, repair=repair)
    assert view.report.finished_at == house.clock.now()
    return view


def told(view: ReportView) -> list[tuple[str, bool]]:
    return [(drift.kind.value, drift.repaired) for drift in view.drift]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_with_every_webhook_lost_one_pass_reaches_the_state(
    house: House, story: Callable[[Shopper], Awaitable[None]]
) -> None:
    shopper = Shopper(house, STORIES[story], LOST)
    await story(shopper)
    await reconcile(house)

    assert await standing(house, shopper.user) == json.loads((STATES / f"{story.__name__}.json").read_text())
    assert await house.audit() == []
    assert told(await reconcile(house)) == []
