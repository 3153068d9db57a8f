"""One simulator and one transport for a whole module: the cases of a module differ by their accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from providers.simulator.server import Simulator
from providers.transport.pyreqwest_transport import PyreqwestTransport


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(accounts=0) as running:
        yield running
        assert not list(running.errors), "the simulator itself failed"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transport() -> AsyncIterator[PyreqwestTransport]:
    opened = PyreqwestTransport()
    yield opened
    await opened.close()
