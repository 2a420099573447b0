"""Money as people write and read it: each currency has its own number of digits (ISO 4217).

Amounts are whole minor units everywhere else; here they are written and read digit by digit, so
that nothing is ever rounded.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# As in ledger.currencies, which decides; ISO 4217 list one, as published on 2026-01-01: every code
# that has a minor unit.
_CODES: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD"
        " CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP"
        " GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK"
        " LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO"
        " NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS"
        " SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST"
        " XAD XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS: Final = {code: digits for digits, codes in _CODES.items() for code in codes.split()}
MOST: Final = 10**15  # as ledger.amount has it
_SYMBOLS: Final = {"INR": "₹"}


def plain(amount: int, currency: str) -> str:
    """Write minor units in the currency's own unit, as files have it: 123450 is 1234.50."""
    digits = EXPONENTS[currency]
    sign, text = ("-", str(-amount)) if amount < 0 else ("", str(amount))
    if not digits:
        return f"{sign}{text}"
    text = text.zfill(digits + 1)
    return f"{sign}{text[:-digits]}.{text[-digits:]}"


def written(amount: int, currency: str) -> str:
    """Write minor units for people: ₹1,00,000.00 in Indian groups, USD 100,000.00 in others."""
    sign = "-" if amount < 0 else ""
    whole, point, part = plain(abs(amount), currency).partition(".")
    size = 2 if currency == "INR" else 3
    ends = range(len(whole) - 3, 0, -size)
    groups = [whole[-3:], *(whole[max(0, end - size) : end] for end in ends)]
    name = _SYMBOLS.get(currency, f"{currency}\N{NO-BREAK SPACE}")
    return f"{sign}{name}{','.join(reversed(groups))}{point}{part}"


def read(text: str, currency: str) -> int | None:
    """Read an amount, such as 60, 60.5, ₹1,00,000.00 or USD 60; None if it can not be paid."""
    digits = EXPONENTS[currency]
    found = _form(currency, digits).fullmatch(text.strip())
    if found is None:
        return None
    amount = int(found[1].replace(",", "") + (found[2] or "").ljust(digits, "0"))
    return amount if 1 <= amount <= MOST else None


@cache
def _form(currency: str, digits: int) -> re.Pattern[str]:
    name = "|".join((_SYMBOLS.get(currency, currency), currency))
    part = rf"(?:\.([0-9]{{1,{digits}}}))?" if digits else "()"
    whole = r"[0-9]{1,16}|[0-9]{1,3}(?:,[0-9]{2,3}){0,6},[0-9]{3}"
    return re.compile(rf"(?:{name})?\s*({whole}){part}")
