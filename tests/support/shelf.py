"""The merchant's hand on the shelf."""

from models.catalog import plan_by
from services.app import App


async def take_off_sale(app: App, plan_code: str) -> None:
    """The plan stays in the catalog, but is not sold online any more."""
    async with app.database.write() as session:
        plan = await plan_by(session, code=plan_code)
        assert plan is not None
        plan.is_online_sale = False
