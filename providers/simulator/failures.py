"""How the backend says no: statuses and bodies of its refusals, as data (wire.md §6).

A `Failure` is a value that travels up as `Refused` from validation or comes from a fault; the HTTP side sends it as
a reply, the WebSocket side as an error frame. Next: `faults.py` chooses among `FAILURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

CHALLENGE_HTML = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>"
    b"<script>window._cf_chl_opt={cType:'managed'};</script><noscript>Enable JavaScript and cookies to continue"
    b"</noscript></body></html>"
)
BLOCKED_HTML = (
    b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>"
    b"<h1>Sorry, you have been blocked</h1><p>Cloudflare error 1020</p></body></html>"
)
GATEWAY_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>cloudflare</center></body></html>"


@dataclass
class Failure:
    """One refusal. `body` is bytes for HTML or emptiness, anything else is JSON."""

    status: int
    body: Any
    headers: list[tuple[str, str]] = field(default_factory=list)
    with_quota: bool = False
    """Whether the quota headers go with it, as they do on 429."""

    @property
    def payload(self) -> bytes:
        """Return the body as bytes."""
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)

    @property
    def content_type(self) -> str:
        """Return the media type of the body."""
        return "text/html; charset=UTF-8" if isinstance(self.body, bytes) else "application/json"

    def frame(self) -> dict[str, Any]:
        """Return the refusal as a WebSocket error frame (wire.md §1.3.6)."""
        if isinstance(self.body, dict) and isinstance(self.body.get("error"), dict):
            error = self.body["error"]
        else:
            text = self.body.get("detail") if isinstance(self.body, dict) else "upstream error"
            error = {"type": "invalid_request_error", "message": text, "code": None, "param": None}
            if isinstance(text, dict):
                error |= {"message": text.get("message", ""), "code": text.get("code")}
        return {"type": "error", "status": self.status, "error": error, "headers": dict(self.headers)}


class Refused(Exception):
    """Validation said no."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.status)
        self.failure = failure


def detail(text: Any, status: int = 400) -> Failure:
    """Return a refusal in the form of the web framework."""
    return Failure(status, {"detail": text})


