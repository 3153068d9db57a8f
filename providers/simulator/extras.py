"""Everything around the model calls: files, images, version feeds, IP echo (wire.md §1.8, §1.9, §8.2, §11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from providers.simulator.calls import authenticate
from providers.simulator.failures import CHALLENGE_HTML, FAILURES, Failure, Refused, Scene, error
from providers.simulator.headers import edge_headers
from providers.simulator.http import Exchange
from providers.simulator.picture import picture_base64
from providers.simulator.recorder import ReceivedRequest

if TYPE_CHECKING:
    from providers.simulator.server import Simulator

MAX_FILE_BYTES = 512 * 1024 * 1024


def _json(record: ReceivedRequest) -> dict[str, Any]:
    try:
        body = orjson.loads(record.body or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(Failure(422, {"detail": [{"type": "json_invalid", "loc": ["body"]}]}))
    return body


async def create_file(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Step one of an upload: announce it."""
    account = authenticate(sim, exchange.header)
    sim.recorder.attribute(record, account.id)
    body = _json(record)
    if not body.get("file_name") or not isinstance(body.get("file_size"), int) or body["file_size"] > MAX_FILE_BYTES:
        raise Refused(Failure(422, {"detail": [{"type": "missing", "loc": ["body", "file_name"]}]}))
    file_id = f"file_{sim.ids.hex(32)}"
    sim.files[file_id] = {"file_name": body["file_name"], "content": None}
    exchange.reply_json(
        200, {"file_id": file_id, "upload_url": f"{sim.base_url}/blob/{file_id}"}, edge_headers(sim.ids, sim.clock())
    )


async def put_blob(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Step two: take the bytes; the blob store knows no bearer."""
    entry = sim.files.get(exchange.path.rsplit("/", 1)[-1])
    if entry is None or exchange.header("x-ms-blob-type") != "BlockBlob":
        raise Refused(Failure(400, b"<Error><Code>InvalidHeaderValue</Code></Error>"))
    if exchange.header("authorization") is not None:
        sim.counters["violation.bearer_to_blob_store"] += 1
    entry["content"] = record.body
    exchange.reply(201, b"")


async def file_uploaded(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Step three: say the upload is done."""
    account = authenticate(sim, exchange.header)
    sim.recorder.attribute(record, account.id)
    file_id = exchange.path.split("/")[-2]
    entry = sim.files.get(file_id)
    if entry is None:
        raise Refused(FAILURES["F7"]["json"](Scene()))
    if entry["content"] is None:
        exchange.reply_json(200, {"status": "retry"}, edge_headers(sim.ids, sim.clock()))
        return
    exchange.reply_json(
        200,
        {
            "status": "success",
            "download_url": f"{sim.base_url}/blob/{file_id}",
            "file_name": entry["file_name"],
            "mime_type": "application/octet-stream",
            "error_message": None,
        },
        edge_headers(sim.ids, sim.clock()),
    )


async def make_image(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Generate or edit an image directly."""
    account = authenticate(sim, exchange.header)
    sim.recorder.attribute(record, account.id)
    body = _json(record)
    if not body.get("prompt"):
        raise Refused(error("missing_required_parameter", "Missing required parameter: 'prompt'.", param="prompt"))
    wanted = body.get("size")
    picture, size = picture_base64(wanted if isinstance(wanted, str) and "x" in wanted else "1024x1024")
    count = max(1, int(body.get("n") or 1))
    usage = {
        "input_tokens": 12,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 12},
        "output_tokens": 196 * count,
        "output_tokens_details": {"image_tokens": 196 * count, "text_tokens": 0},
        "total_tokens": 12 + 196 * count,
    }
    exchange.reply_json(
        200,
        {
            "created": int(sim.clock()),
            "background": body.get("background") or "opaque",
            "data": [{"b64_json": picture}] * count,
            "output_format": "png",
            "quality": body.get("quality") or "medium",
            "size": size,
            "usage": usage,
        },
        edge_headers(sim.ids, sim.clock()),
    )


async def appcast(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Serve the Desktop version feed."""
    version, build = sim.options.app_version, sim.options.app_build
    feed = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<rss xmlns:sparkle="http://www.andymatuschak.org/xml-namespaces/sparkle" version="2.0"><channel>'
        f"<title>Codex</title><item><title>{version}</title><pubDate>Thu, 27 Aug 2026 10:00:00 +0000</pubDate>"
        f"<sparkle:version>{build}</sparkle:version><sparkle:shortVersionString>{version}</sparkle:shortVersionString>"
        f'<enclosure url="{sim.base_url}/codex-app-prod/Codex-{version}.zip" length="1" '
        'type="application/octet-stream" sparkle:edSignature="c2lt"/></item></channel></rss>'
    )
    exchange.reply(200, feed.encode(), [("content-type", "application/xml"), *edge_headers(sim.ids, sim.clock())])


async def latest_release(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Serve the CLI's version as GitHub and npm would."""
    version = sim.options.cli_version
    exchange.reply_json(
        200, {"name": version, "tag_name": f"rust-v{version}", "version": version, "dist-tags": {"latest": version}}
    )


async def ip_echo(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Tell the caller its exit address."""
    fault = sim.draw_plain(record).get("F22")
    if fault is not None:
        await asyncio.sleep(float(fault.params.get("seconds", 5)) if fault.has("slow") else 0)
        if fault.has("ip_not_json"):
            exchange.reply(200, CHALLENGE_HTML, [("content-type", "text/html")])
            return
        if fault.has("ip_500"):
            raise Refused(Failure(500, b""))
    if exchange.params.get("format") == "json":
        exchange.reply_json(200, {"ip": sim.options.exit_ip})
    else:
        exchange.reply(200, sim.options.exit_ip.encode(), [("content-type", "text/plain")])
