"""Which operation takes which parameters: tables only, written for the sandbox.

Owns: names, kinds and required ones per operation; `PUBLISHABLE` says what a browser may send. Parameters that Stripe
knows and the sandbox does not carry out are listed as UNSUPPORTED, so that nothing is silently ignored.
"""

from gateways.sandbox.parameter_kinds import (
    Anything,
    Boolean,
    BooleanOr,
    Email,
    Hash,
    Instants,
    Integer,
    Kind,
    Many,
    Metadata,
    Percentage,
    Text,
    Unsupported,
    Url,
    hash_of,
    one_of,
)
from gateways.sandbox.shapes import EVIDENCE_FILES, EVIDENCE_TEXTS

TEXT = Text()
CLEARABLE = Text(clearable=True)
EMAIL = Email()
YES_NO = Boolean()
NUMBER = Integer()
UNSUPPORTED = Unsupported()
METADATA = Metadata()
EXPAND = {"expand": Many(Text())}

PAYMENT_METHOD_TYPES = tuple(
    """
    acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum blik
    boleto card cashapp crypto custom customer_balance eps fpx giropay grabpay ideal kakao_pay klarna konbini kr_card
    link mb_way mobilepay multibanco naver_pay nz_bank_account oxxo p24 pay_by_bank payco paynow paypal paypay payto pix
    promptpay revolut_pay samsung_pay satispay scalapay sepa_debit sequra sofort sunbit swish twint upi us_bank_account
    wechat_pay zip
    """.split()
)
METHOD_TYPE = one_of(*PAYMENT_METHOD_TYPES)
OTHER_TYPES = [name for name in PAYMENT_METHOD_TYPES if name not in ("card", "custom", "customer_balance")]
_EXCLUDABLE = [name for name in PAYMENT_METHOD_TYPES if name not in ("custom", "link")]
# What an intent may allow goes beyond what a payment method can be made of.
_ALLOWABLE = [
    *(name for name in PAYMENT_METHOD_TYPES if name != "custom"),
    *"""
    boku_promptpay capchase_pay card_present check_scan click_to_pay demo_pay duitnow dummy_auth_push
    dummy_passthrough_card edenred gcash getbalance gift_card gopay id_bank_transfer interac_present knet kr_market
    kriya momo mondu netbanking ng_bank ng_bank_transfer ng_card ng_market ng_ussd ng_wallet octopus paper_check qris
    rechnung shop_pay shopeepay south_korea_market stripe_balance tamara test_pay touch_n_go truemoney us_cash_voucher
    vipps wero
    """.split(),
]


def _unsupported(names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), UNSUPPORTED)


_ADDRESS_LINES: dict[str, Kind] = dict.fromkeys(
    ("city", "country", "line1", "line2", "postal_code", "state"), CLEARABLE
)
ADDRESS = Hash(_ADDRESS_LINES, clearable=True)
SHIPPING = hash_of(
    "address",
    "name",
    clearable=True,
    address=Hash(_ADDRESS_LINES),
    name=TEXT,
    carrier=CLEARABLE,
    phone=CLEARABLE,
    tracking_number=CLEARABLE,
)
BILLING_DETAILS = hash_of(address=ADDRESS, email=EMAIL, name=CLEARABLE, phone=CLEARABLE, tax_id=CLEARABLE)
ALLOW_REDISPLAY = one_of("always", "limited", "unspecified")

PAGE: dict[str, Kind] = {
    **EXPAND,
    "limit": Integer(1, 100),
    "starting_after": TEXT,
    "ending_before": TEXT,
}
DATED_PAGE: dict[str, Kind] = {**PAGE, "created": Instants()}
DATED_LIST = Hash(DATED_PAGE)
RETRIEVE = Hash(EXPAND)

# Customers

