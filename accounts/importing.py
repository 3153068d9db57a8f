"""Reads logins from whatever text an operator has: auth.json, exports of other gateways, lists of tokens. Pure.

Tolerant by design: one bad entry becomes a problem with its place, never an exception. The shapes are listed in
spec/operations.md §1.4 and spec/wire.md §7.7. Next: `services.account_import` stores what this finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

from providers.contract import Secret

MAX_LABEL_CHARS = 64
MAX_CHARS = 4_000_000
"""Of one text; an access token has some 2,000."""
MAX_ENTRIES = 2_000
MAX_PROBLEMS = 200
REFRESH_PREFIXES = ("rt_", "oaistb_rt_")
_NESTS = ("tokens", "credentials")
_ACCESS_NAMES = ("access_token", "accessToken")
_REFRESH_NAMES = ("refreshToken", "refresh_token")
_ID_NAMES = ("id_token", "idToken")
_LABEL_NAMES = ("label", "name", "account_name", "accountName", "account_note", "accountNote", "note")


class ImportEntry(Struct, frozen=True, kw_only=True):
    """One login. At least one of the two tokens is there. `place` says where it stood, for messages."""

    access_token: Secret | None = None
    refresh_token: Secret | None = None
    id_token: Secret | None = None
    label: str = ""
    place: str = ""


class ImportProblem(Struct, frozen=True, kw_only=True):
    """Something that is no login; the message never quotes it, because it may be half a token."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ImportDocument(Struct, frozen=True, kw_only=True):
    """Everything found in one text, in its order."""

    entries: tuple[ImportEntry, ...] = ()
    problems: tuple[ImportProblem, ...] = ()


Found = ImportEntry | ImportProblem


def parse_import(text: str) -> ImportDocument:
    """Return the logins in `text` and what could not be understood."""
    text = text.lstrip("\ufeff").strip()
    if len(text) > MAX_CHARS:
        words = f"It is longer than {MAX_CHARS // 1_000_000} million characters; import it in parts."
        return ImportDocument(problems=(ImportProblem(place="text", message=words),))
    return _document(_parse_text(text))


def parse_import_object(value: Any) -> ImportDocument:
    """The same for JSON that is parsed already."""
    return _document(_from_json(value, ""))


def _document(found: Iterator[Found]) -> ImportDocument:
    entries: list[ImportEntry] = []
    problems: list[ImportProblem] = []
    for item in found:
        if isinstance(item, ImportEntry):
            entries.append(item)
        else:
            problems.append(item)
        if len(entries) > MAX_ENTRIES or len(problems) > MAX_PROBLEMS:
            words = "There is more in it than is read at once; import it in parts."
            problems[MAX_PROBLEMS:] = [ImportProblem(place="the rest", message=words)]
            break
    return ImportDocument(entries=tuple(entries[:MAX_ENTRIES]), problems=tuple(problems))


def is_refresh_token(token: str) -> bool:
    """Tell a refresh token from an access token by its prefix."""
    return token.startswith(REFRESH_PREFIXES)


# ---- text ----------------------------------------------------------------------------------------------------------


def _parse_text(text: str) -> Iterator[Found]:
    if not text:
        yield ImportProblem(place="text", message="There is nothing in it.")
        return
    if text[0] in "{[":
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            pass  # JSON lines start the same way; each line is tried on its own below
        else:
            yield from _from_json(value, "")
            return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield from _parse_line(line.strip().rstrip(","), f"line {number}")


def _parse_line(line: str, place: str) -> Iterator[Found]:
    if line[:1] in ("{", "["):
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            yield ImportProblem(place=place, message="This is not valid JSON.")
            return
        yield from _from_json(value, place)
        return
    yield _from_token(line.strip("\"'"), place)


