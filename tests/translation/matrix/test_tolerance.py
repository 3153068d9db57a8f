"""Newer clients are understood: nulls, unknown fields, roles and blocks in real requests are never an error of ours.

The requests are those of `tests/golden/`, recorded from real clients; the fields that are sprinkled over every object
are all that the vendor's SDK knows. A null says what a missing field says: the upstream gets the very same body.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.translation.matrix.contract import Column
from tests.translation.matrix.grid import COLUMNS, TRANSCRIPTS
from tests.translation.matrix.lanes import prepare

pytestmark = pytest.mark.oracle

UNKNOWN = {"x_from_the_future": {"a": [1, None]}, "zukunft": "ü", "another_switch": True}
BLOCK = {"type": "hologram", "hologram": {"depth": 3}}


def cases() -> Iterator[Any]:
    for column in COLUMNS:
        folder = TRANSCRIPTS.parent / column.requests
        for case in sorted(folder.iterdir()) if column.requests else ():
            path = case / "path"
            if not path.exists() or path.read_text().strip() == column.path:
                yield pytest.param(column, (case / "request.json").read_bytes(), id=f"{column.name}-{case.name}")


every_request = pytest.mark.parametrize(("column", "request_body"), list(cases()))


def objects(column: Column, value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a request that is the protocol's own, from the inside out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in column.data_keys:
                yield from objects(column, inner)
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from objects(column, inner)


def sent(column: Column, body: Any) -> Any:
    """What leaves for the upstream."""
    opened = column.open(orjson.dumps(body))
    return orjson.loads(opened.answer or prepare(column, opened).body)


@every_request
def test_every_field_the_sdk_knows_may_be_null(column: Column, request_body: bytes) -> None:
    body, plain = orjson.loads(request_body), sent(column, orjson.loads(request_body))
    for place in list(objects(column, body)):
        for name in column.known_fields():
            place.setdefault(name, None)
    assert sent(column, body) == plain


@every_request
def test_every_optional_field_that_was_sent_may_be_null(column: Column, request_body: bytes) -> None:
    fields = sum(len(place) for place in objects(column, orjson.loads(request_body)))
    for number in range(fields):
        body = orjson.loads(request_body)
        places = [(place, name) for place in objects(column, body) for name in place]
        place, name = places[number]
        if name not in column.essentials:
            place[name] = None
            assert sent(column, body)


@every_request
def test_unknown_fields_are_no_error_anywhere(column: Column, request_body: bytes) -> None:
    body = orjson.loads(request_body)
    for place in list(objects(column, body)):
        place.update(UNKNOWN)
    assert sent(column, body)["input"] == sent(column, orjson.loads(request_body))["input"]


@every_request
def test_new_roles_and_blocks_are_no_error(column: Column, request_body: bytes) -> None:
    body = orjson.loads(request_body)
    for place in list(objects(column, body)):
        for name in ("content", "parts"):
            if isinstance(place.get(name), list):
                place[name].append(BLOCK)
        if "role" in place and place["role"] == "user":
            place["role"] = "narrator"
    assert sent(column, body)
