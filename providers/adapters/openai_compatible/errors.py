"""What a non-2xx answer of an OpenAI-compatible provider means: the vendor's code first, then the status.

Reads status, headers and body; what words and statuses mean is shared with failures inside a stream
(`translation/protocols/openai_chat/upstream.py`). Nothing of the vendor's body reaches a client but message, code and
parameter. Facts: spec/translation.md §11.6, §12.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from translation import errors
from translation.protocols.openai_chat.upstream import error_from_payload, typed_error
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

_LONGEST_WAIT_S = 24 * 3600.0


def classify(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> errors.GatewayError:
    """Return the typed error of an answer with `status`; `headers` have lower-case names."""
    try:
        payload = jsonio.loads(body)
    except ValueError:
        payload = None
    if is_array(payload) and payload:  # Google's compatible endpoint wraps the object in a list
        payload = payload[0]
    error = error_from_payload(payload, status) if is_object(payload) else typed_error("", [], status)
    wait_s = retry_after_s(headers, now_s)
    if wait_s is not None and isinstance(
        error, errors.RateLimited | errors.UpstreamBusy | errors.UpstreamTransient | errors.UpstreamFailed
    ):
        error.retry_after_s = wait_s
        if isinstance(error, errors.RateLimited):
            error.until = now_s + wait_s
    return error


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return how long the provider asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date."""
    wait_s = _number(headers.get("retry-after-ms"), 0.001)
    if wait_s is None:
        wait_s = _number(headers.get("retry-after"), 1.0)
    if wait_s is None and headers.get("retry-after"):
        wait_s = _until_date(headers["retry-after"], now_s)
    return min(max(0.0, wait_s), _LONGEST_WAIT_S) if wait_s is not None else None


def _number(text: str | None, unit_s: float) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value * unit_s if 0 <= value < 1e12 else None  # neither NaN nor infinity


def _until_date(text: str, now_s: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() - now_s
