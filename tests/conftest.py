"""What all tests share: the `--update-golden` option, loopback only, a clock that tests move, and ids that count."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation

from translation.wire.ids import Ids, counting_ids

START_S = 1_800_000_000.0
"""Where the tests' clock begins: a round moment in January 2027."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the derived files of golden cases; the transcripts are never touched",
    )
    parser.addoption("--update-screenshots", action="store_true", help="take the pictures in docs/screenshots/ again")


class FakeClock:
    """Calls return seconds; time passes only when told."""

    def __init__(self, now: float = START_S) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def _default_language() -> Iterator[None]:
    """A page that a test asked for in Chinese leaves the thread speaking it."""
    yield
    translation.deactivate()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ids() -> Ids:
    return counting_ids()


class NotLoopback(BaseException):
    """A test tried to reach another machine. No `except Exception` may hide it."""


def _is_loopback(host: Any) -> bool:
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise NotLoopback(f"A test may only talk to this machine, not to {address[0]}.")


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Refuse connections to other machines for the whole run; an audit hook cannot be taken back."""
    sys.addaudithook(_guard)
    yield
