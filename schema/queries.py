"""The root of all reading."""

import strawberry

from schema.audit_log import AuditQueries
from schema.billing_events import EventQueries
from schema.billing_queries import BillingQueries
from schema.catalog_queries import CatalogQueries
from schema.coupon_queries import CouponQueries
from schema.customer_queries import CustomerQueries
from schema.fields import Info
from schema.method_types import MethodTypeQueries
from schema.metrics import MetricQueries
from schema.nodes import NodeQueries
from schema.operation_queries import OperationQueries
from schema.policies import PolicyQueries
from schema.preview_queries import PreviewQueries
from schema.run_queries import ClockQueries, RunQueries
from schema.server import GatewayConfig, ServerInfo, Viewer
from schema.webhook_endpoints import EndpointQueries


@strawberry.type(description="All that can be read.")
class Query(
    AuditQueries,
    BillingQueries,
    CatalogQueries,
    CouponQueries,
    CustomerQueries,
    EndpointQueries,
    EventQueries,
    MethodTypeQueries,
    MetricQueries,
    NodeQueries,
    OperationQueries,
    PolicyQueries,
    PreviewQueries,
    RunQueries,
):
    @strawberry.field(description="Which server answers. Open to everybody.")
    def server_info(self, info: Info) -> ServerInfo:
        return ServerInfo.of(info.context, info.schema)

    @strawberry.field(description="What a browser needs to talk to the payment gateway itself. Open to everybody.")
    def gateway_config(self, info: Info) -> GatewayConfig:
        return GatewayConfig.of(info.context)

    @strawberry.field(description="Who is calling, and what they may do. Open to everybody.")
    def viewer(self, info: Info) -> Viewer:
        return Viewer.of(info.context)


@strawberry.type(name="Query", description=Query.__strawberry_definition__.description)  # pyright: ignore[reportAttributeAccessIssue]
class SandboxQuery(ClockQueries, Query):
    """With the sandbox: time that can be moved too."""
