"""What an ASGI server was told to send, checked for legal order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson


class Reply:
    """What an ASGI server was told to send."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_complete = False
        self.messages = 0

    async def __call__(self, message: Mapping[str, Any]) -> None:
        assert not self.is_complete, "a message after the end"
        self.messages += 1
        if message["type"] == "http.response.start":
            assert not self.status, "a second start"
            self.status = message["status"]
            assert all(name == name.lower() for name, _ in message["headers"])
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert self.status, "a body before the start"
            self.body += message["body"]
            self.is_complete = not message["more_body"]
        await asyncio.sleep(0)

    @property
    def json(self) -> dict[str, Any]:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]
