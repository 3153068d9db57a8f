"""Settings that take effect while the gateway runs: their keys, what they may hold, and how they reach the snapshot.

Order: environment, then row, then default. Every change is validated, written with an audit entry, and bumps the
snapshot, so that all processes follow. Only keys with an effect are here. Keys and ranges: spec/operations.md §7.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from django.db import transaction
from msgspec import Struct

from accounts import audit, changes
from accounts.keys import KEY_PREFIX
from accounts.quota import WARNING_STEPS
from accounts.refresh import REFRESHES_AT_ONCE
from accounts.rotation import STRATEGIES
from accounts.selectors import REFRESH_MARGIN_S
from accounts.values import PoolRules
from codexproxy.env import env
from codexproxy.gateway.snapshot import GatewaySettings, OllamaBridgeSettings, SocketSettings
from codexproxy.models import Setting
from providers import routing
from providers.catalog import bundled_models
from providers.contract import Secret
from translation.errors import ModelNotFound

logger = logging.getLogger(__name__)

STARS = "***"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
_CODEC_SWITCHES = (
    "anthropic.hide_empty_thinking",
    "anthropic.hosted_web_search",
    "chat.cursor_overflow_answer",
    "ollama.disable_vision",
)
"""Settings that dialects read for themselves: `WireContext.options`."""
MAX_ALIASES = 200
MAX_NAME_CHARS = 200
_PLAN = re.compile(r"[a-z][a-z0-9_]{0,39}")
MAX_PLANS = 16
_VERSION = re.compile(r"\d[\w.+-]{0,63}")
_DEFAULTS = GatewaySettings()


class BadSetting(ValueError):
    """A key nobody knows, or a value it may not have; the message is a sentence for people."""


class Definition(Struct, frozen=True):
    """One key: how its text is read (raises BadSetting), its default, and the environment variable that wins."""

    read: Callable[[str], Any]
    default: Any
    variable: str = ""
    is_secret: bool = False


class ShownSetting(Struct, frozen=True):
    """A setting as people see it; secrets are stars."""

    key: str
    value: Any
    default: Any
    source: str


# ---- readers: text → value ------------------------------------------------------------------------------------------


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise BadSetting(f"must be true or false, not {text[:40]!r}.")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86_400:
        raise BadSetting("must be a number of seconds from 1 to 86400.")
    return value


def _count(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.strip().isdecimal() or not lowest <= int(text) <= highest:
            raise BadSetting(f"must be a whole number from {lowest} to {highest}.")
        return int(text)

    return read


def _percentages(text: str) -> tuple[int, ...]:
    """Read "80, 90" or "[80, 90]"; sorted, without repetition."""
    words = [word.strip() for word in text.strip().strip("[]()").split(",") if word.strip()]
    if len(words) > 10 or not all(word.isdecimal() and 1 <= int(word) <= 100 for word in words):
        raise BadSetting("must be percentages from 1 to 100, separated by commas, such as 80, 90.")
    return tuple(sorted({int(word) for word in words}))


def _port(text: str) -> int:
    if not text.strip().isdecimal() or not 1 <= int(text) <= 65_535:
        raise BadSetting("must be a port from 1 to 65535.")
    return int(text)


def _milliseconds(text: str) -> int:
    if not text.strip().isdecimal() or not 60_000 <= int(text) <= 3_540_000:
        raise BadSetting(
            "must be a number of milliseconds from 60000 to 3540000; upstreams close sockets after 60 minutes."
        )
    return int(text)


def _few(text: str) -> int:
    if not text.strip().isdecimal() or not 1 <= int(text) <= 64:
        raise BadSetting("must be a number from 1 to 64.")
    return int(text)


def _host(text: str) -> str:
    host = text.strip()
    if not host or len(host) > 253 or any(character.isspace() for character in host):
        raise BadSetting("must be an address of this machine, such as 127.0.0.1, without spaces.")
    return host


def _strategy(text: str) -> str:
    if text not in STRATEGIES:
        raise BadSetting(f"must be one of {', '.join(STRATEGIES)}.")
    return text


def _plans(text: str) -> str:
    """Plans in order, kept as "pro, plus"; a JSON list is read as well."""
    names = [part.strip(" \"'").lower() for part in text.strip().strip("[]").split(",")]
    plans = list(dict.fromkeys(name for name in names if name))
    if len(plans) > MAX_PLANS or not all(_PLAN.fullmatch(name) for name in plans):
        raise BadSetting("must be names of plans, the preferred first, such as: pro, plus.")
    return ", ".join(plans)


def _model(text: str) -> str:
    if not _leads_somewhere(text, {}):
        raise BadSetting(f"must be a model that is served here, not {text[:80]!r}.")
    return text.strip()


def _aliases(text: str) -> dict[str, str]:
    """Read a JSON object of names, which may hold `*`, and what they stand for; "" is nothing."""
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError:
        raise BadSetting('must be a JSON object of names, such as {"claude-*haiku*": "gpt-5.4-mini"}.') from None
    aliases = {name.strip(): target.strip() for name, target in found.items()}
    if len(aliases) < len(found) or "" in aliases:
        raise BadSetting("must not name an alias twice, or have one without a name.")
    if len(aliases) > MAX_ALIASES or any(len(word) > MAX_NAME_CHARS for pair in aliases.items() for word in pair):
        raise BadSetting(f"must hold at most {MAX_ALIASES} aliases of at most {MAX_NAME_CHARS} characters.")
    every = {**routing.SHIPPED_ALIASES, **aliases}
    for name, target in aliases.items():
        if target and not _leads_somewhere(target, every):
            raise BadSetting(f"must not point {name!r} at {target!r}: no model is served under that name.")
    return aliases


def _leads_somewhere(name: str, aliases: Mapping[str, str]) -> bool:
    try:
        routing.resolve(name, models=bundled_models(), aliases=aliases, default_model=_DEFAULTS.default_model)
    except ModelNotFound:
        return False
    return True


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise BadSetting("must be a version like 0.30.0, at most 64 characters.")
    return text


def _key(text: str) -> str:
    if not text.startswith(KEY_PREFIX):
        raise BadSetting(f"must be an API key of this gateway; it begins with {KEY_PREFIX}.")
    return text.strip()


DEFINITIONS: Mapping[str, Definition] = {
    "anthropic.hide_empty_thinking": Definition(_boolean, False),  # noqa: FBT003
    "anthropic.hosted_web_search": Definition(_boolean, False),  # noqa: FBT003
    "api.timeout_seconds": Definition(_seconds, _DEFAULTS.idle_timeout_s),
    "auth.refresh_enabled": Definition(_boolean, True),  # noqa: FBT003
    "auth.refresh_margin_seconds": Definition(_count(0, 86_400), int(REFRESH_MARGIN_S)),
    "auth.refresh_concurrency": Definition(_count(1, 20), REFRESHES_AT_ONCE),
    "auth.max_concurrent_per_account": Definition(_count(1, 10_000), _DEFAULTS.max_concurrent_per_account),
    "auth.request_interval_ms": Definition(_count(0, 60_000), round(_DEFAULTS.pool.pace_s * 1000)),
    "auth.rotation_strategy": Definition(_strategy, _DEFAULTS.pool.strategy),
    "auth.tier_priority": Definition(_plans, ""),
    "chat.cursor_overflow_answer": Definition(_boolean, False),  # noqa: FBT003
    "model.aliases": Definition(_aliases, {}),
    "model.default": Definition(_model, _DEFAULTS.default_model),
    "quota.refresh_interval_minutes": Definition(_count(0, 10_080), 0),
    "quota.concurrency": Definition(_count(1, 50), 10),
    "quota.skip_exhausted": Definition(_boolean, _DEFAULTS.skip_exhausted),
    "quota.warning_thresholds.primary": Definition(_percentages, WARNING_STEPS),
    "quota.warning_thresholds.secondary": Definition(_percentages, WARNING_STEPS),
    "ollama.enabled": Definition(_boolean, _DEFAULTS.ollama.enabled, "OLLAMA_BRIDGE_ENABLED"),
    "ollama.host": Definition(_host, _DEFAULTS.ollama.host, "OLLAMA_BRIDGE_HOST"),
    "ollama.port": Definition(_port, _DEFAULTS.ollama.port, "OLLAMA_BRIDGE_PORT"),
    "ollama.key": Definition(_key, "", "OLLAMA_BRIDGE_KEY", is_secret=True),
    "ollama.version": Definition(_version, "", "OLLAMA_BRIDGE_VERSION"),
    "ollama.disable_vision": Definition(_boolean, False, "OLLAMA_BRIDGE_DISABLE_VISION"),  # noqa: FBT003
    "ws_pool.enabled": Definition(_boolean, _DEFAULTS.sockets.enabled),
    "ws_pool.max_age_ms": Definition(_milliseconds, int(_DEFAULTS.sockets.max_age_s * 1000)),
    "ws_pool.max_per_account": Definition(_few, _DEFAULTS.sockets.max_per_account),
}


# ---- reading --------------------------------------------------------------------------------------------------------


def load_settings() -> GatewaySettings:
    """Return what the environment, the rows and the defaults amount to. One query."""
    values = {key: value for key, (value, _) in _effective().items()}
    timeout_s = values["api.timeout_seconds"]
    return GatewaySettings(
        pool=PoolRules(
            strategy=values["auth.rotation_strategy"],
            tiers=tuple(plan for plan in values["auth.tier_priority"].split(", ") if plan),
            pace_s=values["auth.request_interval_ms"] / 1000,
        ),
        max_concurrent_per_account=values["auth.max_concurrent_per_account"],
        skip_exhausted=values["quota.skip_exhausted"],
        default_model=values["model.default"],
        aliases=values["model.aliases"],
        first_event_timeout_s=timeout_s,
        idle_timeout_s=timeout_s,
        codec_options={
            "ollama.version": values["ollama.version"],
            **{key: "true" if values[key] else "" for key in _CODEC_SWITCHES},
        },
        ollama=OllamaBridgeSettings(
            enabled=values["ollama.enabled"],
            host=values["ollama.host"],
            port=values["ollama.port"],
            key=Secret(values["ollama.key"]),
        ),
        sockets=SocketSettings(
            enabled=values["ws_pool.enabled"],
            max_age_s=values["ws_pool.max_age_ms"] / 1000,
            max_per_account=values["ws_pool.max_per_account"],
        ),
    )


def setting_value(key: str) -> Any:
    """Return what one setting amounts to now, for what is not on the hot path."""
    return setting_values(key)[0]


def setting_values(*keys: str) -> tuple[Any, ...]:
    """Return what several settings amount to now, in one query."""
    found = _effective()
    return tuple(found[key][0] for key in keys)


def shown_settings() -> list[ShownSetting]:
    """Return every setting, in order, as people may see it."""
    found: list[ShownSetting] = []
    for key, (value, source) in _effective().items():
        definition = DEFINITIONS[key]
        shown = (STARS if value else "") if definition.is_secret else value
        found.append(ShownSetting(key, shown, definition.default, source))
    return found


def _effective() -> dict[str, tuple[Any, str]]:
    """Return value and source by key. A value that is no longer legal is told and passed over."""
    rows = {row.key: row for row in Setting.objects.all()}
    found: dict[str, tuple[Any, str]] = {}
    for key, definition in DEFINITIONS.items():
        found[key] = (definition.default, "default")
        row = rows.get(key)
        texts = [(_environment(definition), "environment"), (_stored(row) if row else "", "setting")]
        for text, source in texts:
            if not text:
                continue
            try:
                found[key] = (definition.read(text), source)
                break
            except BadSetting as problem:
                shown = "its value" if definition.is_secret else str(problem)
                logger.warning("The setting %s from the %s is ignored: %s", key, source, shown)
    return found


def _environment(definition: Definition) -> str:
    return str(env.str(definition.variable, default="")) if definition.variable else ""


def _stored(row: Setting) -> str:
    if row.secret is not None:
        return row.secret.reveal() if row.secret else ""  # one that no key decrypts is empty, and stays stored
    if isinstance(row.value, dict):
        return msgspec.json.encode(row.value).decode()
    return "" if row.value is None else str(row.value)


# ---- writing --------------------------------------------------------------------------------------------------------


def setting_set(key: str, text: str, *, actor: str) -> None:
    """Store a setting; "null" and "default" take it back to its default.

    Raises: BadSetting.
    """
    definition = DEFINITIONS.get(key)
    if definition is None:
        raise BadSetting(f"There is no setting {key[:80]!r}; 'codexproxy settings get' shows all.")
    is_reset = text.strip().lower() in ("null", "default")
    try:
        value = definition.default if is_reset else definition.read(text)
    except BadSetting as problem:
        raise BadSetting(f"{key} {problem}") from None
    with transaction.atomic():
        if is_reset:
            Setting.objects.filter(key=key).delete()
        elif definition.is_secret:
            Setting.objects.update_or_create(key=key, defaults={"value": None, "secret": Secret(value)})
        else:
            Setting.objects.update_or_create(key=key, defaults={"value": value, "secret": None})
        audit.record(actor=actor, action="setting.set", target=key, value=STARS if definition.is_secret else value)
        changes.bump_snapshot()
