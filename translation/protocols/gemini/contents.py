"""`contents` → items, in order, one pass. Call ids are kept or counted over the request, results find their calls.

What a model said in chunks is one message again: clients keep every streamed chunk as a content of its own. Pairing of
what stays alone is the work of `passes/pairing.py`. Facts: spec/translation.md §3.4, §7.1, rows 154-160, 169.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from translation.ir.events import Proof
from translation.ir.request import Item, Message, Part, Reasoning, Role, TextPart, ToolCall, ToolResult
from translation.protocols.gemini.fields import get, listed, unsupported, word
from translation.protocols.gemini.media import read_file_data, read_inline_data
from translation.protocols.gemini.signatures import read_signature
from translation.shared.fields import Misread
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

_ROLES: dict[str, Role] = {"model": "assistant", "assistant": "assistant", "system": "developer"}
"""Everything else (user, function, tool, what we never heard of) is the user's."""

_ANSWER_KEYS = ("result", "output")


def read_texts(source: Any, path: str) -> tuple[str, ...]:
    """Read a system instruction: a Content, a list of parts or a string. Raises: Misread when it is no text."""
    if is_object(source):
        if get(source, "parts") is not None:
            source, path = get(source, "parts"), f"{path}.parts"
        elif "role" in source:
            return ()
    texts: list[str] = []
    for index, part in enumerate(listed(source)):
        if isinstance(part, str):
            texts.append(part)
        elif not is_object(part):
            raise Misread("must be a part with `text`.", f"{path}[{index}]")
        elif part.get("thought") is not True and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif get(part, "inlineData") is not None or get(part, "fileData") is not None:
            raise unsupported("must be text: a system instruction cannot hold files.", f"{path}[{index}]")
    return tuple(text for text in texts if text)


