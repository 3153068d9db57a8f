"""Cookies per account: which are kept, where they go back to, and for how long. Pure over values; never logs one.

The edge's pass for a solved challenge (`cf_clearance`) is the only cookie that is kept by itself: replaying the others
after the exit or the client changed had accounts answered with empty 404s. It belongs to the host and the exit it came
through. What an operator set by hand has no list of names. Facts: spec/operations.md §5.5, spec/wire.md §5.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from email.utils import parsedate_to_datetime

from msgspec import Struct

from providers.contract import Secret

KEPT_NAMES = frozenset({"cf_clearance"})
MAX_COOKIES = 20
MAX_VALUE_CHARS = 4096
_BAD = frozenset('\x00\r\n;,"\\ ')


class Cookie(Struct, frozen=True, kw_only=True):
    """One cookie of an account. `host` and `egress` say where it came from and may go; `expires_at` None: no end.

    `egress` is the digest of the proxy's address, empty for none; a cookie that an operator set goes through any.
    """

    name: str
    value: Secret
    host: str
    egress: str = ""
    expires_at: float | None = None
    is_manual: bool = False


def captured(set_cookie: Iterable[str], *, host: str, egress: str, now: float) -> list[Cookie]:
    """Return the cookies worth keeping from `Set-Cookie` lines; one whose value is empty is one to forget."""
    found = [_parsed(line, host, egress, now) for line in list(set_cookie)[:MAX_COOKIES]]
    return [cookie for cookie in found if cookie is not None]


def header_for(cookies: Sequence[Cookie], *, host: str, egress: str, now: float) -> str:
    """Return the `Cookie` header for a call to `host` through `egress`; empty when there is none."""
    fitting = {
        cookie.name: cookie
        for cookie in cookies
        if cookie.host == host
        and (cookie.is_manual or cookie.egress == egress)
        and (cookie.expires_at is None or cookie.expires_at > now)
        and cookie.value
    }
    return "; ".join(f"{name}={cookie.value.reveal()}" for name, cookie in sorted(fitting.items())[:MAX_COOKIES])


def typed(text: str, *, host: str) -> list[Cookie]:
    """Return the cookies an operator typed: "a=1; b=2". Raises: ValueError with a sentence that names no value."""
    found: list[Cookie] = []
    for pair in text.replace("\n", ";").split(";"):
        name, has_value, value = (part.strip() for part in pair.partition("="))
        if not name and not has_value:
            continue
        if not name or not has_value or not is_plain(name, value):
            raise ValueError("Cookies are written name=value, separated by semicolons, without spaces or quotes.")
        found.append(Cookie(name=name, value=Secret(value), host=host, is_manual=True))
    if len(found) > MAX_COOKIES:
        raise ValueError(f"An account keeps at most {MAX_COOKIES} cookies.")
    return found


def is_plain(name: str, value: str) -> bool:
    """Tell whether both fit into a header as they are."""
    text = name + value
    return len(value) <= MAX_VALUE_CHARS and len(name) <= 64 and text.isascii() and not _BAD & set(text)


def _parsed(line: str, host: str, egress: str, now: float) -> Cookie | None:
    pair, *attributes = line.split(";")
    name, _, value = (part.strip() for part in pair.partition("="))
    if name not in KEPT_NAMES or not is_plain(name, value):
        return None
    named = {key.strip().lower(): text.strip() for key, _, text in (each.partition("=") for each in attributes)}
    if not _is_for(named.get("domain", ""), host):
        return None
    expires_at = _end(named, now)
    is_over = expires_at is not None and expires_at <= now
    return Cookie(name=name, value=Secret("" if is_over else value), host=host, egress=egress, expires_at=expires_at)


def _is_for(domain: str, host: str) -> bool:
    """A cookie may name the host it came from or a domain above it, and is kept for that host alone."""
    bare = domain.lstrip(".").lower()
    return not bare or host == bare or (host.endswith(f".{bare}") and "." in bare)


def _end(named: dict[str, str], now: float) -> float | None:
    """Max-Age wins over Expires; one that cannot be read says nothing."""
    age = named.get("max-age", "")
    if age.lstrip("-").isdecimal() and len(age) <= 12:
        return now + int(age)
    try:
        return parsedate_to_datetime(named["expires"]).timestamp()
    except (KeyError, ValueError, TypeError, IndexError):
        return None
