"""The explorer's files, where the explorer was built and where it was not."""

from pathlib import Path

import httpx
import pytest

from server import create_app
from tests.support.house import House

FILES = ("/explorer/assets/index.js", "/explorer/assets", "/explorer/%00", "/explorer/%ff", "/explorer/" + "a" * 3_000)


@pytest.mark.parametrize("is_built", [True, False])
async def test_a_file_that_is_not_there_is_not_found(
    small_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_built: bool
) -> None:
    if is_built:
        (tmp_path / "dist").mkdir()
    monkeypatch.setattr("server.EXPLORER", tmp_path / "dist")
    asgi = create_app(small_house.installation)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://perennial") as client:
        assert [(await client.get(path)).status_code for path in FILES] == [404] * len(FILES)
        assert (await client.get("/")).status_code == 200