def error(
    code: str | None,
    message: str,
    *,
    status: int = 400,
    kind: str = "invalid_request_error",
    param: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Failure:
    """Return a refusal in the form of the public API."""
    body = {"message": message, "type": kind, "param": param, "code": code} | (extra or {})
    return Failure(status, {"error": body})


@dataclass(frozen=True)
class Scene:
    """What a refusal may need to know about the call it refuses."""

    model: str = "gpt-5.5"
    plan: str = "plus"
    now: float = 0.0
    params: dict[str, Any] = field(default_factory=dict)


def usage_limit(scene: Scene, *, resets: str = "both") -> Failure:
    """Return 429 for a spent plan; `resets` is both, at, in, none or past."""
    seconds = int(scene.params.get("seconds", 5400))
    body: dict[str, Any] = {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": scene.plan,
        "eligible_promo": None,
    }
    if resets in ("both", "at"):
        body["resets_at"] = int(scene.now) + seconds
    if resets in ("both", "in"):
        body["resets_in_seconds"] = seconds
    if resets == "past":
        body |= {"resets_at": int(scene.now) - 60, "resets_in_seconds": 0}
    return Failure(429, {"error": body}, with_quota=True)


def rate_limit(scene: Scene, hint: str) -> Failure:
    """Return 429 for requests that come too fast, with a textual hint."""
    text = (
        f"Rate limit reached for {scene.model} in organization org-sim on tokens per min (TPM): Limit 30000, "
        f"Used 22999, Requested 12528. Please try again in {scene.params.get('hint', hint)}."
    )
    return error("rate_limit_exceeded", text, status=429, kind="tokens")


def _auth(code: str, text: str) -> Callable[[Scene], Failure]:
    return lambda _scene: error(code, text, status=401)


def _bad(code: str | None, text: str, param: str | None = None) -> Callable[[Scene], Failure]:
    return lambda scene: error(code, text.format(model=scene.model), param=param)


def _detail(text: Any, status: int = 400) -> Callable[[Scene], Failure]:
    return lambda scene: detail(text.format(model=scene.model) if isinstance(text, str) else text, status)


def _raw(status: int, body: bytes, *headers: tuple[str, str]) -> Callable[[Scene], Failure]:
    return lambda _scene: Failure(status, body, list(headers))


def _error(status: int, code: str, text: str, kind: str) -> Callable[[Scene], Failure]:
    return lambda _scene: error(code, text, status=status, kind=kind)


_TOKEN = "Please try signing in again."
_REGION = "Country, region, or territory not supported"

FAILURES: dict[str, dict[str, Callable[[Scene], Failure]]] = {
    "F1": {
        "both": usage_limit,
        "at": lambda scene: usage_limit(scene, resets="at"),
        "in": lambda scene: usage_limit(scene, resets="in"),
        "none": lambda scene: usage_limit(scene, resets="none"),
        "past": lambda scene: usage_limit(scene, resets="past"),
    },
    "F2": {
        "ms": lambda scene: rate_limit(scene, "28ms"),
        "s": lambda scene: rate_limit(scene, "1.9s"),
        "seconds": lambda scene: rate_limit(scene, "20 seconds"),
    },
    "F3": {
        "capacity": _error(
            429, "model_at_capacity", "Selected model is at capacity. Please try a different model.", "server_error"
        ),
        "usage_not_included": lambda scene: Failure(
            429,
            {
                "error": {
                    "type": "usage_not_included",
                    "message": "Usage not included in your plan",
                    "plan_type": scene.plan,
                }
            },
        ),
    },
    "F4": {
        "token_expired": _auth("token_expired", f"Provided authentication token is expired. {_TOKEN}"),
        "token_invalidated": _auth("token_invalidated", f"Your authentication token has been invalidated. {_TOKEN}"),
        "account_deactivated": _auth(
            "account_deactivated",
            "Your OpenAI account has been deactivated, please check your email for more information.",
        ),
        "unauthorized": _detail("Unauthorized", 401),
        "unparsable": _detail(f"Could not parse your authentication token. {_TOKEN}", 401),
        "region": _detail("Workspace is not authorized in this region.", 401),
    },
    "F5": {
        "detail": _detail({"code": "deactivated_workspace"}, 402),
        "error": _error(402, "deactivated_workspace", "This workspace has been deactivated.", "invalid_request_error"),
    },
    "F6": {
        "challenge": _raw(403, CHALLENGE_HTML, ("cf-mitigated", "challenge")),
        "challenge_html_only": _raw(403, CHALLENGE_HTML),
        "blocked": _raw(403, BLOCKED_HTML),
        "ban": _detail("Your account has been suspended.", 403),
        "account_suspended": _error(403, "account_suspended", "Your account has been suspended.", "permission_error"),
        "region": _error(403, "unsupported_country_region_territory", _REGION, "request_forbidden"),
    },
    "F7": {
        "empty": _raw(404, b""),
        "json": _detail("Not Found", 404),
        "model_not_found": lambda scene: error(
            "model_not_found", f"The model '{scene.model}' does not exist", status=404
        ),
    },
    "F8": {
        "unsupported_parameter": _detail("Unsupported parameter: max_output_tokens"),
        "model_unsupported": _detail("The '{model}' model is not supported when using Codex with a ChatGPT account."),
        "version_gate": _detail(
            "The '{model}' model requires a newer version of Codex. Please upgrade to the latest "
            "app or CLI and try again."
        ),
        "previous_response_not_found": _bad(
            "previous_response_not_found", "Previous response with id 'resp_gone' not found.", "previous_response_id"
        ),
        "missing_tool_output": _bad(None, "No tool output found for function call call_gone.", "input"),
        "missing_tool_call": _bad(None, "No tool call found for function call output with call_id call_gone.", "input"),
        "invalid_encrypted_content": _bad(
            "invalid_encrypted_content",
            "The encrypted content gAAA... could not be "
            "verified. Reason: Encrypted content could not be decrypted or parsed.",
        ),
        "context_length": _bad(
            "context_length_exceeded",
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "input",
        ),
        "policy": _bad("cyber_policy", "This request has been flagged for possible cybersecurity risk."),
        "invalid_prompt": _bad("invalid_prompt", "Your prompt was flagged as potentially violating our usage policy."),
        "image": _bad(
            "invalid_value",
            "The image data you provided does not represent a valid image. Please check your input and try again.",
            "input[0].content[0].image_url",
        ),
    },
    "F9": {
        "413": _raw(413, b"<html><head><title>413 Request Entity Too Large</title></head></html>"),
        "415": _detail("Unsupported content encoding", 415),
        "426": _detail("Upgrade Required", 426),
        "500": _error(
            500,
            "server_error",
            "The server had an error while processing your request. Sorry about that!",
            "server_error",
        ),
        "502": _raw(502, GATEWAY_HTML),
        "503": _error(
            503,
            "server_is_overloaded",
            "Our servers are currently overloaded. Please try again later.",
            "service_unavailable_error",
        ),
        "503_slow_down": _error(503, "slow_down", "Please slow down.", "service_unavailable_error"),
        "504": _raw(504, b"<html><head><title>504 Gateway Time-out</title></head></html>"),
        "520": _raw(520, b"error code: 520"),
    },
}
