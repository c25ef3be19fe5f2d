"""Making customers, for staff and for the application's back end."""

from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from billing.errors import UserProblem
from schema.customers import Customer
from schema.fields import Info, described, optional
from schema.given import METADATA, notes
from schema.inputs import at_most
from schema.payloads import ERRORS, refusals
from schema.steps import INPUT, done
from schema.user_errors import UserError
from services.registering import NewCustomer, create_customer


@strawberry.input(description="Who a customer is.")
class CustomerInput:
    user_id: strawberry.ID | None = optional("The application's own id of the user: the token's `sub`. Required.")
    external_id: str | None = optional("The merchant's own id for the customer, at most 255 characters.")
    name: str | None = optional("The name, at most 250 characters.")
    email: str | None = optional("The email address.")
    locale: str | None = optional("The language of messages, by BCP 47; `en` unless given.")
    timezone: str | None = optional(
        "The IANA zone by which subscriptions count their days, such as Europe/Berlin; the installation's unless given."
    )
    test_clock_id: strawberry.ID | None = optional(
        "Sandbox only: the test clock by which this customer lives from now on. It must be READY."
    )
    metadata: JSON | None = optional(METADATA)

    def wish(self) -> NewCustomer:
        at_most(255, user_id=self.user_id, external_id=self.external_id)
        at_most(250, name=self.name)
        at_most(320, email=self.email)
        at_most(35, locale=self.locale)
        return NewCustomer(
            user_id=self.user_id or "",
            external_id=self.external_id or None,
            name=self.name or None,
            email=self.email or None,
            locale=self.locale or None,
            timezone=self.timezone or None,
            test_clock_id=self.test_clock_id or None,
            metadata=notes(self.metadata),
        )


@strawberry.type(description="The answer to a mutation about a customer.")
class CustomerPayload:
    customer: Customer | None = described("The customer; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Customers.")
class CustomerMutations:
    @strawberry.mutation(
        description="Make a customer of a user who has not asked for anything yet. A customer who is there already is "
        "refused with ALREADY_EXISTS: find it with `customer(by: {userId})`."
    )
    async def create_customer(self, info: Info, input: Annotated[CustomerInput, INPUT]) -> CustomerPayload:
        try:
            row = await done(info, create_customer(info.context.app, input.wish()))
        except UserProblem as problem:
            return CustomerPayload(customer=None, user_errors=refusals([problem]))
        return CustomerPayload(customer=Customer.of(row), user_errors=[])
