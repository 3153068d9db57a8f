"""`multipart/form-data`, as far as uploads of pictures need it: bytes in, fields out. Pure; knows no image route.

Parts are cut at the boundary and copied once. Reference: RFC 7578.
"""

from __future__ import annotations

from email.message import EmailMessage

from msgspec import Struct

from translation.errors import InvalidRequest

MAX_PARTS = 100


class FormPart(Struct, frozen=True):
    """One field: `filename` tells an upload from a text."""

    name: str
    data: bytes
    filename: str | None = None
    media_type: str = ""


def is_multipart(content_type: str) -> bool:
    """Tell whether a body is a form with uploads."""
    return content_type.strip().lower().startswith("multipart/form-data")


def read_multipart(body: bytes, content_type: str) -> list[FormPart]:
    """Return the fields of a form, in order. Raises: InvalidRequest."""
    boundary = _header(f"content-type: {content_type}").get_boundary()
    if not boundary:
        raise _broken("its content type names no boundary")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"), MAX_PARTS + 2)
    if len(pieces) > MAX_PARTS + 1:
        raise _broken(f"it has more than {MAX_PARTS} fields")
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise _broken("its end is missing")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> FormPart:
    head, blank, data = piece.lstrip(b" \t").partition(b"\r\n\r\n")
    if not blank:
        raise _broken("a field has no head")
    message = _header(head.decode("utf-8", "replace").strip())
    name = message.get_param("name", header="content-disposition")
    if not isinstance(name, str) or not name:
        raise _broken("a field has no name")
    kind = message.get("content-type")
    return FormPart(name, data, message.get_filename(), str(kind).partition(";")[0].strip() if kind else "")


def _header(text: str) -> EmailMessage:
    message = EmailMessage()
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() in ("content-type", "content-disposition") and name.strip() not in message:
            try:
                message[name.strip()] = value.strip()
            except ValueError:
                raise _broken("a field's head cannot be read") from None
    return message


def _broken(what: str) -> InvalidRequest:
    return InvalidRequest(f"The form cannot be read: {what}.", code="invalid_form")
