"""Keys over the API and the dashboard: none gives what it has not, and each has its limits."""

from __future__ import annotations

import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp.keys import SCOPES
from pyapp.web import types
from tests.web.client import Answer, Client
from tests.web.conftest import Connection, NewClient
from tests.web.test_contract import fits
from tests.web.test_fuzz import FUZZ, JSON
from tests.web.visitor import Page, Visitor

ALL = [*SCOPES]


@pytest.fixture
def keeper(new_client: NewClient) -> Client:
    """A client whose key manages keys, and may do all else."""
    return new_client(scopes=ALL, owner="asha", reads_per_second=500)


def made(keeper: Client, **fields: Any) -> dict[str, Any]:
    answer = keeper.post("/api_keys/", {"scopes": ["read"], **fields})
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


def using(keeper: Client, secret: str) -> Client:
    return Client(keeper.host, keeper.port, secret, keeper.merchant_id)


def status(keeper: Client, secret: str) -> int:
    client = using(keeper, secret)
    answer = client.get("/me/")
    client.close()
    return answer.status


# --------------------------------------------------------------------------------------- the API


def test_a_key_is_made_and_its_secret_shown_once(keeper: Client) -> None:
    answer = keeper.post("/api_keys/", {"scopes": ["read"], "name": "reporting"})
    assert answer.status == 201
    key = fits(answer.body, types.NewApiKey)
    assert answer.headers["location"] == f"/api/v1/api_keys/{key.id}/"
    assert (key.name, key.owner, key.scopes, key.prefix) == (
        *("reporting", "asha", ["read"]),
        key.secret[:12],
    )
    assert (key.reads_per_second, key.writes_per_second, key.expires_at) == (500, 1000, None)
    assert status(keeper, key.secret) == 200
    shown = keeper.get(f"/api_keys/{key.id}/")
    assert fits(shown.body, types.ApiKey).last_used_at
    listed = keeper.get("/api_keys/")
    assert fits(listed.body, types.Listing[types.ApiKey]).data[0].id == key.id
    assert key.secret.encode() not in shown.body + listed.body


def test_keys_are_listed_page_by_page(keeper: Client) -> None:
    ids = [made(keeper, name=str(number))["id"] for number in range(3)][::-1]
    first = keeper.get("/api_keys/?limit=2").json
    assert [key["id"] for key in first["data"]] == ids[:2]
    rest = keeper.get(f"/api_keys/?limit=2&cursor={first['next_cursor']}").json
    assert rest["data"][0]["id"] == ids[2]


@pytest.mark.parametrize("scope", [scope for scope in ALL if scope != "keys:write"])
def test_a_key_grants_no_scope_that_it_lacks(new_client: NewClient, scope: str) -> None:
    own = [other for other in ALL if other != scope]
    lesser = new_client(scopes=own, owner="asha")
    for scopes in ([scope], ALL):
        answer = lesser.post("/api_keys/", {"scopes": scopes})
        assert (answer.status, answer.code) == (403, "grant_refused")
    assert made(lesser, scopes=own)["scopes"] == own


def test_a_key_makes_none_that_lasts_longer(new_client: NewClient) -> None:
    keeper = new_client(scopes=ALL, owner="asha", expires_at="tomorrow")
    later = {"scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"}
    assert keeper.post("/api_keys/", later).code == "grant_refused"
    own = keeper.get("/api_keys/").json["data"][0]["expires_at"]
    assert own
    assert made(keeper)["expires_at"] == own


def test_a_key_with_an_end_that_has_passed_is_refused(keeper: Client) -> None:
    answer = keeper.post("/api_keys/", {"scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"})
    assert (answer.status, answer.code) == (422, "api_key_invalid")
    assert answer.json["errors"][0]["pointer"] == "/expires_at"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scopes": []},
        {"scopes": ["admin"]},
        {"scopes": ["read"], "name": ""},
        {"scopes": ["read"], "name": "a\nb"},
        {"scopes": ["read"], "owner": "ravi"},
        {"scopes": ["read"], "expires_at": "2099-01-01T00:00:00"},
    ],
)
def test_a_malformed_key_is_refused(keeper: Client, body: dict[str, Any]) -> None:
    assert keeper.post("/api_keys/", body).status == 422


def test_a_key_rolls_with_overlap(keeper: Client) -> None:
    old = made(keeper, name="shop", scopes=["read", "payouts:create"])
    answer = keeper.post(f"/api_keys/{old['id']}/roll/", {"overlap_seconds": 60})
    assert answer.status == 201
    new = fits(answer.body, types.NewApiKey)
    assert (new.name, new.scopes, new.owner, new.expires_at) == (
        "shop",
        old["scopes"],
        "asha",
        None,
    )
    assert status(keeper, old["secret"]) == status(keeper, new.secret) == 200
    shown = keeper.get(f"/api_keys/{old['id']}/").json
    assert shown["replaced_by"] == str(new.id)
    assert shown["expires_at"]
    again = keeper("POST", f"/api_keys/{old['id']}/roll/")
    assert (again.status, again.code) == (409, "api_key_ended")
    assert str(new.id) in again.json["detail"]