class Conversation:
    """Collects what contents amount to.

    `_calls` counts over the whole request, so that ids are the same each time; `_open` are the calls of this turn
    without a result; `_proofs` wait for the assistant item they led to.
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.instructions: list[str] = []
        self.ignored: list[str] = []
        self._role: Role | None = None
        self._parts: list[Part] = []
        self._texts: list[str] = []
        self._proofs: list[Proof] = []
        self._open: dict[str, str] = {}
        self._calls = 0

    def read(self, contents: Any) -> None:
        """Add everything.

        Raises: Misread, with a path that starts with `contents`.
        """
        for index, content in enumerate(listed(contents)):
            try:
                self._read_content(content)
            except Misread as problem:
                raise problem.under(f"contents[{index}]" if is_array(contents) else "contents") from None
        self._flush()
        if not self.items:
            self.items.append(Message("user", (TextPart(""),)))

    def _read_content(self, content: Any) -> None:
        if isinstance(content, str):
            content = {"parts": [content]}
        if not is_object(content):
            raise Misread("must be a content with `role` and `parts`.")
        parts = get(content, "parts")
        if parts is None and "role" not in content:
            parts = [content]  # a bare part, as some clients send it
        role = content.get("role")
        role = _ROLES.get(role.lower(), "user") if isinstance(role, str) else "user"
        if role == "developer" and not self.items and not self._parts:
            self.instructions += read_texts(parts, "parts")
            return
        self._begin(role)
        for index, part in enumerate(listed(parts)):
            try:
                self._read_part(part)
            except Misread as problem:
                raise problem.under(f"parts[{index}]") from None

    def _begin(self, role: Role) -> None:
        """Model contents in a row are one turn; anybody else's contents are messages of their own."""
        if role == "assistant" and self._role == role:
            return
        self._flush()
        if role == "assistant":
            self._open.clear()  # what nobody answered is settled by pairing, and never answered later
        else:
            self._proofs.clear()  # they led to nothing
        self._role = role

    # ---- parts -------------------------------------------------------------------------------------------------

    def _read_part(self, part: Any) -> None:
        if isinstance(part, str):
            part = {"text": part}
        if not is_object(part):
            raise Misread("must be an object.")
        if self._role == "assistant":
            self._proofs += read_signature(get(part, "thoughtSignature"))
        if part.get("thought") is True:
            return
        text = part.get("text")
        if text is not None:
            if not isinstance(text, str):
                raise Misread("must be a string.", "text")
            self._add(TextPart(text))
            return
        for name, reader in self._READERS.items():
            value = get(part, name)
            if value is not None:
                reader(self, value, name)
                return
        self.ignored += [key for key in part if key not in _METADATA]

    def _inline_data(self, value: Any, path: str) -> None:
        self._add(read_inline_data(value, path))

    def _file_data(self, value: Any, path: str) -> None:
        self._add(read_file_data(value, path))

    def _code(self, value: Any, path: str) -> None:
        if is_object(value):
            language = (word(value, "language") or "").lower().removesuffix("_unspecified")
            self._add(TextPart(f"```{language}\n{value.get('code') or ''}\n```"))

    def _code_result(self, value: Any, path: str) -> None:
        if is_object(value):
            self._add(TextPart(f"```\n{value.get('output') or ''}\n```"))

    def _add(self, part: Part) -> None:
        """Add a part of a message; adjacent texts of a model are pieces of one."""
        if isinstance(part, TextPart) and not part.text:
            return
        if self._role != "assistant":
            self._parts.append(part)
            return
        if self._proofs:
            self._flush()
            self._prove()
        if isinstance(part, TextPart):
            self._texts.append(part.text)
        else:  # only a user may show pictures and files upstream
            self._flush()
            self.items.append(Message("user", (part,)))

    def _flush(self) -> None:
        if self._texts:
            self._parts.append(TextPart("".join(self._texts)))
            self._texts = []
        if self._parts:
            self.items.append(Message(self._role or "user", tuple(self._parts)))
            self._parts = []

    def _prove(self) -> None:
        self.items += [Reasoning(proof=proof) for proof in self._proofs]
        self._proofs = []

    # ---- tools -------------------------------------------------------------------------------------------------

    def _call(self, value: Any, path: str) -> None:
        if not is_object(value):
            raise Misread("must be an object.", path)
        name = value.get("name")
        if not isinstance(name, str) or not name:
            raise Misread("is missing." if name is None else "must be a string.", f"{path}.name")
        call_id = word(value, "id") or f"call_gemini_{self._calls:016d}"
        self._calls += 1
        self._flush()
        self._prove()
        self._open[call_id] = name
        self.items.append(ToolCall(call_id=call_id, name=name, arguments=_arguments(value.get("args"))))

    def _result(self, value: Any, path: str) -> None:
        if not is_object(value):
            raise Misread("must be an object.", path)
        name = word(value, "name")
        parts, is_error = _read_answer(value.get("response"))
        for index, part in enumerate(listed(value.get("parts"))):
            media = _read_media(part, f"{path}.parts[{index}]")
            parts += (media,) if media is not None else ()
        self._flush()
        call_id = self._answered(word(value, "id"), name)
        self.items.append(ToolResult(call_id=call_id, parts=parts, is_error=is_error, name=name))

    def _answered(self, given: str | None, name: str | None) -> str:
        """Return the call a result answers: by id, else the oldest open one of that name, else the oldest open one.

        An id we never gave is one that the client made up (spec/clients.md §3), so the name decides.
        """
        call_id = given if given in self._open else None
        if call_id is None:
            call_id = next((known for known, called in self._open.items() if called == name), None)
        if call_id is None:
            call_id = given or next(iter(self._open), "")
        self._open.pop(call_id, None)
        return call_id

    _READERS: ClassVar[dict[str, Callable[[Conversation, Any, str], None]]] = {
        "functionCall": _call,
        "functionResponse": _result,
        "inlineData": _inline_data,
        "fileData": _file_data,
        "executableCode": _code,
        "codeExecutionResult": _code_result,
    }


def _arguments(args: Any) -> str:
    if isinstance(args, str):
        return args or "{}"
    return "{}" if args is None else jsonio.dumps(args).decode()


def _read_answer(response: Any) -> tuple[tuple[Part, ...], bool]:
    """Return what a tool said: the bare string where the object is only its wrapping, else the object as JSON."""
    if not is_object(response):
        text = response if isinstance(response, str) else "" if response is None else _json(response)
        return (TextPart(text),), False
    said = {key: value for key, value in response.items() if value is not None}
    is_error = bool(said.get("error"))
    if len(said) == 1:
        ((key, value),) = said.items()
        if key in _ANSWER_KEYS and isinstance(value, str):
            return (TextPart(value),), False
        if key == "error":
            return (TextPart(f"Error: {value if isinstance(value, str) else _json(value)}"),), is_error
    return (TextPart(_json(response)),), is_error


def _json(value: Any) -> str:
    return jsonio.dumps(value).decode()


def _read_media(part: Any, path: str) -> Part | None:
    if not is_object(part):
        return None
    if get(part, "inlineData") is not None:
        return read_inline_data(get(part, "inlineData"), f"{path}.inlineData")
    if get(part, "fileData") is not None:
        return read_file_data(get(part, "fileData"), f"{path}.fileData")
    text = part.get("text")
    return TextPart(text) if isinstance(text, str) and text else None


_METADATA = frozenset(
    {"thought", "thoughtSignature", "thought_signature", "videoMetadata", "video_metadata", "partMetadata"}
)
