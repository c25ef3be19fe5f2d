"""Amounts as clients see them."""

from decimal import Decimal
from typing import Annotated

import strawberry

from billing.errors import ErrorCode, UserProblem
from billing.money import LARGEST_GIVEN, MoneyError
from billing.money import Money as Amount
from languages import known_locale
from resolvers.writing import formatted
from schema.arguments import refuse_arguments
from schema.fields import Info, argument, described
from schema.scalars import BigInt, CurrencyCode


@strawberry.type(description="An amount in one currency. Compute with `amountMinor`, show `formatted`.")
class Money:
    amount: Decimal = described('In major units, with the currency\'s own number of decimals: "7.00".')
    amount_minor: BigInt = described("In minor units, such as cents: 700.")
    currency_code: CurrencyCode = described("The currency.")

    @classmethod
    def of(cls, amount: Amount) -> "Money":
        return cls(amount=amount.major, amount_minor=BigInt(amount.minor), currency_code=CurrencyCode(amount.currency))

    @strawberry.field(description="As text for a person: `$7.00`.")
    def formatted(
        self,
        info: Info,
        locale: Annotated[str, argument("Whose way of writing, by BCP 47: `en`, `de-CH`.")] = "en",
    ) -> str:
        known = known_locale(locale)
        if known is None:
            raise refuse_arguments(info, "locale: expected a known language tag, such as en or de-CH.", "locale")
        return formatted(self.amount, self.currency_code, known)


@strawberry.input(description="An amount in one currency.")
class MoneyInput:
    amount: Decimal = described('In major units, no finer than the currency can be paid in: "7.00".')
    currency_code: CurrencyCode = described("The currency.")

    def value(self, field: str) -> Amount:
        """Zero or more. Raises UserProblem INVALID, naming the input's field that it was given for."""
        try:
            amount = Amount.of(self.amount, self.currency_code)
        except MoneyError as problem:
            raise UserProblem(ErrorCode.INVALID, f"{field}: {problem}.", [field]) from None
        if not 0 <= amount.minor <= LARGEST_GIVEN:
            message = f"{field}: give an amount of zero or more, at most 10^12 of the currency's smallest unit."
            raise UserProblem(ErrorCode.INVALID, message, [field])
        return amount
