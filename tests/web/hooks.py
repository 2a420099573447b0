"""What Schemathesis is told beside its settings (schemathesis.toml)."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import schemathesis

from tests.desk import ACCOUNT


@schemathesis.hook
def before_call(_: object, case: schemathesis.Case[Any], __: dict[str, Any]) -> None:
    """Pay to an account that is there, and keep whoever asks from ending its own key.

    The keys are listed, its own among them, and Schemathesis tries what it has seen.
    """
    if case.path_parameters.get("api_key_id") == os.environ["OWN_API_KEY_ID"]:
        case.path_parameters["api_key_id"] = str(uuid4())
    is_sound = case.meta is not None and case.meta.generation.mode.is_positive
    if is_sound and isinstance(case.body, dict) and "bank_account_id" in case.body:
        case.body["bank_account_id"] = ACCOUNT
