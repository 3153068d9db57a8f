"""How the transport lets go of connections, and what it says of those that cannot be reached or break."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from providers.transport.pyreqwest_transport import PyreqwestTransport
from tests.providers.loopback import Connection, Server, post, within
from translation.errors import UpstreamUnreachable


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    stage = Server()
    listening = await asyncio.start_server(stage.serve, "127.0.0.1", 0)
    stage.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/codex/responses"
    yield stage
    listening.close()


@pytest.fixture
async def transport() -> AsyncIterator[PyreqwestTransport]:
    opened = PyreqwestTransport()
    yield opened
    await opened.close()


# ---- letting go -----------------------------------------------------------------------------------------------------


async def test_a_connection_read_to_its_end_is_used_again(server: Server, transport: PyreqwestTransport) -> None:
    async def talk(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.open_answer()
            await connection.chunk(b"data: x\n\n")
            await connection.finish()

    server.talk = talk
    for _ in range(5):
        stream = await transport.open(post(server.url), None)
        while await within(2, stream.read()):
            pass
        await stream.close()
    assert server.connections == 1


async def test_closing_in_mid_stream_frees_the_upstream_at_once(server: Server, transport: PyreqwestTransport) -> None:
    closed = asyncio.Event()

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        await connection.chunk(b"data: x\n\n")
        if await connection.is_closed_by_peer():
            closed.set()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    assert await within(2, stream.read()) == b"data: x\n\n"
    await stream.close()
    await within(1, closed.wait())
    await stream.close()  # closing twice is fine
    assert await stream.read() == b""


@pytest.mark.parametrize("after", [0, 1], ids=["before any byte", "with a read left over"])
async def test_cancelling_a_read_frees_the_upstream_within_a_second(
    server: Server, transport: PyreqwestTransport, after: int
) -> None:
    closed = asyncio.Event()

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        for _ in range(after):
            await connection.chunk(b"data: x\n\n")
        if await connection.is_closed_by_peer():
            closed.set()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    for _ in range(after):
        await within(2, stream.read())
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0.05)
    assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await stream.close()
    await within(1, closed.wait())


async def test_cancelling_while_the_answer_is_awaited_frees_the_upstream_as_soon_as_it_answers(
    server: Server, transport: PyreqwestTransport
) -> None:
    asked, cancelled, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def talk(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await cancelled.wait()
        await connection.open_answer()
        if await connection.is_closed_by_peer():
            closed.set()

    server.talk = talk
    opening = asyncio.create_task(transport.open(post(server.url), None))
    await within(2, asked.wait())
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    cancelled.set()
    await within(1, closed.wait())


async def test_closing_the_transport_closes_idle_connections(server: Server) -> None:
    closed = asyncio.Event()

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        await connection.finish()
        if await connection.is_closed_by_peer():
            closed.set()

    server.talk = talk
    transport = PyreqwestTransport()
    stream = await transport.open(post(server.url), None)
    assert await stream.read() == b""
    await stream.close()
    await transport.close()
    await within(1, closed.wait())


# ---- what cannot be reached -----------------------------------------------------------------------------------------


async def test_a_refused_connection_is_told_without_the_address(transport: PyreqwestTransport) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with pytest.raises(UpstreamUnreachable) as caught:
            await within(5, transport.open(post(f"http://127.0.0.1:{port}/secret-path"), None))
    assert "127.0.0.1" not in caught.value.message and str(port) not in caught.value.message
    assert "secret-path" not in caught.value.message and "canary" not in caught.value.message + caught.value.detail


async def test_the_password_of_an_egress_never_shows(transport: PyreqwestTransport) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        egress = f"http://user:pass-canary@127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(UpstreamUnreachable) as caught:
            await within(5, transport.open(post("http://upstream.invalid/"), egress))
    assert "pass-canary" not in caught.value.message + caught.value.detail


@pytest.mark.parametrize("egress", ["nonsense", "ftp://127.0.0.1:1", "http://"])
async def test_an_impossible_egress_is_unreachable_and_no_bug(transport: PyreqwestTransport, egress: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        await within(5, transport.open(post("http://127.0.0.1:9/"), egress))


@pytest.mark.parametrize("before", ["before the headers", "in the headers", "garbage"])
async def test_a_connection_that_breaks_before_the_answer_is_unreachable(
    server: Server, transport: PyreqwestTransport, before: str
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.request()
        if before == "in the headers":
            await connection.say(b"HTTP/1.1 200 OK\r\ncontent-ty")
        if before == "garbage":
            await connection.say(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    server.talk = talk
    with pytest.raises(UpstreamUnreachable):
        await within(5, transport.open(post(server.url), None))


@pytest.mark.parametrize("after", [0, 1])
async def test_a_body_that_breaks_is_unreachable_not_an_end(
    server: Server, transport: PyreqwestTransport, after: int
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        for _ in range(after):
            await connection.chunk(b"data: x\n\n")
            await asyncio.sleep(0.05)

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    for _ in range(after):
        assert await within(2, stream.read()) == b"data: x\n\n"
    with pytest.raises(UpstreamUnreachable):
        await within(2, stream.read())
    await stream.close()


async def test_what_arrived_before_a_break_is_not_lost(server: Server, transport: PyreqwestTransport) -> None:
    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        await connection.chunk(b"data: last words\n\n")

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    await asyncio.sleep(0.2)  # the words and the break have both arrived
    assert await within(2, stream.read()) == b"data: last words\n\n"
    with pytest.raises(UpstreamUnreachable):
        await within(2, stream.read())
    await stream.close()


async def test_many_streams_at_once_stay_apart(server: Server, transport: PyreqwestTransport) -> None:
    async def talk(connection: Connection) -> None:
        _, _, body = await connection.request()
        await connection.open_answer()
        for _ in range(20):
            await connection.chunk(body + b";")
            await asyncio.sleep(0.001)
        await connection.finish()

    server.talk = talk

    async def one(number: int) -> bytes:
        stream = await transport.open(post(server.url, b"%d" % number), None)
        said = b""
        while chunk := await stream.read():
            said += chunk
        await stream.close()
        return said

    answers = await within(20, asyncio.gather(*(one(number) for number in range(30))))
    assert answers == [b"%d;" % number * 20 for number in range(30)]
