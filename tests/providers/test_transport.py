"""The pyreqwest transport against a raw loopback server: what leaves, and when bytes arrive."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from providers.transport.pyreqwest_transport import PyreqwestTransport
from tests.providers.loopback import HEADERS, Connection, Server, post, within
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


# ---- what leaves ----------------------------------------------------------------------------------------------------


async def test_headers_leave_in_lower_case_and_in_the_given_order(
    server: Server, transport: PyreqwestTransport
) -> None:
    seen: list[tuple[str, list[tuple[str, str]], bytes]] = []

    async def talk(connection: Connection) -> None:
        seen.append(await connection.request())
        await connection.open_answer()
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url, b'{"a":1}'), None)
    assert await stream.read() == b""
    await stream.close()
    [(line, headers, body)] = seen
    assert line == "POST /codex/responses HTTP/1.1"
    assert body == b'{"a":1}'
    assert [pair for pair in headers if pair[0] not in ("host", "content-length")] == list(HEADERS)


async def test_nothing_is_added_that_the_official_client_does_not_send(
    server: Server, transport: PyreqwestTransport
) -> None:
    names: list[str] = []

    async def talk(connection: Connection) -> None:
        names.extend(name for name, _ in (await connection.request())[1])
        await connection.open_answer()
        await connection.finish()

    server.talk = talk
    await (await transport.open(post(server.url), None)).close()
    assert set(names) - {name for name, _ in HEADERS} == {"host", "content-length"}


async def test_proxies_of_the_environment_are_ignored(
    server: Server, transport: PyreqwestTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    assert stream.status == 200
    await stream.close()


async def test_an_egress_gets_the_request_instead_of_the_host(server: Server, transport: PyreqwestTransport) -> None:
    lines: list[str] = []

    async def talk(connection: Connection) -> None:
        lines.append((await connection.request())[0])
        await connection.open_answer()
        await connection.finish()

    server.talk = talk
    proxy = server.url.removesuffix("/codex/responses")
    stream = await transport.open(post("http://upstream.invalid/codex/responses"), proxy)
    await stream.close()
    assert lines == ["POST http://upstream.invalid/codex/responses HTTP/1.1"]


@pytest.mark.parametrize("value", ["caf\xe9", "\u2603", "", "a\tb"])
async def test_an_odd_header_value_is_sent_or_refused_but_never_a_bug(
    server: Server, transport: PyreqwestTransport, value: str
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        await connection.finish()

    server.talk = talk
    try:
        stream = await transport.open(post(server.url, headers=(*HEADERS, ("x-codex-turn-state", value))), None)
    except UpstreamUnreachable:
        return
    await stream.close()


# ---- when bytes arrive ----------------------------------------------------------------------------------------------


async def test_the_first_event_is_not_held_back(server: Server, transport: PyreqwestTransport) -> None:
    may_go_on = asyncio.Event()

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        for number in range(3):
            await connection.chunk(b"data: %d\n\n" % number)
            await may_go_on.wait()
            may_go_on.clear()
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    for number in range(3):
        assert await within(2, stream.read()) == b"data: %d\n\n" % number
        may_go_on.set()
    assert await within(2, stream.read()) == b""
    assert stream.is_at_end
    assert await stream.read() == b""
    await stream.close()


async def test_headers_are_there_before_the_first_byte_of_the_body(
    server: Server, transport: PyreqwestTransport
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer("429 Too Many Requests", "X-Codex-Plan-Type: plus", "Set-Cookie: a=b")
        await connection.reader.read()

    server.talk = talk
    stream = await within(2, transport.open(post(server.url), None))
    assert stream.status == 429  # type: ignore[attr-defined]
    assert stream.headers["x-codex-plan-type"] == "plus"  # type: ignore[attr-defined]
    await stream.close()  # type: ignore[attr-defined]


async def test_a_burst_is_read_in_few_pieces_and_in_order(server: Server, transport: PyreqwestTransport) -> None:
    burst = [b"data: %04d\n\n" % number for number in range(500)]

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        for piece in burst:
            connection.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    await asyncio.sleep(0.2)
    reads: list[bytes] = []
    while chunk := await within(2, stream.read()):
        reads.append(chunk)  # type: ignore[arg-type]
    assert b"".join(reads) == b"".join(burst)
    assert len(reads) < len(burst) / 2, "what has arrived is taken along; how much that is depends on the machine"
    await stream.close()


async def test_a_burst_after_a_wait_is_whole_however_often_a_read_was_left_over(
    server: Server, transport: PyreqwestTransport
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        for number in range(200):
            await connection.chunk(b"%03d;" % number)
            if number % 7 == 0:
                await asyncio.sleep(0.002)
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    said = b""
    while chunk := await within(2, stream.read()):
        said += chunk  # type: ignore[operator]
        await asyncio.sleep(0.001)
    assert said == b"".join(b"%03d;" % number for number in range(200))
    await stream.close()


async def test_a_large_body_stays_in_bounded_pieces(server: Server, transport: PyreqwestTransport) -> None:
    size = 5 * 1024 * 1024

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer()
        await connection.chunk(b"x" * size)
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    total = largest = 0
    while chunk := await within(5, stream.read()):
        total += len(chunk)  # type: ignore[arg-type]
        largest = max(largest, len(chunk))  # type: ignore[arg-type]
    assert total == size
    assert largest <= 1024 * 1024
    await stream.close()


async def test_nothing_is_decompressed(server: Server, transport: PyreqwestTransport) -> None:
    packed = gzip.compress(b"hello")

    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer("200 OK", "content-encoding: gzip")
        await connection.chunk(packed)
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    assert await stream.read() == packed
    await stream.close()


async def test_a_redirect_is_an_answer_and_is_not_followed(server: Server, transport: PyreqwestTransport) -> None:
    async def talk(connection: Connection) -> None:
        await connection.request()
        await connection.open_answer("307 Temporary Redirect", f"location: {server.url}/elsewhere")
        await connection.finish()

    server.talk = talk
    stream = await transport.open(post(server.url), None)
    assert stream.status == 307
    await stream.close()
    assert server.connections == 1


async def test_cookies_are_not_kept(server: Server, transport: PyreqwestTransport) -> None:
    names: list[str] = []

    async def talk(connection: Connection) -> None:
        for _ in range(2):
            names.extend(name for name, _ in (await connection.request())[1])
            await connection.open_answer("200 OK", "set-cookie: __cf_bm=1")
            await connection.finish()

    server.talk = talk
    for _ in range(2):
        stream = await transport.open(post(server.url), None)
        assert await stream.read() == b""
        await stream.close()
    assert "cookie" not in names
