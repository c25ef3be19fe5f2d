"""What is subscribed to, as the engine sees it."""

from billing.money import Money
from billing.pricing import PriceTerms
from billing.recurring import RecurringItem
from models.catalog import Plan, Price
from models.subscriptions import Subscription, SubscriptionItem

PricedItem = tuple[SubscriptionItem, Plan, Price]


def recurring_item(row: Subscription, item: SubscriptionItem, plan: Plan, price: Price) -> RecurringItem:
    """An item as the engine sees it. A price of its own and the subscription's tax rate go before the plan's."""
    terms = price.terms(plan)
    if item.unit_amount_minor is not None:
        terms = PriceTerms(price.id, row.currency, Money(item.unit_amount_minor, row.currency).major)
    return RecurringItem(
        plan_id=plan.id,
        plan_name=plan.name,
        price=terms,
        quantity=item.quantity,
        interval=row.interval,
        interval_count=row.interval_count,
        item_id=item.id,
        product_id=plan.product_id,
        tax_percent=row.tax_percent if row.tax_percent is not None else plan.tax_percent,
    )
