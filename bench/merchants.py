"""Merchants with money, a bank account, and an API key without a limit that a bench would reach."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import psycopg

from pyapp.settings import Settings


@dataclass(frozen=True)
class Merchant:
    """Its id, and its key's secret."""

    id: str
    key: str


def make(settings: Settings, count: int) -> list[Merchant]:
    """Make so many."""
    with psycopg.connect(settings.conninfo("admin"), autocommit=True) as connection:
        return [_merchant(connection) for _ in range(count)]


def _merchant(connection: psycopg.Connection) -> Merchant:
    key = secrets.token_urlsafe(32)
    row = connection.execute(
        "SELECT m.merchant_id::text FROM payrail.create_merchant('Bench') m,"
        " payrail.add_bank_account("
        "m.merchant_id, 'demo-bank-account', 'Asha Rao', '000000000001', 'HDFC0000001'),"
        " payrail.credit_merchant(m.merchant_id, 1000000000000000, 'INR', 'opening'),"
        " payrail.create_api_key("
        "m.merchant_id, %s, %s, p_writes_per_second => 1000000)",
        [hashlib.sha256(key.encode()).digest(), key[:8]],
    ).fetchone()
    assert row is not None
    return Merchant(row[0], key)
