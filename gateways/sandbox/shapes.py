"""The objects the sandbox answers with: every field of Stripe's that is always there, and the values of a card world.

Owns: the shape of each object when it is made, and which of its fields can be expanded into which object.
Does not own: how objects change (the handlers).
"""

import hashlib
from typing import Any

from gateways.sandbox.cards import BY_NUMBER, Card, Decline, Objection

API_VERSION = "2026-10-28.endive"

# object -> {field that holds an id: kind of the object behind it}; several: told by the object itself;
# None: never anything behind it here
EXPANDABLE: dict[str, dict[str, str | tuple[str, ...] | None]] = {
    "balance_transaction": {"source": ("charge", "refund", "dispute")},
    "coupon": {},
    "country_spec": {},
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "dispute.evidence": dict.fromkeys(
        """
        cancellation_policy customer_communication customer_signature duplicate_charge_documentation receipt
        refund_policy service_documentation shipping_documentation uncategorized_file
        """.split()
    ),
    "promotion_code": {"customer": "customer"},
    "promotion_code.promotion": {"coupon": "coupon"},
    "refund": {
        "balance_transaction": "balance_transaction",
        "charge": "charge",
        "customer": "customer",
        "failure_balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
        "payment_method": "payment_method",
        **dict.fromkeys(("source_transfer_reversal", "transfer_reversal")),
    },
    "customer": {},
    "customer.invoice_settings": {"default_payment_method": "payment_method"},
    "payment_method": {"customer": "customer"},
    "payment_intent": {
        "customer": "customer",
        "latest_charge": "charge",
        "payment_method": "payment_method",
        **dict.fromkeys(("application", "on_behalf_of", "payment_record", "review")),
    },
    "setup_intent": {
        "customer": "customer",
        "latest_attempt": "setup_attempt",
        "payment_method": "payment_method",
        **dict.fromkeys(("application", "mandate", "on_behalf_of", "single_use_mandate")),
    },
    "setup_attempt": {
        "customer": "customer",
        "payment_method": "payment_method",
        "setup_intent": "setup_intent",
        **dict.fromkeys(("application", "on_behalf_of")),
    },
    "charge": {
        "balance_transaction": "balance_transaction",
        "customer": "customer",
        "payment_intent": "payment_intent",
        **dict.fromkeys(
            (
                "application",
                "application_fee",
                "failure_balance_transaction",
                "on_behalf_of",
                "review",
                "source_transfer",
                "transfer",
            )
        ),
    },
    "charge.payment_method_details": {},
    "charge.payment_method_details.card": {"mandate": None},
    "event": {},
    "webhook_endpoint": {},
}
# (object, field) -> kind of the objects listed there once it is expanded, narrowed by this object
EXPANDED_LISTS = {("charge", "refunds"): "refund"}

ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def address(given: dict[str, Any] | None) -> dict[str, Any]:
    return {name: (given or {}).get(name) for name in ADDRESS}


def customer(identity: str, created: int, ids_prefix: str) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": created,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": ids_prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def fingerprint(number: str) -> str:
    """The same for every payment method made of the same card."""
    return hashlib.sha256(number.encode()).hexdigest()[:16]


def payment_method(
    identity: str, created: int, card: Card, exp_month: int, exp_year: int, cvc_check: str | None
) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": address(None),
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": cvc_check,
            },
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": exp_month,
            "exp_year": exp_year,
            "fingerprint": fingerprint(card.number),
            "funding": card.funding,
            "generated_from": None,
            "last4": card.number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": created,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def _intent(identity: str, created: int, client_secret: str) -> dict[str, Any]:
    """What payment intents and setup intents have in common."""
    return {
        "id": identity,
        "allowed_payment_method_types": None,
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": client_secret,
        "created": created,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }


def payment_intent(identity: str, created: int, client_secret: str, amount: int, currency: str) -> dict[str, Any]:
    card = {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    }
    return {
        **_intent(identity, created, client_secret),
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application_fee_amount": None,
        "canceled_at": None,
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "currency": currency,
        "last_payment_error": None,
        "latest_charge": None,
        "payment_method_options": {"card": card},
        "payment_record": None,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "transfer_group": None,
    }


