"""One configuration of logging for every process: JSON for machines, colored lines for people, secrets always masked.

Redaction is the last line of defense, at the sink: code must not log secrets in the first place. Canary tests are in
tests/serving/test_logs.py.
"""

from __future__ import annotations

import re
import sys
from typing import Any

# structlog imports twisted and rich when they are installed, to offer loggers and tracebacks that we do not use: 17 MB
# and 0.1 s in every process (measured with 26.1). Hidden while it is imported; can go when it imports them lazily.
_HIDDEN = {name: sys.modules.get(name) for name in ("twisted", "rich")}
sys.modules.update(dict.fromkeys(_HIDDEN))  # type: ignore[arg-type]  # None makes an import fail, as documented

import structlog  # noqa: E402  (after the hiding)

for _name, _module in _HIDDEN.items():
    if _module is None:
        del sys.modules[_name]
    else:
        sys.modules[_name] = _module

MASK = "***"
_SECRETS = re.compile(
    r"""
    (?P<keep>\bBearer\s+) [\w.~+/=-]{8,}             # an Authorization header
    | (?P<keep_key>\b(?:cpx|sk|sk-ant|rt|sess)[-_] [\w-]{0,4}) [\w.-]{8,}   # keys and refresh tokens: a start is enough
    | \beyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)?         # JSON web tokens
    | \bAIza[\w-]{20,}                               # Gemini's API keys
    | (?P<keep_user>://[^/\s:@]*:) [^@/\s]+ (?=@)    # a password in a URL
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SECRET_NAMES = re.compile(
    r"(?:^|_)(?:authorization|cookie|password|secret|api_?key|(?:access|refresh|id)_token)$", re.I
)
_MAX_DEPTH = 6


def mask(text: str) -> str:
    """Return `text` with everything that looks like a secret replaced by stars."""
    return _SECRETS.sub(
        lambda found: (found["keep"] or found["keep_key"] or found["keep_user"] or "") + MASK,
        text,
    )


def redact(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Mask secrets in every value of an event; a processor of structlog."""
    return {name: MASK if _SECRET_NAMES.search(name) else _redacted(value, 0) for name, value in event.items()}


def logging_config(level: str, style: str) -> dict[str, Any]:
    """Return the `LOGGING` setting. `style` is `json`, `console`, or `auto`: console on a terminal."""
    is_console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer = _console() if is_console else structlog.processors.JSONRenderer(ensure_ascii=False)
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks become text before redaction, so that a secret in an exception's message is masked too.
    last = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        renderer,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": last,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers would say everything twice, and mail.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # A page that is not there is no news; the request log has it.
            "django.request": {"level": "ERROR"},
            "uvicorn": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "celery": {"level": "WARNING"},
        },
    }


def _console() -> structlog.types.Processor:
    from structlog.dev import ConsoleRenderer, plain_traceback  # imports more than a server should carry

    return ConsoleRenderer(exception_formatter=plain_traceback)


def _redacted(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bytes):
        return mask(value.decode("utf-8", "replace"))
    if depth >= _MAX_DEPTH:
        return MASK
    if isinstance(value, dict):
        return {
            name: MASK if _SECRET_NAMES.search(str(name)) else _redacted(inner, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner, depth + 1) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask(str(value))
