"""The description is valid, complete, and true to what the server does."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any, get_args

import msgspec
import pytest
from openapi_spec_validator import validate

from pyapp.errors import CATALOG
from pyapp.web import openapi, types
from pyapp.web.api import ROUTES
from tests.web.client import Client
from tests.web.conftest import Connection

DOCUMENT = openapi.document(ROUTES)


def test_it_is_served_as_it_is_made(client: Client) -> None:
    assert client.get("/openapi.json").json == DOCUMENT


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)


@pytest.mark.parametrize("kind", openapi.EXAMPLES, ids=lambda kind: kind.__name__)
def test_the_examples_fit_their_types(kind: Any) -> None:
    msgspec.convert(openapi.EXAMPLES[kind], kind)


def test_every_route_answers(client: Client) -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            answer = client(method.upper(), f"/{re.sub('{.*?}', 'x', path)}")
            assert answer.status not in {404, 405} or answer.code != "not_found", path


def test_every_schema_is_there() -> None:
    names = set(
        re.findall(r"#/components/schemas/([^\"]+)", msgspec.json.encode(DOCUMENT).decode())
    )
    assert names <= set(DOCUMENT["components"]["schemas"])


def test_requests_are_closed_and_carry_their_bounds() -> None:
    schema = DOCUMENT["components"]["schemas"]["CreatePayout"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["amount_paise"]["minimum"] == 1
    assert schema["properties"]["amount_paise"]["maximum"] == 10**15
    assert len(schema["oneOf"]) == 2


def test_no_pattern_lets_a_newline_follow() -> None:
    kinds = [
        kind
        for route in ROUTES
        for kind in (route.query, *(route.content.values() or [route.body]))
    ]
    schemas = msgspec.json.encode(msgspec.json.schema_components(kinds)[1]).decode()
    assert {text[-3:] for text in re.findall(r'"pattern":"(.*?)"[,}]', schemas)} == {r"\\Z"}
    assert r"\\Z" not in msgspec.json.encode(DOCUMENT).decode()


def test_the_codes_of_a_route_exist() -> None:
    for route in ROUTES:
        assert {*route.errors, *route.rejections} <= set(CATALOG)


def test_the_docs_page(client: Client) -> None:
    page = client.get("//docs/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    seen = Page()
    seen.feed(page.body.decode())
    assert {f"error-{code}" for code in CATALOG} <= seen.ids
    assert {target[1:] for target in seen.links if target.startswith("#")} <= seen.ids
    assert not [link for link in seen.links if "://" in link]
    assert not seen.tags & {"script", "style", "img", "iframe", "form"}
    assert not seen.styled
    for link in seen.links:
        if link.startswith("/"):
            assert client.get(f"/{link}").status == 200


def test_statuses_and_kinds_are_those_of_the_database(admin: Connection) -> None:
    edges = admin.execute("SELECT to_status FROM payout.transitions").fetchall()
    assert set(get_args(types.Status)) == {edge["to_status"] for edge in edges}
    kinds = admin.execute("SELECT * FROM ledger.kinds").fetchall()
    assert set(get_args(types.Kind)) == {kind["kind"] for kind in kinds}
    accounts = {kind[side] for kind in kinds for side in ("debit_account", "credit_account")}
    assert set(get_args(types.Account)) == accounts


class Page(HTMLParser):
    """What a browser would have to load and could jump to."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.tags: set[str] = set()
        self.styled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.ids.add(given.get("id", ""))
        self.links |= {given[name] for name in ("href", "src") if name in given}
        self.styled = self.styled or any(name.startswith(("style", "on")) for name in given)