def test_a_key_rolls_at_once(keeper: Client) -> None:
    old = made(keeper)
    new = keeper.post(f"/api_keys/{old['id']}/roll/", {"overlap_seconds": 0}).json
    assert (status(keeper, old["secret"]), status(keeper, new["secret"])) == (401, 200)


def test_a_key_rolls_itself(keeper: Client) -> None:
    own = keeper.get("/api_keys/").json["data"][0]["id"]
    new = keeper("POST", f"/api_keys/{own}/roll/").json
    assert (new["scopes"], new["owner"]) == (ALL, "asha")
    assert status(keeper, new["secret"]) == 200
    assert keeper.get("/me/").status == 200


def test_another_owners_key_is_not_rolled(keeper: Client, new_client: NewClient) -> None:
    """Whoever rolls it would get to know the secret, and be two persons."""
    other = new_client(beside=keeper, scopes=ALL, owner="ravi")
    (ravis,) = [
        key["id"] for key in keeper.get("/api_keys/").json["data"] if key["owner"] == "ravi"
    ]
    assert keeper("POST", f"/api_keys/{ravis}/roll/").code == "grant_refused"
    assert other.get("/me/").status == 200


def test_a_greater_key_is_not_rolled(keeper: Client, new_client: NewClient) -> None:
    lesser = new_client(beside=keeper, scopes=["read", "keys:write"], owner="asha")
    (greater,) = [
        key["id"] for key in keeper.get("/api_keys/").json["data"] if len(key["scopes"]) == len(ALL)
    ]
    assert lesser("POST", f"/api_keys/{greater}/roll/").code == "grant_refused"


def test_a_key_is_revoked_at_once(keeper: Client) -> None:
    key = made(keeper)
    answer = keeper("POST", f"/api_keys/{key['id']}/revoke/")
    assert (answer.status, fits(answer.body, types.ApiKey).revoked_at is not None) == (200, True)
    assert status(keeper, key["secret"]) == 401
    assert keeper("POST", f"/api_keys/{key['id']}/revoke/").body == answer.body


def test_whoever_keeps_asking_is_let_in_while_a_key_rolls_and_not_once_it_is_revoked(
    new_client: NewClient,
) -> None:
    keeper = new_client(scopes=ALL, owner="asha", reads_per_second=10**6)
    old = made(keeper)
    over = threading.Event()

    def ask(_: int) -> list[tuple[float, int, float]]:
        one, found = using(keeper, old["secret"]), []
        while not over.is_set():
            begun = time.monotonic()
            found.append((begun, one.get("/me/").status, time.monotonic()))
        one.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(4)]
        try:
            new = keeper.post(f"/api_keys/{old['id']}/roll/", {"overlap_seconds": 60}).json
            assert status(keeper, new["secret"]) == 200
            revoking = time.monotonic()
            assert keeper("POST", f"/api_keys/{old['id']}/revoke/").status == 200
            revoked = time.monotonic()
            assert [status(keeper, old["secret"]) for _ in range(4)] == [401] * 4
        finally:
            over.set()
    found = [answer for one in asked for answer in one.result()]
    assert {code for _, code, end in found if end < revoking} <= {200}
    assert {code for begun, code, _ in found if begun > revoked} <= {401}
    assert status(keeper, new["secret"]) == 200


def test_any_key_of_the_merchant_is_revoked_by_one_that_manages_keys(
    keeper: Client, new_client: NewClient
) -> None:
    other = new_client(beside=keeper, scopes=["read"], owner="ravi")
    (ravis,) = [
        key["id"] for key in keeper.get("/api_keys/").json["data"] if key["owner"] == "ravi"
    ]
    assert keeper("POST", f"/api_keys/{ravis}/revoke/").status == 200
    assert other.get("/me/").status == 401


def test_a_key_without_the_scope_manages_none(keeper: Client, new_client: NewClient) -> None:
    key = made(keeper)
    other = new_client(beside=keeper, scopes=["read", "payouts:create"])
    answers = (
        other.post("/api_keys/", {"scopes": ["read"]}),
        other("POST", f"/api_keys/{key['id']}/roll/"),
        other("POST", f"/api_keys/{key['id']}/revoke/"),
    )
    assert {(answer.status, answer.code) for answer in answers} == {(403, "forbidden")}


