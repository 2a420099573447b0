"""The description of the API, made from the very types and routes that serve it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, get_args

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from pyapp.errors import CATALOG, Problem, ProblemDocument
from pyapp.web.route import PREFIX, Route
from pyapp.web.types import (
    AllRules,
    ApiKey,
    ApprovePayout,
    Balances,
    BankAccount,
    Batch,
    BatchCheck,
    BatchLineResult,
    CancelPayout,
    CreateApiKey,
    CreateBankAccount,
    CreateBatch,
    CreatePayout,
    CreateWebhookEndpoint,
    Delivery,
    Empty,
    Event,
    Events,
    LedgerEntry,
    ListedPayout,
    Me,
    NewApiKey,
    NewWebhookEndpoint,
    Payout,
    PayoutDetail,
    RejectPayout,
    Replayed,
    ReplayEvents,
    RollApiKey,
    RollWebhookSecret,
    Statement,
    UpdateWebhookEndpoint,
    WebhookEndpoint,
)

_REF: Final = "#/components/schemas/{name}"
_EVERYWHERE: Final = (
    *("unauthorized", "forbidden", "invalid_request"),
    *("rate_limited", "unavailable", "internal"),
)
_WITH_BODY: Final = ("malformed_json", "payload_too_large", "unsupported_media_type")

_PATH_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "payout_id": {
        "description": "The payout's id",
        "schema": {"type": "string", "format": "uuid"},
    },
    "api_key_id": {
        "description": "The API key's id",
        "schema": {"type": "string", "format": "uuid"},
    },
    "endpoint_id": {
        "description": "The webhook endpoint's id",
        "schema": {"type": "string", "format": "uuid"},
    },
    "number": {
        "description": "The number of the event",
        "schema": {"type": "integer", "minimum": 1},
    },
    "bank_account_id": {
        "description": "Your id of the bank account",
        "schema": {"type": "string", "maxLength": 255},
    },
}
_PATH_PARAMETERS["batch_id"] = {
    "description": "The batch's id",
    "schema": {"type": "string", "format": "uuid"},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Make one per request, a UUID is best, and keep it for every retry. Bare or as"
    ' a quoted string: abc and "abc" are the same key.',
    "schema": {
        "type": "string",
        "pattern": r'^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$',
    },
    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
}
_ONE_AMOUNT: Final = [
    {
        "required": ["amount_paise"],
        "not": {"anyOf": [{"required": ["amount"]}, {"required": ["currency"]}]},
    },
    {"required": ["amount", "currency"], "not": {"required": ["amount_paise"]}},
]
_ONE_KIND: Final = [
    {
        "required": ["account_number", "ifsc"],
        "not": {"anyOf": [{"required": ["vpa"]}, {"required": ["iban"]}]},
    },
    *(
        {
            "required": [name],
            "not": {"anyOf": [{"required": [one]} for one in ("account_number", "ifsc", other)]},
        }
        for name, other in (("vpa", "iban"), ("iban", "vpa"))
    ),
]

_PAYOUT: Final[dict[str, Any]] = {
    "id": "019a2f4e-6c1b-7d3e-9f00-2b7c5d1e8a90",
    "status": "pending",
    "amount": 6000,
    "currency": "INR",
    "amount_paise": 6000,
    "bank_account_id": "demo-bank-account",
    "reference": "invoice-17",
    "metadata": {"order": "17"},
    "utr": None,
    "status_details": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
    "settled_at": None,
    "returned_at": None,
    "scheduled_at": None,
    "expires_at": None,
    "queue_if_low_balance": False,
    "approvals_required": 0,
    "narration": "Invoice 17",
    "retry_of": None,
    "mode": "IMPS",
    "mode_reason": "the first of its bank's that is open and takes this amount",
    "fee": 0,
}
_RULES: Final[dict[str, Any]] = {
    "currency": "INR",
    "approve_from": 10_000_000,
    "second_approval_from": 100_000_000,
    "approval_expires_after_seconds": 604_800,
    "queue_expires_after_seconds": 2_592_000,
    "payout_limit": None,
    "daily_limit": 500_000_000,
    "account_daily_limit": None,
    "hourly_payouts": 1000,
    "over_limit": "approve",
    "time_zone": "Asia/Kolkata",
    "used_today": 6000,
    "payouts_this_hour": 1,
    "set_at": "2026-01-31T12:00:00.000000Z",
}
_API_KEY: Final[dict[str, Any]] = {
    "id": "019a2f4e-6c1b-7d3e-9f00-2b7c5d1e8a91",
    "prefix": "pr_live_a1b2",
    "name": "web shop",
    "owner": "web-shop",
    "scopes": ["read", "payouts:create"],
    "reads_per_second": 1000,
    "writes_per_second": 1000,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "replaced_by": None,
}
_EVENT: Final[dict[str, Any]] = {
    "id": "evt_019a2f4e000070008000000000000003_17",
    "type": "payout.created",
    "timestamp": "2026-01-31T12:00:00.000000Z",
    "number": 17,
    "sequence": 1,
    "data": _PAYOUT,
}
_WEBHOOK_ENDPOINT: Final[dict[str, Any]] = {
    "id": "019a2f4e-6c1b-7d3e-9f00-2b7c5d1e8a92",
    "url": "https://shop.example/webhooks",
    "description": "web shop",
    "event_types": ["payout.*"],
    "status": "enabled",
    "disabled_reason": None,
    "failing_since": None,
    "succeeded_at": "2026-01-31T12:00:00.000000Z",
    "previous_secret_until": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
}
EXAMPLES: Final[dict[Any, dict[str, Any]]] = {
    CreatePayout: {"amount_paise": 6000, "bank_account_id": "demo-bank-account"},
    CancelPayout: {"reason": "ordered twice"},
    CreateBankAccount: {
        "id": "asha-rao",
        "holder_name": "Asha Rao",
        "account_number": "501002340001",
        "ifsc": "HDFC0000001",
    },
    Payout: _PAYOUT,
    ListedPayout: _PAYOUT,
    ApprovePayout: {"reason": "checked the invoice"},
    RejectPayout: {"reason": "not our invoice"},
    AllRules: {"data": [_RULES]},
    PayoutDetail: _PAYOUT
    | {
        "batch_id": None,
        "approvals": [],
        "history": [
            {
                "seq": 1,
                "from": None,
                "to": "pending",
                "actor": "payrail_api:pr_test_a1b2",
                "reason": None,
                "at": "2026-01-31T12:00:00.000000Z",
            }
        ],
    },
    CreateWebhookEndpoint: {"url": "https://shop.example/webhooks", "event_types": ["payout.*"]},
    UpdateWebhookEndpoint: {"enabled": False},
    RollWebhookSecret: {"overlap_seconds": 3600},
    ReplayEvents: {"first": 17, "last": 20},
    WebhookEndpoint: _WEBHOOK_ENDPOINT,
    NewWebhookEndpoint: _WEBHOOK_ENDPOINT | {"secret": "whsec_…"},
    Delivery: {
        "event_id": "evt_019a2f4e000070008000000000000003_17",
        "number": 17,
        "type": "payout.created",
        "status": "pending",
        "queued_at": "2026-01-31T12:00:00.000000Z",
        "next_attempt_at": "2026-01-31T12:00:05.100000Z",
        "delivered_at": None,
        "attempts": [
            {
                "at": "2026-01-31T12:00:00.000000Z",
                "delivered": False,
                "response_status": 500,
                "milliseconds": 31,
                "error": "the status is 500, not 2xx",
                "body_head": "oops",
            }
        ],
    },
    Replayed: {"events": 4},
    Event: _EVENT,
    Events: {"data": [_EVENT], "has_more": False, "next_cursor": "MTc"},
    CreateBatch: {
        "payouts": [
            {"amount_paise": 6000, "bank_account_id": "demo-bank-account", "reference": "wage-1"},
            {"amount_paise": 4000, "bank_account_id": "demo-bank-account", "reference": "wage-2"},
        ]
    },
    BatchCheck: {
        "lines": 2,
        "accepted": 1,
        "rejected": 1,
        "invalid": 0,
        "replayed": 0,
        "totals": [{"currency": "INR", "lines": 1, "amount": 6000}],
        "errors": [
            {
                "line": 2,
                "field": None,
                "code": "insufficient_funds",
                "detail": "available balance 0 is less than the amount 4000 (minor units of INR)",
            }
        ],
    },
    Batch: {
        "id": "019a2f4e-7a10-7d3e-9f00-5d1e8a902b7c",
        "status": "pending",
        "mode": "best_effort",
        "name": "wages of January",
        "lines": 2,
        "accepted": 0,
        "rejected": 0,
        "totals": [{"currency": "INR", "lines": 2, "amount": 10000}],
        "created_at": "2026-01-31T12:00:00.000000Z",
        "completed_at": None,
    },
    BatchLineResult: {
        "line": 1,
        "outcome": "accepted",
        "amount": 6000,
        "currency": "INR",
        "bank_account_id": "demo-bank-account",
        "reference": "wage-1",
        "metadata": {},
        "idempotency_key": "batch-019a2f4e-7a10-7d3e-9f00-5d1e8a902b7c-1",
        "payout_id": "019a2f4e-6c1b-7d3e-9f00-2b7c5d1e8a90",
        "payout_status": "settled",
        "replayed": False,
        "code": None,
        "detail": None,
        "fee": 0,
    },
    LedgerEntry: {
        "currency": "INR",
        "seq": 2,
        "kind": "hold",
        "debit_account": "available",
        "credit_account": "held",
        "amount": 6000,
        "available": 4000,
        "held": 6000,
        "payout_id": "019a2f4e-6c1b-7d3e-9f00-2b7c5d1e8a90",
        "reference": None,
        "created_at": "2026-01-31T12:00:00.000000Z",
    },
    BankAccount: {
        "id": "demo-bank-account",
        "holder_name": "Tiny Studio",
        "kind": "account_number",
        "account_number": "XXXXXX0000",
        "ifsc": "DEMO0000001",
        "vpa": None,
        "iban": None,
        "rail": "sandbox",
        "archived_at": None,
        "created_at": "2026-01-31T12:00:00.000000Z",
    },
    CreateApiKey: {"scopes": ["read", "payouts:create"], "name": "web shop"},
    RollApiKey: {"overlap_seconds": 3600},
    ApiKey: _API_KEY,
    NewApiKey: _API_KEY | {"secret": "pr_live_a1b2…"},
    Balances: {
        "at": "2026-01-31T12:00:00.000000Z",
        "balances": [{"currency": "INR", "available": 4000, "held": 6000}],
    },
    Statement: {
        "currency": "INR",
        "entries": 1,
        "opening": {"at": "2026-01-31T00:00:00.000000Z", "available": 10000, "held": 0},
        "closing": {"at": "2026-02-01T00:00:00.000000Z", "available": 4000, "held": 6000},
        "lines": [
            {
                "seq": 2,
                "created_at": "2026-01-31T12:00:00.000000Z",
                "kind": "hold",
                "payout_id": "019a2f4e-6c1b-7d3e-9f00-2b7c5d1e8a90",
                "reference": "invoice-17",
                "utr": None,
                "amount": 6000,
                "change": -6000,
                "available": 4000,
                "held": 6000,
            }
        ],
    },
    Me: {
        "id": "019a2f4e-0000-7000-8000-000000000003",
        "name": "Tiny Studio",
        "created_at": "2026-01-31T12:00:00.000000Z",
        "available_paise": 4000,
        "held_paise": 6000,
        "balances": [{"currency": "INR", "available": 4000, "held": 6000}],
    },
}


def document(routes: Iterable[Route[Any, Any]]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the routes."""
    schemas: dict[str, Any] = {}
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for route in filter(lambda one: one.described, routes):
        paths[PREFIX + route.path][route.method.lower()] = _operation(route, schemas)
    for name in ("CreatePayout", "BatchLine"):
        schemas[name]["oneOf"] = _ONE_AMOUNT
    schemas["CreateBankAccount"]["oneOf"] = _ONE_KIND
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PayRail",
            "version": "1",
            "description": "Payouts from a balance to bank accounts. Amounts are whole minor units"
            " of the currency (paise for INR). Paths work with and without the last slash.",
        },
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Authorization: Api-Key <key>`",
                }
            },
        },
    }


def page(described: dict[str, Any]) -> str:
    """Render the document for people."""
    templates = Environment(
        loader=PackageLoader("pyapp.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = templates.get_template("docs.html")
    return template.render(document=described, codes=CATALOG.values(), value=_value, pretty=_pretty)


def _pretty(example: object) -> str:
    return json.dumps(example, indent=2, ensure_ascii=False)


def _value(schema: dict[str, Any]) -> str:
    """Say in a few words what a parameter takes."""
    if "items" in schema:
        return _value(schema["items"])
    if "enum" in schema:
        return " | ".join(schema["enum"])
    bounds = [str(schema[bound]) for bound in ("minimum", "maximum") if bound in schema]
    words = [schema["type"], schema.get("format", ""), " … ".join(bounds)]
    default = f"default {schema['default']}" if "default" in schema else ""
    return " ".join(word for word in (*words, default) if word)


def _operation(route: Route[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": f"Scope: `{route.scope}`",
        "parameters": _parameters(route, schemas),
        "responses": {str(route.status): _success(route, schemas), **_refusals(route, schemas)},
    }
    if route.content:
        operation["requestBody"] = {
            "required": True,
            "content": {
                name: found
                for media, kind in route.content.items()
                for name, found in _content(media, kind, schemas).items()
            },
        }
    elif route.body is not Empty:
        required = any(field.required for field in msgspec.structs.fields(route.body))
        operation["requestBody"] = {
            "required": required,
            "content": _content("application/json", route.body, schemas),
        }
    return operation


def _parameters(route: Route[Any, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.idempotent:
        found.append(_IDEMPOTENCY_KEY)
    for field in msgspec.structs.fields(route.query):
        schema = _schema(_given(field.type), schemas)
        if field.default not in {msgspec.NODEFAULT, None}:
            schema["default"] = field.default
        description = schema.pop("description", "")
        found.append(
            {
                "name": field.name,
                "in": "query",
                "required": field.required,
                "description": description,
                "schema": schema,
            }
        )
    return found


def _success(route: Route[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    headers = {
        "X-Request-Id": _header("Yours, or one made for this request"),
        "RateLimit-Policy": _header("How many reads or writes the key may make in a second"),
        "RateLimit": _header("How many of them are left"),
    }
    if route.status == HTTPStatus.CREATED:
        headers["Location"] = _header("Its address")
    if route.idempotent:
        headers["Idempotent-Replayed"] = _header("true when the key was answered before")
    if "limit" in route.query.__struct_fields__:
        headers["Link"] = _header('The next page, rel="next" (RFC 8288)')
    return {
        "description": route.summary,
        "headers": headers,
        "content": _content(route.media, route.response, schemas)
        | {media: {"schema": {"type": "string"}} for media in route.also},
    }


def _refusals(route: Route[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Group the route's codes by status, with an example of each."""
    codes = [*_EVERYWHERE, *(_WITH_BODY if route.body is not Empty else ()), *route.errors]
    statuses = {code: CATALOG[code].status for code in codes}
    statuses |= dict.fromkeys(route.rejections, 422)
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for code, status in sorted(statuses.items(), key=lambda pair: pair[1]):
        grouped[str(status)].append(code)
    return {
        status: {
            "description": ", ".join(f"`{code}`" for code in found),
            "content": {
                "application/problem+json": {
                    "schema": _schema(ProblemDocument, schemas),
                    "examples": {code: {"value": _problem(code, int(status))} for code in found},
                }
            },
        }
        for status, found in grouped.items()
    }


def _problem(code: str, status: int) -> Any:  # noqa: ANN401
    shown = msgspec.structs.replace(Problem(code).document(), status=status)
    return msgspec.to_builtins(shown)


def _content(media: str, kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    content = {"schema": _schema(kind, schemas)}
    if kind in EXAMPLES:
        content["example"] = EXAMPLES[kind]
    elif len(get_args(kind)) == 1:
        (item,) = get_args(kind)
        content["example"] = {"data": [EXAMPLES[item]], "has_more": False, "next_cursor": None}
    return {media: content}


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    (schema,), found = msgspec.json.schema_components([kind], ref_template=_REF)
    schemas.update(_in_ecma(found))
    return _in_ecma(schema)


def _in_ecma(schema: dict[str, Any]) -> dict[str, Any]:
    r"""Write patterns as JSON Schema has them: their $ is Python's \Z, and not before a newline."""
    written = msgspec.json.encode(schema).replace(rb'\\Z"', b'$"')
    return msgspec.json.decode(written, type=dict[str, Any])


def _given(kind: Any) -> Any:  # noqa: ANN401
    """Return an optional type without its None: a query parameter is there or not."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    return parts[0] if type(None) in get_args(kind) else kind


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}