_CUSTOMER: dict[str, Kind] = {
    **EXPAND,
    "address": ADDRESS,
    "balance": NUMBER,
    "business_name": Text(clearable=True, longest=150),
    "description": CLEARABLE,
    "email": EMAIL,
    "individual_name": Text(clearable=True, longest=150),
    "invoice_prefix": TEXT,
    "invoice_settings": hash_of(
        custom_fields=Many(hash_of("name", "value", name=TEXT, value=TEXT), clearable=True),
        default_payment_method=CLEARABLE,
        footer=CLEARABLE,
        rendering_options=hash_of(
            clearable=True,
            amount_tax_display=one_of("exclude_tax", "include_inclusive_tax", clearable=True),
            template=TEXT,
        ),
    ),
    "metadata": METADATA,
    "name": Text(clearable=True, longest=256),
    "next_invoice_sequence": NUMBER,
    "phone": Text(clearable=True, longest=20),
    "preferred_locales": Many(TEXT),
    "shipping": hash_of("address", "name", clearable=True, address=Hash(_ADDRESS_LINES), name=TEXT, phone=CLEARABLE),
    "tax_exempt": one_of("exempt", "none", "reverse", clearable=True),
    **_unsupported("cash_balance source tax validate"),
}
CUSTOMER_CREATE = Hash({**_CUSTOMER, "payment_method": TEXT, "tax_id_data": UNSUPPORTED, "test_clock": UNSUPPORTED})
CUSTOMER_UPDATE = Hash({**_CUSTOMER, "default_source": UNSUPPORTED})
CUSTOMER_LIST = Hash({**DATED_PAGE, "email": TEXT, "test_clock": UNSUPPORTED})
NOTHING = Hash({})

# Payment methods

_CARD_NETWORKS = hash_of(preferred=one_of("cartes_bancaires", "mastercard", "visa", clearable=True))
CARD = hash_of(
    cvc=Text(clearable=True), exp_month=NUMBER, exp_year=NUMBER, networks=_CARD_NETWORKS, number=TEXT, token=TEXT
)
PAYMENT_METHOD_CREATE = Hash(
    {
        **EXPAND,
        **dict.fromkeys(OTHER_TYPES, UNSUPPORTED),
        "allow_redisplay": ALLOW_REDISPLAY,
        "billing_details": BILLING_DETAILS,
        "card": CARD,
        "metadata": METADATA,
        "type": METHOD_TYPE,
        **_unsupported("custom customer customer_balance interac_present payment_method radar_options"),
    },
)
PAYMENT_METHOD_UPDATE = Hash(
    {
        **EXPAND,
        "allow_redisplay": ALLOW_REDISPLAY,
        "billing_details": BILLING_DETAILS,
        "card": hash_of(exp_month=NUMBER, exp_year=NUMBER, networks=_CARD_NETWORKS),
        "metadata": METADATA,
        "us_bank_account": UNSUPPORTED,
    }
)
PAYMENT_METHOD_LIST = Hash(
    {
        **PAGE,
        "allow_redisplay": ALLOW_REDISPLAY,
        "customer": TEXT,
        "customer_account": UNSUPPORTED,
        "type": METHOD_TYPE,
    }
)
CUSTOMER_PAYMENT_METHOD_LIST = Hash({**PAGE, "allow_redisplay": ALLOW_REDISPLAY, "type": METHOD_TYPE})
REISSUE = hash_of(number=TEXT, exp_month=NUMBER, exp_year=NUMBER)
ATTACH = Hash({**EXPAND, "customer": TEXT, "customer_account": UNSUPPORTED}, required=("customer",))

# What both kinds of intent take

_METHOD_DATA = Hash(
    {
        "type": one_of(*(name for name in PAYMENT_METHOD_TYPES if name != "custom")),
        "card": CARD,
        "billing_details": BILLING_DETAILS,
        "allow_redisplay": ALLOW_REDISPLAY,
        "metadata": METADATA,
        **dict.fromkeys((*OTHER_TYPES, "customer_balance", "interac_present", "radar_options"), UNSUPPORTED),
    },
    required=("type",),
)
_CARD_NETWORK_NAMES = tuple(
    "amex cartes_bancaires diners discover eftpos_au girocard interac jcb link mastercard unionpay unknown visa".split()
)
_CARD_OPTIONS = hash_of(
    clearable=True,
    moto=YES_NO,
    network=one_of(*_CARD_NETWORK_NAMES),
    request_three_d_secure=one_of("any", "automatic", "challenge"),
    setup_credential_usage=one_of("installment", "recurring", "unscheduled"),
    mandate_options=UNSUPPORTED,
    three_d_secure=UNSUPPORTED,
)
_PAYMENT_CARD_OPTIONS = Hash(
    {
        **_CARD_OPTIONS.members,
        "cvc_token": TEXT,
        "capture_method": one_of("manual", clearable=True),
        "require_cvc_recollection": YES_NO,
        "setup_future_usage": one_of("none", "off_session", "on_session", clearable=True),
        "stored_credential_usage": one_of("installment", "recurring", "unscheduled"),
        **dict.fromkeys(
            (
                "request_extended_authorization",
                "request_incremental_authorization",
                "request_multicapture",
                "request_overcapture",
            ),
            one_of("if_available", "never"),
        ),
        **_unsupported("installments statement_descriptor_suffix_kana statement_descriptor_suffix_kanji"),
    },
    clearable=True,
)


