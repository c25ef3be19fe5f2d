"""Making, changing and forgetting customers."""

from typing import Annotated

import strawberry

from billing.errors import UserProblem
from models.customers import Customer as CustomerRow
from schema.customer_inputs import CustomerInput
from schema.customers import Customer
from schema.fields import Info, argument, described
from schema.payloads import ERRORS
from schema.steps import INPUT, done
from schema.user_errors import UserError, refusals
from services.people.anonymizing import anonymize_customer
from services.people.profiles import update_customer, update_profile
from services.people.registering import create_customer

ExpectedVersion = Annotated[int | None, argument("Only if the customer is still at this version.")]


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
            step = create_customer(info.context.app, input.wish(), actor=info.context.actor)
            return _told(await done(info, step))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.mutation(
        description="Change one's own data. What is left out stays, null takes away. The payment gateway is told "
        "afterwards; invoices tell of the customer as it is."
    )
    async def update_profile(
        self, info: Info, input: Annotated[CustomerInput, INPUT], expected_version: ExpectedVersion = None
    ) -> CustomerPayload:
        app, actor = info.context.app, info.context.actor
        try:
            step = update_profile(app, actor, input.change(), expected_version=expected_version)
            return _told(await done(info, step))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.mutation(
        description="Change what is known of a customer, for staff and the application's back end. What is left out "
        "stays, null takes away."
    )
    async def update_customer(
        self,
        info: Info,
        id: Annotated[strawberry.ID, argument("The customer's id.")],
        input: Annotated[CustomerInput, INPUT],
        expected_version: ExpectedVersion = None,
    ) -> CustomerPayload:
        try:
            step = update_customer(info.context.app, id, input.change(), expected_version=expected_version)
            return _told(await done(info, step))
        except UserProblem as problem:
            return _refused(problem)

    @strawberry.mutation(
        description="Forget who a customer was, here and at the payment gateway; this cannot be undone. Invoices, "
        "payments and the ledger stay. Refused with INVALID_STATE while a subscription goes on; repeating it changes "
        "nothing."
    )
    async def anonymize_customer(
        self, info: Info, id: Annotated[strawberry.ID, argument("The customer's id.")]
    ) -> CustomerPayload:
        try:
            return _told(await done(info, anonymize_customer(info.context.app, id)))
        except UserProblem as problem:
            return _refused(problem)


def _told(row: CustomerRow) -> CustomerPayload:
    return CustomerPayload(customer=Customer.of(row), user_errors=[])


def _refused(problem: UserProblem) -> CustomerPayload:
    return CustomerPayload(customer=None, user_errors=refusals([problem]))
