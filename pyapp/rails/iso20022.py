"""ISO 20022 messages: payment orders out (pain.001), statuses and bookings in (pain.002, camt).

Nothing here touches a database. What leaves and what comes in is checked against ISO's schemas in
`xsd/`.
What a bank's status means is decided narrowly: only a booking (camt) is "paid", and only a
rejection with a listed reason is a final no.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from lxml import etree

from pyapp.money import EXPONENTS
from pyapp.rails.rail import Instruction

# ISO 20022 external status reason codes that are a final no, and what PayRail calls them. Every
# other one, such as DUPL or AM05 (duplicates: the first may be executed) or NARR (prose), leaves
# the outcome unknown.
REASONS: Final[Mapping[str, str]] = {
    "AB08": "beneficiary_bank_offline",
    "AC01": "account_invalid",
    "AC03": "account_invalid",
    "AC04": "account_closed",
    "AC06": "account_frozen",
    "AC14": "account_type_not_allowed",
    "AG03": "mode_not_supported",
    "AM02": "amount_invalid_for_mode",
    "AM04": "not_executed",
    "AM10": "not_executed",
    "AM14": "beneficiary_limit_exceeded",
    "AM18": "not_executed",
    "BE01": "name_mismatch",
    "FF01": "not_executed",
    "MD07": "account_holder_deceased",
    "MS03": "beneficiary_bank_rejected",
    "RC01": "ifsc_invalid",
    "RR04": "compliance_blocked",
    "TECH": "rail_unavailable",
    "TM01": "rail_window_closed",
}
MOST_BYTES: Final = 64 * 1024 * 1024

Element: TypeAlias = Any  # lxml has no types

_PAIN001: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_NAMESPACE: Final = re.compile(
    r"urn:iso:std:iso:20022:tech:xsd:((?:pain\.002|camt\.053|camt\.054)\.001\.\d\d)"
)
_XSD: Final = Path(__file__).parent / "xsd"
_AMOUNT: Final = re.compile(r"\d{1,15}(\.\d{1,5})?")
_LONGEST: Final = 255  # characters of an event's id
_RAW: Final = 4000  # characters of a transaction that are kept as evidence
_PRIVATE: Final = (  # names, accounts, and prose that may quote them
    *("TxInfAndSts", "NtryDtls", "RltdPties", "Cdtr", "CdtrAcct", "Dbtr", "DbtrAcct"),
    *("RmtInf", "AddtlInf", "AddtlTxInf", "AddtlNtryInf", "OrgnlTxRef"),
)
_NUMBER: Final = re.compile(r"\b(?=[A-Za-z]*\d)[A-Za-z0-9]{5,}(?=[A-Za-z0-9]{4}\b)")
_VPA: Final = re.compile(r"[A-Za-z0-9._-]+@")
_CODE: Final = 35  # characters of a bank's reference
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_IFSC: Final = re.compile(r"[A-Z]{4}0[A-Z0-9]{6}")


class InvalidMessageError(Exception):
    """A message that can't be used; the text says where and why, and quotes no account."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who pays, and what this bank wants to see; `debtor_agent` is an IFSC or a BIC."""

    debtor_name: str
    debtor_account: str
    debtor_agent: str
    initiating_party: str
    service_level: str | None = None
    charge_bearer: str = "SLEV"
    batch_booking: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What a message says of one transaction; sums in minor units of the currency.

    Of a whole file of ours, `rail_ref` is that file's MsgId.
    """

    event_id: str
    rail_ref: str | None
    outcome: str  # paid | refused | returned | pending | unknown
    code: str | None  # the UTR of paid, our failure code of refused, the return code of returned
    utr: str | None
    reason: str | None
    raw: Mapping[str, Any]
    kind: str | None = None  # payment | return, of a booking
    amount: int | None = None
    currency: str | None = None
    booked_at: datetime | None = None
    entry_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a bank; `period` is from when until when a statement or notification tells.

    `whole` is what it says of whole files.
    """

    kind: str  # pain.002 | camt.053 | camt.054
    message_id: str
    entries: Sequence[Entry]
    whole: Sequence[Entry]
    period: tuple[datetime, datetime] | None


