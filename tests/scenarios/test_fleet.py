"""Two servers and three workers on one PostgreSQL, all processes of their own, before a gateway that is not ours."""

import pytest

from tests.soak.fleet import sail


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
async def test_a_fleet_loses_a_worker_and_nobody_notices(
    postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fleet")
    seen = await sail(postgres, folder, subscriptions=16, gateway="stranger", waits=False)
    assert seen.operations == 43
