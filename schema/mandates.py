"""What permits a charge."""

from collections.abc import Mapping
from typing import Any

import strawberry

from billing.money import Money as Amount
from gateways.cards import MandateFacts
from schema.fields import described
from schema.money import Money


@strawberry.type(description="A mandate at the gateway: the customer's permission to be charged.")
class Mandate:
    gateway_id: str = described("The gateway's id for it.")
    status: str | None = described("Where it stands: active, pending or inactive; null if the gateway does not tell.")
    max_amount: Money | None = described("The most that it permits; null if it names no bound.")
    is_single_use: bool = described("Whether it permits one charge only.")

    @classmethod
    def of(cls, facts: MandateFacts | None) -> "Mandate | None":
        if facts is None:
            return None
        bound = facts.max_amount
        return cls(
            gateway_id=facts.ref,
            status=facts.status,
            max_amount=Money.of(bound) if bound is not None else None,
            is_single_use=facts.is_single_use,
        )

    @classmethod
    def kept(cls, row: Mapping[str, Any] | None) -> "Mandate | None":
        """As it is written down beside a saved card."""
        if row is None:
            return None
        minor = row["max_amount_minor"]
        bound = Amount(minor, row["currency"]) if minor is not None else None
        return cls.of(MandateFacts(row["ref"], row["status"], bound, row["is_single_use"]))