# Options of other ways to pay are taken and have no effect.
_PAYABLE_OPTIONS: dict[str, Kind] = dict.fromkeys(
    (*OTHER_TYPES, "card_present", "customer_balance", "interac_present"), Anything()
)
_SAVABLE_OPTIONS: dict[str, Kind] = dict.fromkeys(
    """
    acss_debit amazon_pay bacs_debit bizum blik card_present klarna link paypal payto pix sepa_debit upi us_bank_account
    """.split(),
    Anything(),
)
_MANDATE_DATA = hash_of(
    "customer_acceptance",
    clearable=True,
    customer_acceptance=hash_of(
        "type",
        type=one_of("offline", "online"),
        accepted_at=NUMBER,
        offline=Anything(),
        online=hash_of("ip_address", "user_agent", ip_address=TEXT, user_agent=TEXT),
    ),
)
# At confirmation address and agent may be left for Stripe to read from the request.
_CONFIRMED_MANDATE_DATA = hash_of(
    clearable=True,
    customer_acceptance=hash_of(
        "type", type=one_of("offline", "online"), accepted_at=NUMBER, offline=Anything(), online=Anything()
    ),
)
_ALLOWED_TYPES = Many(one_of(*_ALLOWABLE))
_EXCLUDED_TYPES = Many(one_of(*_EXCLUDABLE), clearable=True)
_AUTOMATIC = hash_of("enabled", enabled=YES_NO, allow_redirects=one_of("always", "never"))
_FUTURE_USAGE = one_of("off_session", "on_session", clearable=True)

# Payment intents