def test_a_key_that_has_just_been_revoked_makes_no_other(
    keeper: Client, api: Connection, new_client: NewClient
) -> None:
    """The door looks again, under the lock: the shell may have asked before."""
    own = keeper.get("/api_keys/").json["data"][0]["id"]
    other = new_client(beside=keeper, scopes=["keys:write"], owner="asha")
    assert other("POST", f"/api_keys/{own}/revoke/").status == 200
    with pytest.raises(Exception, match="manages no keys"):
        api.execute(
            "SELECT payrail.create_api_key_by_key(%s, %s, sha256('x'), 'x', '{read}')",
            [keeper.merchant_id, own],
        )


@pytest.mark.parametrize("path", ["", "roll/", "revoke/"])
def test_another_merchants_keys_are_not_there(
    keeper: Client, new_client: NewClient, path: str
) -> None:
    foreign = made(new_client(scopes=ALL, owner="asha"))["id"]
    for key_id in (foreign, str(uuid.uuid4()), "x"):
        answer = keeper("POST" if path else "GET", f"/api_keys/{key_id}/{path}")
        assert (answer.status, answer.code) == (404, "api_key_not_found")


@FUZZ
@given(
    body=st.dictionaries(
        st.sampled_from(["scopes", "name", "expires_at", "overlap_seconds"]),
        JSON | st.lists(st.sampled_from(ALL)) | st.datetimes(timezones=st.timezones()).map(str),
    )
)
def test_any_body(new_client: NewClient, body: dict[str, Any]) -> None:
    keeper = new_client(scopes=ALL, owner="asha")
    key = made(keeper)["id"]
    for path in ("/api_keys/", f"/api_keys/{key}/roll/", f"/api_keys/{key}/revoke/"):
        answer = keeper.post(path, body)
        assert answer.status < 500
        if answer.status == 201:
            assert fits(answer.body, types.NewApiKey)
    assert signed_in(keeper).get("/keys").status == 200
    keeper.close()


# ------------------------------------------------------------------------------------ the limits


def until_refused(client: Client, method: str, path: str) -> Answer:
    for _ in range(1000):
        answer = client(method, path)
        if answer.status == 429:
            return answer
    pytest.fail("it was never refused")


def test_every_answer_says_what_is_left(new_client: NewClient) -> None:
    client = new_client(reads_per_second=100, writes_per_second=7)
    answer = client.get("/me/")
    assert answer.headers["ratelimit-policy"] == '"reads";q=100;w=1'
    assert answer.headers["ratelimit"] == '"reads";r=99;t=1'
    refused = client.post("/payouts/", {})
    assert refused.status == 400
    assert refused.headers["ratelimit"] == '"writes";r=6;t=1'


def test_whoever_asks_too_often_is_told_when_to_come_again(new_client: NewClient) -> None:
    client = new_client(reads_per_second=1, writes_per_second=1000)
    assert client.get("/me/").status == 200
    refused = until_refused(client, "GET", "/me/")
    assert (refused.code, refused.headers["retry-after"]) == ("rate_limited", "1")
    assert refused.headers["ratelimit"] == '"reads";r=0;t=1'
    assert client.payout()["status"] == "pending"  # writes are counted apart


def test_a_burst_from_many_threads_gets_no_more_than_its_limit(new_client: NewClient) -> None:
    """Also with a key that the server has not seen yet, whose limit nobody knows at first."""
    quota, threads = 5, 64
    client = new_client(writes_per_second=quota)
    together = threading.Barrier(threads)

    def create(_: int) -> tuple[float, Answer, float]:
        one = using(client, str(client.key))
        one.get("//healthz")  # it is connected
        together.wait()
        begun = time.monotonic()
        answer = one.create({"amount_paise": 1, "bank_account_id": "demo-bank-account"})
        one.close()
        return begun, answer, time.monotonic()

    with ThreadPoolExecutor(threads) as pool:
        done = [*pool.map(create, range(threads))]
    took = max(end for _, _, end in done) - min(begun for begun, _, _ in done)
    made = [answer for _, answer, _ in done if answer.status == 201]
    refused = [answer for _, answer, _ in done if answer.status != 201]
    assert quota <= len(made) <= quota * (1 + took)  # a second's worth, and what came in meanwhile
    for answer in made:
        left = re.fullmatch(r'"writes";r=(\d+);t=1', answer.headers["ratelimit"])
        assert left
        assert int(left[1]) < quota
    for answer in refused:
        assert (answer.status, answer.code) == (429, "rate_limited")
        assert answer.headers["ratelimit"] == '"writes";r=0;t=1'
        assert int(answer.headers["retry-after"]) >= 1
    for _, answer, _ in done:
        assert answer.headers["ratelimit-policy"] == f'"writes";q={quota};w=1'
    assert len(client.get("/payouts/?limit=100").json["data"]) == len(made)