def setup_intent(identity: str, created: int, client_secret: str) -> dict[str, Any]:
    card = {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    return {
        **_intent(identity, created, client_secret),
        "object": "setup_intent",
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "mandate": None,
        "payment_method_options": {"card": card},
        "single_use_mandate": None,
        "usage": "off_session",
    }


CHALLENGED_SETUP = {
    "authentication_flow": "challenge",
    "electronic_commerce_indicator": "05",
    "result": "authenticated",
    "result_reason": None,
    "transaction_id": None,
    "version": "2.2.0",
}
CHALLENGED_CHARGE = {**CHALLENGED_SETUP, "exemption_indicator": None}


def setup_attempt(
    identity: str,
    created: int,
    intent: dict[str, Any],
    method: dict[str, Any],
    *,
    status: str,
    error: dict[str, Any] | None,
) -> dict[str, Any]:
    card = {name: method["card"][name] for name in _CARD_ON_ATTEMPT}
    details = {**card, "network": card["brand"], "three_d_secure": None}
    return {
        "id": identity,
        "object": "setup_attempt",
        "application": None,
        "created": created,
        "customer": intent["customer"],
        "customer_account": None,
        "flow_directions": intent["flow_directions"],
        "livemode": False,
        "on_behalf_of": None,
        "payment_method": method["id"],
        "payment_method_details": {"type": "card", "card": details},
        "setup_error": error,
        "setup_intent": intent["id"],
        "status": status,
        "usage": intent["usage"],
    }


_CARD_ON_ATTEMPT = (
    "brand",
    "checks",
    "country",
    "exp_month",
    "exp_year",
    "fingerprint",
    "funding",
    "last4",
    "wallet",
)


def outcome(decline: Decline | None) -> dict[str, Any]:
    """What the networks said about one charge."""
    if decline is None:
        return {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    blocked = decline.outcome == "blocked"
    return {
        "advice_code": decline.advice,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
        "network_status": "not_sent_to_network" if blocked else "declined_by_network",
        "reason": "highest_risk_level" if blocked else decline.decline_code,
        "risk_level": "highest" if blocked else "normal",
        "risk_score": 95 if blocked else 20,
        "seller_message": "Stripe blocked this payment as too risky."
        if blocked
        else "The bank returned the decline code `" + decline.decline_code + "`.",
        "type": decline.outcome,
    }


def charge(
    identity: str,
    created: int,
    intent: dict[str, Any],
    method: dict[str, Any],
    decline: Decline | None,
    *,
    captured: bool,
    authenticated: bool,
) -> dict[str, Any]:
    amount = intent["amount"]
    return {
        "id": identity,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": captured,
        "created": created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": outcome(decline),
        "paid": decline is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "type": "card",
            "card": _charged_card(method["card"], amount, decline, authenticated=authenticated),
        },
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "failed" if decline else "succeeded",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    }


def _charged_card(card: dict[str, Any], amount: int, decline: Decline | None, *, authenticated: bool) -> dict[str, Any]:
    return {
        **{name: card[name] for name in _CARD_ON_ATTEMPT},
        "amount_authorized": None if decline else amount,
        "authorization_code": None if decline else "SANDBX",
        "electronic_commerce_indicator": "05" if authenticated else None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": card["regulated_status"],
        "three_d_secure": CHALLENGED_CHARGE if authenticated else None,
        "transaction_link_id": None,
    }


def balance_transaction(
    identity: str,
    created: int,
    source: dict[str, Any],
    amount: int,
    kind: str,
    category: str,
    description: str | None,
) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": created,
        "balance_type": "payments",
        "created": created,
        "currency": source["currency"],
        "description": description,
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": category,
        "source": source["id"],
        "status": "available",
        "type": kind,
    }


def refund(identity: str, created: int, of_charge: dict[str, Any], amount: int, reason: str | None) -> dict[str, Any]:
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    return {
        "id": identity,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": of_charge["id"],
        "created": created,
        "currency": of_charge["currency"],
        "customer": of_charge["customer"],
        "customer_account": None,
        "destination_details": {"card": card, "type": "card"},
        "metadata": {},
        "payment_intent": of_charge["payment_intent"],
        "payment_method": of_charge["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


EVIDENCE_TEXTS = tuple(
    """
    access_activity_log billing_address cancellation_policy_disclosure cancellation_rebuttal customer_email_address
    customer_name customer_purchase_ip duplicate_charge_explanation duplicate_charge_id product_description
    refund_policy_disclosure refund_refusal_explanation service_date shipping_address shipping_carrier shipping_date
    shipping_tracking_number uncategorized_text
    """.split()
)
EVIDENCE_FILES = tuple(EXPANDABLE["dispute.evidence"])


def dispute(
    identity: str, created: int, of_charge: dict[str, Any], objection: Objection, due_by: int
) -> dict[str, Any]:
    brand = of_charge["payment_method_details"]["card"]["brand"]
    return {
        "id": identity,
        "object": "dispute",
        "amount": of_charge["amount_captured"],
        "balance_transactions": [],
        "charge": of_charge["id"],
        "created": created,
        "currency": of_charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys((*EVIDENCE_TEXTS, *EVIDENCE_FILES)), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due_by,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": objection.inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": of_charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": brand,
                "case_type": "inquiry" if objection.inquiry else "chargeback",
                "network": brand,
                "network_reason_code": objection.network_code,
            },
            "type": "card",
        },
        "reason": objection.reason,
        "status": "warning_needs_response" if objection.inquiry else "needs_response",
    }


def coupon(identity: str, created: int, given: dict[str, Any]) -> dict[str, Any]:
    optional = ("amount_off", "currency", "duration_in_months", "max_redemptions", "name", "percent_off", "redeem_by")
    return {
        **{name: given.get(name) for name in optional},
        "id": identity,
        "object": "coupon",
        "created": created,
        "duration": given.get("duration", "once"),
        "livemode": False,
        "metadata": {},
        "times_redeemed": 0,
        "valid": True,
    }


def promotion_code(identity: str, created: int, code: str, coupon_id: str, given: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: given.get(name) for name in ("customer", "expires_at", "max_redemptions")},
        "id": identity,
        "object": "promotion_code",
        "active": given.get("active", True),
        "code": code,
        "created": created,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "promotion": {"coupon": coupon_id, "type": "coupon"},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        },
        "times_redeemed": 0,
    }


def event(
    identity: str,
    created: int,
    kind: str,
    subject: dict[str, Any],
    *,
    previous: dict[str, Any] | None,
    request: dict[str, Any],
) -> dict[str, Any]:
    data: dict[str, Any] = {"object": subject}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        "id": identity,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": request,
        "type": kind,
    }


def webhook_endpoint(
    identity: str, created: int, url: str, enabled_events: list[str], api_version: str
) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "webhook_endpoint",
        "api_version": api_version,
        "application": None,
        "created": created,
        "description": None,
        "enabled_events": enabled_events,
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
    }


def card_behind(private: dict[str, Any]) -> Card:
    """The test card a stored payment method was made of."""
    return BY_NUMBER[private["card"]]
