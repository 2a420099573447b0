"""What Schemathesis is told beside its settings (schemathesis.toml)."""

from __future__ import annotations

import os
from typing import Any, Final
from uuid import UUID, uuid4

import schemathesis

from tests.desk import ACCOUNT

PAYOUTS: Final = os.environ["PAYOUT_IDS"].split(",")


@schemathesis.hook
def before_call(_: object, case: schemathesis.Case[Any], __: dict[str, Any]) -> None:
    """Ask for payouts and pay to an account that are there; keep the own key, which is listed."""
    path = case.path_parameters
    if path.get("api_key_id") == os.environ["OWN_API_KEY_ID"]:
        path["api_key_id"] = str(uuid4())
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "payout_id" in path:
        path["payout_id"] = PAYOUTS[UUID(str(path["payout_id"])).int % len(PAYOUTS)]
    if isinstance(case.body, dict) and "bank_account_id" in case.body:
        case.body["bank_account_id"] = ACCOUNT
