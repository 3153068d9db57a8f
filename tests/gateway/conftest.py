"""Tests of the gateway run on a loop that skips waiting, so that minutes of silence cost nothing.

Those marked `real_time` talk to servers, which would never be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.dialects import DIALECTS
from tests.gateway.playbook import Play


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._skipped_s = 0.0
        really_select = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None) -> Any:
            if timeout is not None and timeout > 0:
                self._skipped_s += timeout
                timeout = 0
            return really_select(timeout)

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        """Return the loop's time, what was skipped included."""
        return super().time() + self._skipped_s


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("real_time") is not None:
        return {"real": asyncio.SelectorEventLoop}
    return {"skipping": SkippingLoop}


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def play(dialect: str) -> Play:
    return Play(dialect)