_PAYMENT_COMMON: dict[str, Kind] = {
    **EXPAND,
    "allowed_payment_method_types": _ALLOWED_TYPES,
    "capture_method": one_of("automatic", "automatic_async", "manual"),
    "excluded_payment_method_types": _EXCLUDED_TYPES,
    "payment_method": CLEARABLE,
    "payment_method_data": _METHOD_DATA,
    "payment_method_options": Hash({**_PAYABLE_OPTIONS, "card": _PAYMENT_CARD_OPTIONS}),
    "receipt_email": EMAIL,
    "setup_future_usage": _FUTURE_USAGE,
    "shipping": SHIPPING,
    **_unsupported("amount_details hooks payment_details"),
}
_CONFIRMING: dict[str, Kind] = {
    "error_on_requires_action": YES_NO,
    "mandate_data": _MANDATE_DATA,
    "off_session": BooleanOr(("one_off", "recurring")),
    "radar_options": Anything(),
    "return_url": Url(),
    "use_stripe_sdk": YES_NO,
    **_unsupported("confirmation_token mandate"),
}
_PAYMENT_WRITE: dict[str, Kind] = {
    **_PAYMENT_COMMON,
    "currency": TEXT,
    "customer": TEXT,
    "description": CLEARABLE,
    "metadata": METADATA,
    "statement_descriptor": Text(clearable=True, longest=22),
    "statement_descriptor_suffix": Text(clearable=True, longest=22),
    "transfer_group": TEXT,
    **_unsupported("application_fee_amount customer_account payment_method_configuration transfer_data"),
}
PAYMENT_INTENT_CREATE = Hash(
    {
        **_PAYMENT_WRITE,
        **_CONFIRMING,
        "amount": Integer(1),
        "automatic_payment_methods": _AUTOMATIC,
        "confirm": YES_NO,
        "confirmation_method": one_of("automatic", "manual"),
        "on_behalf_of": UNSUPPORTED,
    },
    required=("amount", "currency"),
)
PAYMENT_INTENT_UPDATE = Hash({**_PAYMENT_WRITE, "amount": Integer(1)})
PAYMENT_INTENT_CONFIRM = Hash(
    {
        **_PAYMENT_COMMON,
        **_CONFIRMING,
        "amount_to_confirm": Integer(1),
        "mandate_data": _CONFIRMED_MANDATE_DATA,
    }
)
PAYMENT_INTENT_CANCEL = Hash(
    {
        **EXPAND,
        "cancellation_reason": one_of("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
    }
)
PAYMENT_INTENT_CAPTURE = Hash(
    {
        **EXPAND,
        "amount_to_capture": Integer(1),
        "final_capture": YES_NO,
        "metadata": METADATA,
        "statement_descriptor": Text(longest=22),
        "statement_descriptor_suffix": Text(longest=22),
        **_unsupported("amount_details application_fee_amount hooks payment_details transfer_data"),
    }
)
INTENT_RETRIEVE = Hash({**EXPAND, "client_secret": TEXT})
PAYMENT_INTENT_LIST = Hash({**DATED_PAGE, "customer": TEXT, "customer_account": UNSUPPORTED})

# Setup intents

_SETUP_COMMON: dict[str, Kind] = {
    **EXPAND,
    "allowed_payment_method_types": _ALLOWED_TYPES,
    "payment_method": CLEARABLE,
    "payment_method_data": _METHOD_DATA,
    "payment_method_options": Hash({**_SAVABLE_OPTIONS, "card": _CARD_OPTIONS}),
}
_SETUP_CONFIRMING: dict[str, Kind] = {
    "mandate_data": _MANDATE_DATA,
    "return_url": Url(),
    "use_stripe_sdk": YES_NO,
    "confirmation_token": UNSUPPORTED,
}
_SETUP_WRITE: dict[str, Kind] = {
    **_SETUP_COMMON,
    "customer": TEXT,
    "description": CLEARABLE,
    "excluded_payment_method_types": _EXCLUDED_TYPES,
    "flow_directions": Many(one_of("inbound", "outbound")),
    "metadata": METADATA,
    **_unsupported("attach_to_self customer_account payment_method_configuration"),
}
SETUP_INTENT_CREATE = Hash(
    {
        **_SETUP_WRITE,
        **_SETUP_CONFIRMING,
        "automatic_payment_methods": _AUTOMATIC,
        "confirm": YES_NO,
        "usage": one_of("off_session", "on_session"),
        **_unsupported("on_behalf_of single_use"),
    }
)
SETUP_INTENT_UPDATE = Hash(_SETUP_WRITE)
SETUP_INTENT_CONFIRM = Hash({**_SETUP_COMMON, **_SETUP_CONFIRMING, "mandate_data": _CONFIRMED_MANDATE_DATA})
SETUP_INTENT_CANCEL = Hash({**EXPAND, "cancellation_reason": one_of("abandoned", "duplicate", "requested_by_customer")})
SETUP_INTENT_LIST = Hash(
    {
        **DATED_PAGE,
        "customer": TEXT,
        "payment_method": TEXT,
        "attach_to_self": UNSUPPORTED,
        "customer_account": UNSUPPORTED,
    }
)
SETUP_ATTEMPT_LIST = Hash({**DATED_PAGE, "setup_intent": TEXT}, required=("setup_intent",))

# Charges and the books

CHARGE_UPDATE = Hash(
    {
        **EXPAND,
        "customer": TEXT,
        "description": CLEARABLE,
        "fraud_details": hash_of("user_report", user_report=one_of("fraudulent", "safe", clearable=True)),
        "metadata": METADATA,
        "receipt_email": EMAIL,
        "shipping": SHIPPING,
        "transfer_group": TEXT,
    }
)
CHARGE_LIST = Hash({**DATED_PAGE, "customer": TEXT, "payment_intent": TEXT, "transfer_group": UNSUPPORTED})
BALANCE_TRANSACTION_LIST = Hash(
    {**DATED_PAGE, "currency": TEXT, "source": TEXT, "type": TEXT, "payout": UNSUPPORTED},
)

# Refunds and disputes

REFUND_CREATE = Hash(
    {
        **EXPAND,
        "amount": Integer(1),
        "charge": TEXT,
        "metadata": METADATA,
        "payment_intent": TEXT,
        "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
        **_unsupported("currency customer instructions_email origin refund_application_fee reverse_transfer"),
    }
)
REFUND_UPDATE = Hash({**EXPAND, "metadata": METADATA})
REFUND_LIST = Hash({**DATED_PAGE, "charge": TEXT, "payment_intent": TEXT})
DISPUTE_UPDATE = Hash(
    {
        **EXPAND,
        "evidence": Hash(
            {
                **dict.fromkeys(EVIDENCE_TEXTS, Text(clearable=True, longest=20_000)),
                **dict.fromkeys((*EVIDENCE_FILES, "appeal", "enhanced_evidence"), UNSUPPORTED),
            }
        ),
        "intended_submission_method": one_of("manual", "prefer_manual", "prefer_smart_disputes", "smart_disputes"),
        "metadata": METADATA,
        "submit": YES_NO,
    }
)
DISPUTE_LIST = REFUND_LIST

# Coupons and promotion codes

COUPON_CREATE = Hash(
    {
        **EXPAND,
        "amount_off": Integer(1),
        "currency": TEXT,
        "duration": one_of("forever", "once", "repeating"),
        "duration_in_months": Integer(1),
        "id": Text(longest=200),
        "max_redemptions": Integer(1),
        "metadata": METADATA,
        "name": Text(longest=40),
        "percent_off": Percentage(),
        "redeem_by": NUMBER,
        **_unsupported("applies_to currency_options"),
    }
)
COUPON_UPDATE = Hash(
    {**EXPAND, "metadata": METADATA, "name": Text(longest=40, clearable=True), "currency_options": UNSUPPORTED}
)
PROMOTION_CODE_CREATE = Hash(
    {
        **EXPAND,
        "active": YES_NO,
        "code": Text(longest=500),
        "customer": TEXT,
        "customer_account": UNSUPPORTED,
        "expires_at": NUMBER,
        "max_redemptions": Integer(1),
        "metadata": METADATA,
        "promotion": hash_of("type", type=one_of("coupon"), coupon=TEXT),
        "restrictions": hash_of(
            first_time_transaction=YES_NO,
            minimum_amount=Integer(1),
            minimum_amount_currency=TEXT,
            currency_options=UNSUPPORTED,
        ),
    },
    required=("promotion",),
)
PROMOTION_CODE_UPDATE = Hash({**EXPAND, "active": YES_NO, "metadata": METADATA, "restrictions": UNSUPPORTED})
PROMOTION_CODE_LIST = Hash(
    {
        **DATED_PAGE,
        "active": YES_NO,
        "code": TEXT,
        "coupon": TEXT,
        "customer": TEXT,
        "customer_account": UNSUPPORTED,
    }
)

# Search, countries

SEARCH = Hash({**EXPAND, "limit": Integer(1, 100), "page": TEXT, "query": TEXT}, required=("query",))
COUNTRY_SPEC_LIST = Hash(PAGE)

# Events and endpoints

EVENT_LIST = Hash({**DATED_PAGE, "type": TEXT, "types": Many(TEXT), "delivery_success": UNSUPPORTED})
ENDPOINT_CREATE = Hash(
    {
        **EXPAND,
        "api_version": TEXT,
        "connect": YES_NO,
        "description": CLEARABLE,
        "enabled_events": Many(TEXT),
        "metadata": METADATA,
        "url": Url(("http", "https")),
    },
    required=("enabled_events", "url"),
)
ENDPOINT_UPDATE = Hash(
    {
        **EXPAND,
        "description": CLEARABLE,
        "disabled": YES_NO,
        "enabled_events": Many(TEXT),
        "metadata": METADATA,
        "url": Url(("http", "https")),
    }
)
ENDPOINT_LIST = Hash(PAGE)

# What a browser may send: never amounts, currencies, customers or metadata.

_BROWSER: dict[str, Kind] = {
    "client_secret": TEXT,
    "expand": Many(one_of("payment_method")),  # and never the customer behind it
    "key": TEXT,
}
_BROWSER_METHOD = ("payment_method", "payment_method_data", "payment_method_options")
BROWSER_RETRIEVE = Hash(_BROWSER)
BROWSER_PAYMENT_UPDATE = Hash(
    {
        **_BROWSER,
        **{
            name: _PAYMENT_COMMON[name]
            for name in (*_BROWSER_METHOD, "receipt_email", "setup_future_usage", "shipping")
        },
    }
)
BROWSER_PAYMENT_CONFIRM = Hash(
    {
        **BROWSER_PAYMENT_UPDATE.members,
        "mandate_data": _CONFIRMED_MANDATE_DATA,
        "radar_options": Anything(),
        "return_url": Url(),
        "use_stripe_sdk": YES_NO,
    }
)
BROWSER_SETUP_UPDATE = Hash({**_BROWSER, **{name: _SETUP_COMMON[name] for name in _BROWSER_METHOD}})
BROWSER_SETUP_CONFIRM = Hash(
    {
        **BROWSER_SETUP_UPDATE.members,
        "mandate_data": _CONFIRMED_MANDATE_DATA,
        "return_url": Url(),
        "use_stripe_sdk": YES_NO,
    }
)
BROWSER_PAYMENT_METHOD_CREATE = Hash(
    {**PAYMENT_METHOD_CREATE.members, "key": TEXT, "payment_user_agent": TEXT, "referrer": TEXT}
)
