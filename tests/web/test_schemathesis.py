"""The API keeps what its OpenAPI document says, whatever is asked: Schemathesis asks.

`SECONDS=600 pytest tests/web/test_schemathesis.py` is the long run. What it is not to check, and
why, is in schemathesis.toml.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Final

from pyapp.keys import SCOPES
from pyapp.settings import ROOT
from tests.conftest import Database
from tests.desk import Desk
from tests.web.conftest import Web

SETTINGS: Final = Path(__file__).parent / "schemathesis.toml"
SECONDS: Final = os.environ.get("SECONDS")
PAYOUTS: Final = 100  # that await approval, so that there are some to be decided for long
# a bound that is no time: the same is asked on any machine; what covers each schema takes longer
SHORT: Final = ["--phases=examples,fuzzing,stateful", "--max-examples=5", "--seed=1"]


def test_every_answer_is_as_described(database: Database, web: Web) -> None:
    secret = f"pr_test_{secrets.token_urlsafe(32)}"
    with Desk(database, 10**15) as desk:
        (key,) = desk.call(
            *("payrail_operator", "create_api_key"),
            key_hash=hashlib.sha256(secret.encode()).digest(),
            prefix=secret[:12],
            scopes=[*SCOPES],
            owner="asha",
            reads_per_second=10**6,
            writes_per_second=10**6,
        )
        payouts = [desk.payout(one) for one in ("settled", "failed", "scheduled", "queued")]
        desk.rule(approve_from=1)
        payouts += [desk.create(f"k{number}").payout_id for number in range(PAYOUTS)]
        asked = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", f"--config-file={SETTINGS}", "run"),
                f"http://{web.host}:{web.port}/api/v1/openapi.json",
                f"--header=Authorization: Api-Key {secret}",
                "--no-color",
                *([f"--max-time={SECONDS}"] if SECONDS else SHORT),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "OWN_API_KEY_ID": str(key["api_key_id"]),
                "PAYOUT_IDS": ",".join(map(str, payouts)),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 0, asked.stdout + asked.stderr
        print(asked.stdout)  # noqa: T201  # for the long run: `pytest -s`