def _from_token(text: str, place: str) -> Found:
    token = _strip_bearer(text)
    if not token or any(character.isspace() for character in token):
        return ImportProblem(place=place, message="This is neither a token nor JSON.")
    if is_refresh_token(token):
        return ImportEntry(refresh_token=Secret(token), place=place)
    if token.count(".") != 2:
        return ImportProblem(place=place, message="This is neither an access token (a JWT) nor a refresh token (rt_…).")
    return ImportEntry(access_token=Secret(token), place=place)


def _strip_bearer(text: str) -> str:
    scheme, _, rest = text.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else text.strip()


# ---- JSON ----------------------------------------------------------------------------------------------------------


def _from_json(value: Any, place: str) -> Iterator[Found]:
    if isinstance(value, str):
        yield from _parse_line(value.strip(), place or "text") if value.strip() else ()
    elif isinstance(value, list):
        for number, item in enumerate(cast(list[Any], value), start=1):
            yield from _from_item(item, _join(place, f"entry {number}"))
    elif isinstance(value, dict):
        yield from _from_container(cast(dict[str, Any], value), place)
    else:
        yield ImportProblem(place=place or "text", message="A login is an object with tokens, or a token.")


def _from_item(item: Any, place: str) -> Iterator[Found]:
    if isinstance(item, str):
        yield _from_token(item, place)
    elif isinstance(item, dict):
        yield _from_object(cast(dict[str, Any], item), place)
    else:
        yield ImportProblem(place=place, message="A login is an object with tokens, or a token.")


def _from_container(value: dict[str, Any], place: str) -> Iterator[Found]:
    listed = value.get("accounts")
    if not isinstance(listed, list):
        yield _from_object(value, place or "text")
        return
    accounts = cast(list[Any], listed)
    is_sub2api = (
        value.get("type") == "sub2api-data"
        or "proxies" in value
        or any(isinstance(item, dict) and "credentials" in item for item in accounts)
    )
    for number, item in enumerate(accounts, start=1):
        where = _join(place, f"account {number}")
        if is_sub2api and isinstance(item, dict) and not _is_openai_login(cast(dict[str, Any], item)):
            yield ImportProblem(place=where, message="It is not an OpenAI login, so it was left out.")
            continue
        yield from _from_item(item, where)


def _is_openai_login(item: dict[str, Any]) -> bool:
    return item.get("platform") == "openai" and item.get("type") == "oauth"


def _from_object(value: dict[str, Any], place: str) -> Found:
    nests = [cast(dict[str, Any], nest) for nest in (value.get(name) for name in _NESTS) if isinstance(nest, dict)]
    access = _first(value, ("token", *_ACCESS_NAMES)) or _first_nested(nests, (*_ACCESS_NAMES, "token"))
    refresh = _first(value, _REFRESH_NAMES) or _first_nested(nests, _REFRESH_NAMES)
    id_token = _first(value, _ID_NAMES) or _first_nested(nests, _ID_NAMES)
    access = _strip_bearer(access)
    if is_refresh_token(access) and not refresh:
        access, refresh = "", access
    if not access and not refresh:
        return ImportProblem(place=place, message=_why_no_tokens(value))
    return ImportEntry(
        access_token=Secret(access) if access else None,
        refresh_token=Secret(refresh) if refresh else None,
        id_token=Secret(id_token) if id_token else None,
        label=_first(value, _LABEL_NAMES)[:MAX_LABEL_CHARS].strip(),
        place=place,
    )


def _why_no_tokens(value: dict[str, Any]) -> str:
    if isinstance(value.get("OPENAI_API_KEY"), str):
        return "It holds an API key instead of a ChatGPT login; add it as a provider key."
    return "There is neither an access token nor a refresh token in it."


def _first(value: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        item = value.get(name)
        if isinstance(item, str) and item.strip():
            return item.strip()
    return ""


def _first_nested(nests: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    return next((found for found in (_first(nest, names) for nest in nests) if found), "")


def _join(place: str, part: str) -> str:
    return f"{place}, {part}" if place else part