def test_a_payout_that_is_refused_for_its_frequency_leaves_its_key_unused(
    new_client: NewClient,
) -> None:
    client = new_client(writes_per_second=1)
    until_refused(client, "POST", "/payouts/x/cancel/")
    body = {"amount_paise": 100, "bank_account_id": "demo-bank-account"}
    answers = [client.create(body, "one")]
    while answers[-1].status == 429:
        answers.append(client.create(body, "one"))
    assert answers[-1].status == 201
    assert "idempotent-replayed" not in answers[-1].headers


def test_a_limit_holds_from_the_next_request_on(
    new_client: NewClient, operator: Connection
) -> None:
    client = new_client()
    key = client.get("/api_keys/").json["data"][0]["id"]
    operator.execute("SELECT payrail.limit_api_key(%s, %s, 3, 3)", [client.merchant_id, key])
    assert client.get("/me/").headers["ratelimit-policy"] == '"reads";q=1000;w=1'
    assert client.get("/me/").headers["ratelimit-policy"] == '"reads";q=3;w=1'


# ------------------------------------------------------------------------------------- the pages


@pytest.fixture
def visitor(keeper: Client) -> Visitor:
    return signed_in(keeper)


def signed_in(client: Client) -> Visitor:
    visitor = Visitor(client)
    assert visitor.sign_in(client.key).location == "/"
    return visitor


def make(visitor: Visitor, **fields: str) -> Page:
    given = {"token": visitor.token(), "name": "shop", "scope-read": "on", **fields}
    return visitor.post("/keys", given)


def secret_on(page: Page) -> str:
    (secret,) = (text for text in page.values("data-copy") if text.startswith("pr_test_"))
    return secret


def test_a_key_is_made_on_its_page(visitor: Visitor, keeper: Client) -> None:
    page = make(visitor, days="30")
    assert page.status == 200
    assert status(keeper, secret_on(page)) == 200
    key = keeper.get("/api_keys/").json["data"][0]
    assert (key["name"], key["scopes"], key["owner"]) == ("shop", ["read"], "asha")
    assert key["expires_at"]
    for path in ("/keys", f"/keys/{key['id']}"):
        shown = visitor.get(path)
        assert key["prefix"] in shown.text
        assert secret_on(page) not in shown.html


def test_a_key_that_may_nothing_is_not_made(visitor: Visitor, keeper: Client) -> None:
    before = keeper.get("/api_keys/").json
    page = visitor.post("/keys", {"token": visitor.token(), "name": "shop"})
    assert page.status == 422
    assert "Choose what the key may do." in page.text
    assert keeper.get("/api_keys/").json == before


def test_a_key_is_rolled_and_revoked_on_its_page(visitor: Visitor, keeper: Client) -> None:
    old = secret_on(make(visitor))
    key_id = keeper.get("/api_keys/").json["data"][0]["id"]
    path = f"/keys/{key_id}"
    assert visitor.get(path).actions == {"/sign-out", f"{path}/roll", f"{path}/revoke"}
    page = visitor.post(f"{path}/roll", {"token": visitor.token(), "hours": "24"})
    new = secret_on(page)
    assert status(keeper, old) == status(keeper, new) == 200
    assert "Rolled to" in visitor.get(path).text
    assert visitor.post(f"{path}/revoke", {"token": visitor.token()}).location == path
    assert (status(keeper, old), status(keeper, new)) == (401, 200)
    assert visitor.get(path).actions == {"/sign-out"}


def test_who_may_not_manage_keys_sees_them_only(keeper: Client, new_client: NewClient) -> None:
    reader = signed_in(new_client(beside=keeper, scopes=["read"]))
    page = reader.get("/keys")
    assert page.status == 200
    assert page.actions == {"/sign-out"}
    assert reader.post("/keys", {"token": reader.token(), "scope-read": "on"}).status == 403


def test_a_form_can_not_grant_what_the_session_lacks(keeper: Client, new_client: NewClient) -> None:
    lesser = signed_in(new_client(beside=keeper, scopes=["read", "keys:write"]))
    assert "scope-payouts:create" not in lesser.get("/keys").fields
    page = make(lesser, **{"scope-payouts:create": "on"})
    assert page.status == 422
    assert "may do no more" in page.text


def test_whoever_revokes_the_own_key_is_signed_out(visitor: Visitor, keeper: Client) -> None:
    own = keeper.get("/api_keys/").json["data"][0]["id"]
    assert "you are signed in with it" in visitor.get(f"/keys/{own}").text
    visitor.post(f"/keys/{own}/revoke", {"token": visitor.token()})
    assert visitor.get("/keys").location == "/sign-in?next=/keys"
