"""A callback is believed only if one of the secrets has signed exactly it, just now."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp import settings
from pyapp.rails.callbacks import ForgedError, key_of, sign, verify
from pyapp.web import app, callbacks

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 64).decode()
BODY = b'{"event_id":"evt_1","state":"paid"}'
HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"]


def test_what_is_signed_is_believed() -> None:
    assert verify(sign("evt_1", BODY, OLD), BODY, [OLD]) == {"event_id": "evt_1", "state": "paid"}


def test_a_signature_is_that_of_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the standard's reference implementations."""
    monkeypatch.setattr(time, "time", lambda: 1614265330.9)
    headers = sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [None, f"whsec_{'A' * 43}="])
def test_without_a_secret_there_is_no_route_for_callbacks(secret: str | None) -> None:
    made = settings.Settings(sandbox_bank_url="http://127.0.0.1:1", sandbox_bank_secret=secret)
    assert (callbacks.PATH in app._paths(made)) == (secret is not None)
    assert settings.load({}).sandbox_bank_secret is None


def test_secrets_can_be_rotated() -> None:
    assert verify(sign("evt_1", BODY, OLD), BODY, [NEW, OLD])
    old, new = (sign("evt_1", BODY, secret) for secret in (OLD, NEW))
    signatures = f"v1a,AAAA {new['webhook-signature']} {old['webhook-signature']}"
    assert verify({**old, "webhook-signature": signatures}, BODY, [OLD])
    assert verify({**old, "webhook-signature": signatures}, BODY, [NEW])


@pytest.mark.parametrize("secrets", [[], [NEW]])
def test_another_secret_or_none_is_not_enough(secrets: list[str]) -> None:
    with pytest.raises(ForgedError, match="does not match"):
        verify(sign("evt_1", BODY, OLD), BODY, secrets)


@pytest.mark.parametrize("seconds", [-302, 302, 10**6])
def test_an_old_or_early_callback_is_refused(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    headers = sign("evt_1", BODY, OLD)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    with pytest.raises(ForgedError, match="too far"):
        verify(headers, BODY, [OLD])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "evt_2"),
        ("webhook-id", ""),
        ("webhook-id", "evt.1"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "now"),
        ("webhook-timestamp", "1e9"),
        ("webhook-timestamp", "\u0663"),  # a digit, but not one of ours
        ("webhook-timestamp", "9" * 400),
        ("webhook-signature", ""),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,AAAA,BBBB"),
        ("webhook-signature", "v1,\u00e9"),
        ("webhook-signature", "v2,AAAA"),
    ],
)
def test_a_changed_or_missing_header_is_refused(name: str, value: str) -> None:
    headers = {**sign("evt_1", BODY, OLD), name: value}
    with pytest.raises(ForgedError):
        verify(headers, BODY, [OLD])
    with pytest.raises(ForgedError):
        verify({key: text for key, text in headers.items() if key != name}, BODY, [OLD])


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(ForgedError, match="does not match"):
        verify(sign("evt_1", BODY, OLD), BODY.replace(b"paid", b"PAID"), [OLD])


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"null", b'{"a":' + b"[" * 100_000])
def test_what_is_signed_and_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(ForgedError, match="not a JSON object"):
        verify(sign("evt_1", body, OLD), body, [OLD])


@given(st.dictionaries(st.sampled_from(HEADERS), st.text()), st.binary())
def test_nothing_else_is_ever_raised(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(ForgedError):
        verify({**sign("evt_1", BODY, OLD), **headers}, BODY + b" " + body, [OLD])


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_\u00e9", OLD[6:], OLD + "!"])
def test_a_secret_has_to_be_one(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        key_of(secret)