# ----------------------------------------------------------------------------------------- out


def pain001(
    message_id: str,
    created_at: datetime,
    total: int,
    instructions: Sequence[Instruction],
    profile: Profile,
) -> bytes:
    """Write one payment file: a group header and one block; the same input is the same bytes.

    `total` is in minor units; all instructions have one currency. ValueError names what can't be
    written: a currency that isn't known, or a field that the schema refuses.
    """
    total_sum = _decimal(total, instructions[0].currency)
    count = str(len(instructions))
    root = etree.Element(f"{{{_PAIN001}}}Document", nsmap={None: _PAIN001})
    body = _add(root, "CstmrCdtTrfInitn")
    header = _add(body, "GrpHdr")
    _add(header, "MsgId", message_id)
    _add(header, "CreDtTm", created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(header, "NbOfTxs", count)
    _add(header, "CtrlSum", total_sum)
    _add(_add(header, "InitgPty"), "Nm", _plain(profile.initiating_party))
    block = _add(body, "PmtInf")
    _add(block, "PmtInfId", message_id)
    _add(block, "PmtMtd", "TRF")
    _add(block, "BtchBookg", str(profile.batch_booking).lower())
    _add(block, "NbOfTxs", count)
    _add(block, "CtrlSum", total_sum)
    # how it is to be paid is said in one place: of the whole block, or of each payment
    told_each = any(order.mode for order in instructions)
    if profile.service_level and not told_each:
        _add(_add(_add(block, "PmtTpInf"), "SvcLvl"), "Cd", profile.service_level)
    _add(_add(block, "ReqdExctnDt"), "Dt", created_at.astimezone(UTC).strftime("%Y-%m-%d"))
    _add(_add(block, "Dbtr"), "Nm", _plain(profile.debtor_name))
    _account(_add(block, "DbtrAcct"), profile.debtor_account)
    _agent(_add(block, "DbtrAgt"), profile.debtor_agent)
    _add(block, "ChrgBr", profile.charge_bearer)
    for order in instructions:
        one = _add(block, "CdtTrfTxInf")
        _add(_add(one, "PmtId"), "EndToEndId", order.rail_ref)
        if told_each:
            _type(one, order.mode, profile.service_level)
        amount = _add(_add(one, "Amt"), "InstdAmt", _decimal(order.amount, order.currency))
        amount.set("Ccy", order.currency)
        if order.ifsc:  # an IBAN names its bank
            _agent(_add(one, "CdtrAgt"), order.ifsc)
        _add(_add(one, "Cdtr"), "Nm", _plain(order.holder_name))
        _account(_add(one, "CdtrAcct"), order.iban or order.account_number or "")
        if order.narration:
            _add(_add(one, "RmtInf"), "Ustrd", order.narration)
    schema = _schema("pain.001.001.09")
    if not schema.validate(root):
        message = f"not a valid pain.001.001.09: {_fault(schema)}"
        raise ValueError(message)
    written: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return written


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    child = etree.SubElement(parent, f"{{{_PAIN001}}}{name}")
    child.text = text
    return child


def _type(parent: Element, mode: str | None, service_level: str | None) -> None:
    """Write by which mode one is paid: SEPA is a service level, others are the bank's own."""
    level = "SEPA" if mode == "SEPA" else service_level
    if not mode and not level:
        return
    kind = _add(parent, "PmtTpInf")
    if level:
        _add(_add(kind, "SvcLvl"), "Cd", level)
    if mode and mode != "SEPA":
        _add(_add(kind, "LclInstrm"), "Prtry", mode)


def _account(parent: Element, number: str) -> None:
    if _is_iban(number):
        _add(_add(parent, "Id"), "IBAN", number)
    else:
        _add(_add(_add(parent, "Id"), "Othr"), "Id", number)


def _is_iban(number: str) -> bool:
    """Whether ISO 13616's check digits are right."""
    if not _IBAN.fullmatch(number):
        return False
    return int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1


def _agent(parent: Element, code: str) -> None:
    bank = _add(parent, "FinInstnId")
    if _IFSC.fullmatch(code):
        _add(_add(bank, "ClrSysMmbId"), "MmbId", code)
    else:
        _add(bank, "BICFI", code)


def _decimal(amount: int, currency: str) -> str:
    """Return minor units as the decimal that goes on the wire."""
    if currency not in EXPONENTS:
        message = f"currency {currency} can't be sent by file"
        raise ValueError(message)
    return format(Decimal(amount).scaleb(-EXPONENTS[currency]), "f")


def _plain(text: str) -> str:
    """Return a name in the Latin characters that every bank takes, 70 at most."""
    latin = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9/?:().,'+ -]", ".", latin)[:70].strip() or "NOTPROVIDED"


# ------------------------------------------------------------------------------------------ in


def read(content: bytes) -> Message:
    """Read what a bank has sent; InvalidMessageError for all that isn't exactly as it should be."""
    if len(content) > MOST_BYTES:
        message = f"more than {MOST_BYTES} bytes"
        raise InvalidMessageError(message)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as exc:
        message = f"not well-formed XML: {_where(exc)}"
        raise InvalidMessageError(message) from None
    if root.getroottree().docinfo.doctype:
        message = "a DOCTYPE is not allowed"
        raise InvalidMessageError(message)
    found = _NAMESPACE.fullmatch(etree.QName(root).namespace or "")
    if found is None:
        message = "the namespace is none of pain.002, camt.053, camt.054"
        raise InvalidMessageError(message)
    schema = _schema(found[1])
    if not schema.validate(root):
        message = f"not a valid {found[1]}: {_fault(schema)}"
        raise InvalidMessageError(message)
    _strip(root)
    kind = found[1][:8]
    message_id = _text(root, "*/GrpHdr/MsgId")
    if not message_id:
        message = "GrpHdr/MsgId is missing"
        raise InvalidMessageError(message)
    entries = [*(_statuses if kind == "pain.002" else _bookings)(root, kind, message_id)]
    if len({entry.event_id for entry in entries}) < len(entries):
        message = "the same transaction appears twice with the same outcome"
        raise InvalidMessageError(message)
    whole = [*_of_whole_files(root, kind, message_id)]
    return Message(kind, message_id, entries, whole, _period(root))


def _statuses(root: Element, kind: str, message_id: str) -> Iterator[Entry]:
    """Yield what a pain.002 says of each transaction that it names.

    One without a status of its own has that of its block, or of the whole file, if that is a no.
    """
    report = root.find("*")
    group = report.find("OrgnlGrpInfAndSts")
    for block in report.iterfind("OrgnlPmtInfAndSts"):
        for one in block.iterfind("TxInfAndSts"):
            ref = _text(one, "OrgnlEndToEndId")
            if ref is None:
                continue
            above = [(block, "PmtInfSts"), *([] if group is None else [(group, "GrpSts")])]
            rejected = [node for node, tag in above if _text(node, tag) == "RJCT"]
            if _text(one, "TxSts") is None and rejected:
                node = rejected[0]
                reasons = node if one.find("StsRsnInf") is None else one
                yield _status(one, ref, "RJCT", reasons, kind, message_id)
            else:
                yield _status(one, ref, _text(one, "TxSts") or "", one, kind, message_id)


def _of_whole_files(root: Element, kind: str, message_id: str) -> Iterator[Entry]:
    """Yield the rejections of a whole file (ours has one block of payments)."""
    if kind != "pain.002":
        return
    report = root.find("*")
    group = report.find("OrgnlGrpInfAndSts")
    ours = _text(group, "OrgnlMsgId") if group is not None else None
    blocks = [
        (group, "GrpSts"),
        *((block, "PmtInfSts") for block in report.iterfind("OrgnlPmtInfAndSts")),
    ]
    for block, tag in blocks:
        if ours and block is not None and _text(block, tag) == "RJCT":
            yield _status(block, ours, "RJCT", block, kind, message_id)
            return


def _status(  # noqa: PLR0913, PLR0917
    node: Element, rail_ref: str, status: str, reasons: Element, kind: str, message_id: str
) -> Entry:
    """Return what a status means; a rejection is final if each of its reasons is listed."""
    given = [
        (found.findtext("Cd") or found.findtext("Prtry") or "").strip()
        for found in reasons.iterfind("StsRsnInf/Rsn")
    ]
    reason = " ".join(given)
    prose = _masked(" ".join(found.text or "" for found in reasons.iterfind("StsRsnInf/AddtlInf")))
    outcome, code = "pending", None
    if status == "RJCT":
        listed = [REASONS.get(one) for one in given]
        code = listed[0] if all(listed) and listed else None
        outcome = "refused" if code else "unknown"
    elif not status:
        outcome = "unknown"
    return Entry(
        event_id=_event(message_id, rail_ref, status, reason),
        rail_ref=rail_ref,
        outcome=outcome,
        code=code,
        utr=None,
        reason=prose or f"the bank says {status} {reason}".strip(),
        raw=_raw(node, kind, message_id, status=status, reason=reason or None),
    )


def _bookings(root: Element, kind: str, message_id: str) -> Iterator[Entry]:
    """Yield the transactions of a statement or notification; one without details is one."""
    number = 0
    known = Counter[str]()
    for entry in root.iterfind(".//Ntry"):
        status = _text(entry, "Sts/Cd") or _text(entry, "Sts/Prtry") or _text(entry, "Sts")
        booked_at = _moment(_text(entry, "BookgDt/DtTm") or _text(entry, "BookgDt/Dt"))
        entry_ref = _text(entry, "AcctSvcrRef") or _text(entry, "NtryRef")
        details = entry.findall("NtryDtls/TxDtls")
        own = Counter(_text(one, "Refs/AcctSvcrRef") for one in details)
        for one in details or [entry]:
            number += 1
            found = _booking(
                one,
                is_alone=len(details) <= 1,
                # a batch's reference may stand in each of its payments
                shares_ref=own[_text(one, "Refs/AcctSvcrRef")] > 1,
                entry=entry,
                kind=kind,
                message_id=message_id,
                number=number,
                status=status,
                booked_at=booked_at,
                entry_ref=entry_ref,
            )
            ref = found.entry_ref or ""
            known[ref] += 1
            if ref.startswith("/") and known[ref] > 1:  # the bank gives no reference of its own
                found = replace(found, entry_ref=f"{ref}/{known[ref]}")
            yield found


def _booking(  # noqa: PLR0913
    one: Element,
    *,
    is_alone: bool,
    shares_ref: bool,
    entry: Element,
    kind: str,
    message_id: str,
    number: int,
    status: str | None,
    booked_at: datetime | None,
    entry_ref: str | None,
) -> Entry:
    sign = _text(one, "CdtDbtInd") or _text(entry, "CdtDbtInd")
    rail_ref = _text(one, "Refs/EndToEndId")
    rail_ref = None if rail_ref == "NOTPROVIDED" else rail_ref
    amount, currency = _sum(_own_amount(one, entry))
    returned = _text(one, "RtrInf/Rsn/Cd") or _text(one, "RtrInf/Rsn/Prtry")
    if returned is None and sign == "CRDT" and _text(entry, "RvslInd") == "true":
        returned = "RVSL"
    servicer_ref = _text(one, "Refs/AcctSvcrRef")
    tx_id = _text(one, "Refs/TxId")
    candidates = [
        None if shares_ref else servicer_ref,
        tx_id,
        _text(one, "Refs/ClrSysRef"),
        entry_ref if is_alone else servicer_ref,
    ]
    utr = next((text for text in candidates if text and len(text) <= _CODE), None)
    outcome, code = "unknown", None
    if rail_ref and status != "BOOK":
        outcome = "pending"
    elif rail_ref and sign == "DBIT" and returned is None and utr:
        outcome, code = "paid", utr
    elif rail_ref and sign == "CRDT" and returned:
        outcome, code = "returned", returned[:_CODE]
    # the same in every statement that has it: where it stands is the last resort
    own_ref = (
        (None if shares_ref else servicer_ref)
        or (entry_ref if is_alone else None)
        or f"{entry_ref or ''}/{tx_id or rail_ref or number}/{sign or ''}"
    )
    return Entry(
        event_id=_event(message_id, own_ref, str(number), rail_ref or "", outcome),
        rail_ref=rail_ref,
        outcome=outcome,
        code=code,
        utr=utr,
        reason=_masked(_text(one, "RtrInf/AddtlInf") or "") or None,
        raw=_raw(
            one,
            kind,
            message_id,
            status=status,
            reason=returned,
            amount=amount,
            currency=currency,
            utr=utr,
        ),
        kind="payment" if sign == "DBIT" else "return",
        amount=amount,
        currency=currency,
        booked_at=booked_at,
        entry_ref=own_ref,
    )


def _own_amount(one: Element, entry: Element) -> Element:
    """Return a payment's own Amt, where it has one beside its entry's, which may be a batch's."""
    paths = ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt")
    found = next((node for path in paths if (node := one.find(path)) is not None), None)
    return entry.find("Amt") if found is None else found


def _period(root: Element) -> tuple[datetime, datetime] | None:
    """Return from when until before when; ToDtTm is the last second of it."""
    since = _moment(_text(root, ".//FrToDt/FrDtTm"))
    until = _moment(_text(root, ".//FrToDt/ToDtTm"))
    if since is None or until is None or until < since:
        return None
    return since, until + timedelta(seconds=1)


def _sum(found: Element) -> tuple[int, str]:
    """Return minor units and currency, exactly."""
    text = (found.text or "").strip() if found is not None else ""
    currency = found.get("Ccy", "") if found is not None else ""
    if not _AMOUNT.fullmatch(text) or currency not in EXPONENTS:
        line = getattr(found, "sourceline", None)
        message = f"line {line}: Amt is no amount in a currency that is known"
        raise InvalidMessageError(message)
    minor = Decimal(text).scaleb(EXPONENTS[currency])
    if minor != minor.to_integral_value() or minor <= 0:
        message = f"line {found.sourceline}: Amt has more digits than {currency} has, or is 0"
        raise InvalidMessageError(message)
    return int(minor), currency


def _moment(text: str | None) -> datetime | None:
    """Return an instant; a date, or a time without a zone, is taken as UTC."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _text(node: Element, path: str) -> str | None:
    found = node.findtext(path)
    return found.strip() or None if found else None


def _raw(node: Element, kind: str, message_id: str, **more: object) -> dict[str, object]:
    """Return what is kept as evidence: the transaction without names and account numbers."""
    kept = deepcopy(node)
    for tag in _PRIVATE:
        for found in kept.findall(f".//{tag}"):
            found.getparent().remove(found)
    xml = etree.tostring(kept, encoding="unicode", with_tail=False)[:_RAW]
    return {"message": kind, "message_id": message_id, **more, "xml": xml}


def _masked(text: str) -> str:
    """Return a bank's prose without UPI addresses, and of what may be a number the last four."""
    return _NUMBER.sub("•••", _VPA.sub("•••@", text))


def _event(*parts: str) -> str:
    text = "/".join(parts)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:180]}/{hashlib.sha256(text.encode()).hexdigest()}"


def _strip(root: Element) -> None:
    """Take the namespace off all names: there is only one."""
    for node in root.iter(etree.Element):
        node.tag = etree.QName(node).localname
    etree.cleanup_namespaces(root)


def _fault(schema: Element) -> str:
    """Return where and what the first error is, without the value that was found."""
    error = schema.error_log[0]
    return f"line {error.line}: {error.type_name}"


def _where(exc: Exception) -> str:
    line = getattr(exc, "lineno", None)
    return f"line {line}" if line else type(exc).__name__


@cache
def _schema(name: str) -> Element:
    known = {path.stem: path for path in _XSD.glob("*.xsd")}
    if name not in known:
        message = f"{name} is not understood: use one of {', '.join(sorted(known))}"
        raise InvalidMessageError(message)
    return etree.XMLSchema(file=str(known[name]))
