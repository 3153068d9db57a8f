"""What the model will say: markers in the user's text become a plan of outputs (wire.md §13.2.7).

Only user messages after the last assistant message or tool result are read, so that a marker obeyed once is not
obeyed again when its result comes back. Pure. Next: `events.py` turns the plan into events.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from providers.simulator import tools as toolbox
from providers.simulator.faults import Fault
from providers.simulator.schema import demo_value
from providers.simulator.tools import Call

DEFAULT_REPLY = "Hello from the simulated upstream. All is well."
STAMP = "@0000000000000000"


@dataclass
class Reasoning:
    """A reasoning item; `text` is shown only when the request asks for summaries."""

    parts: list[str]


@dataclass
class Text:
    """A message. `delay_s` is the pause before each delta, `batch` how many deltas leave in one write."""

    chunks: list[str]
    delay_s: float = 0.0
    batch: int = 1
    is_stamped: bool = False
    is_commentary: bool = False
    citation: str | None = None


@dataclass
class RefusalText:
    """A message that declines."""

    text: str


@dataclass
class Image:
    """A generated image; `size` is WxH, or a weight such as 15MB."""

    size: str
    prompt: str = ""


@dataclass
class Search:
    """A hosted web search."""

    query: str


@dataclass
class Compaction:
    """The compacted history."""


Output = Reasoning | Text | RefusalText | Call | Image | Search | Compaction


@dataclass
class Plan:
    """Everything one call will answer."""

    outputs: list[Output] = field(default_factory=list)
    incomplete_reason: str | None = None
    wait_s: float = 0.0
    fault: Fault | None = None
    fault_key: str = ""
    fault_times: int | None = None
    usage: tuple[int, int] | None = None
    served_model: str | None = None

    @property
    def has_reasoning(self) -> bool:
        """Whether a reasoning item is among the outputs."""
        return any(isinstance(output, Reasoning) for output in self.outputs)


@dataclass
class Marker:
    """One `[[NAME:argument]]`."""

    name: str
    argument: str


NAMES = (
    "SH",
    "WRITE",
    "EDIT",
    "SAY",
    "REASON",
    "STREAM",
    "PARALLEL",
    "FAULT",
    "TOOL",
    "REFUSE",
    "INCOMPLETE",
    "IMAGE",
    "SEARCH",
    "WAIT",
    "USAGE",
    "MODEL",
    "COMMENT",
    "ECHO",
)
_OPEN = re.compile(rf"\[\[({'|'.join(NAMES)})\b[:\s]?")


def find_markers(text: str) -> list[Marker]:
    """Return the markers of a text in order; a JSON argument may itself contain `]]`."""
    found: list[Marker] = []
    position = 0
    while match := _OPEN.search(text, position):
        name, start = match.group(1), match.end()
        end = text.find("]]", start)
        if name == "TOOL" and (brace := text.find("{", start)) != -1 and (end == -1 or brace < end):
            end = text.find("]]", _json_end(text, brace))
        if end == -1:
            break
        # `[[SH:x[1]]]` belongs to the command up to its last bracket.
        while text[end + 2 : end + 3] == "]":
            end += 1
        found.append(Marker(name, text[start:end].strip()))
        position = end + 2
    return found


def _json_end(text: str, start: int) -> int:
    depth, is_string, is_escaped = 0, False, False
    for index in range(start, len(text)):
        char = text[index]
        if is_string:
            if is_escaped:
                is_escaped = False
            elif char == "\\":
                is_escaped = True
            elif char == '"':
                is_string = False
        elif char == '"':
            is_string = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return index + 1
    return start


def message_text(item: dict[str, Any]) -> str:
    """Return the text of a message item."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def last_user_text(items: list[Any]) -> str:
    """Return what the user said after the last assistant message or tool result."""
    texts: list[str] = []
    for item in reversed(items):
        if not isinstance(item, dict):
            continue
        kind = item.get("type", "message")
        if kind in ("message", "additional_tools"):
            if item.get("role") == "assistant":
                break
            if item.get("role") == "user":
                texts.append(message_text(item))
        elif kind not in ("compaction", "compaction_summary", "compaction_trigger"):
            break
    return "\n".join(reversed(texts))


def split_reply(text: str) -> list[str]:
    """Cut a text into deltas the way a tokenizer would: a word with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text) or [text]


_AMOUNT = re.compile(r"(\d+)\s*x\s*(\d+(?:\.\d+)?)\s*ms")


def _stream(argument: str) -> Text:
    match = _AMOUNT.search(argument)
    if match is None:
        raise ValueError(f"{argument!r} is not like 200x5ms")
    count, delay_ms = int(match.group(1)), float(match.group(2))
    options = argument.split()[1:]
    batch = next((int(option[1:]) for option in options if re.fullmatch(r"b\d+", option)), 1)
    is_stamped = "ts" in options
    suffix = STAMP if is_stamped else ""
    return Text([f" tok{index:05d}{suffix}" for index in range(count)], delay_ms / 1000, batch, is_stamped)


def _fault(plan: Plan, argument: str) -> None:
    words = argument.split()
    options: dict[str, Any] = {}
    for word in words[1:]:
        key, _, value = word.partition("=")
        options[key] = _number(value)
    times = options.pop("times", None)
    plan.fault_times = times if isinstance(times, int) else None
    plan.fault = Fault(
        words[0],
        str(options["variant"]) if "variant" in options else None,
        **{key: value for key, value in options.items() if key != "variant"},
    )


def _number(text: str) -> Any:
    for cast in (int, float):
        try:
            return cast(text)
        except ValueError:
            continue
    return text


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s)?", text.strip())
    if match is None:
        return 0.0
    return float(match.group(1)) / (1 if match.group(2) == "s" else 1000)


class Director:
    """Writes the plan of one call."""

    def __init__(self, body: dict[str, Any], reply: str, pace_s: float = 0.0) -> None:
        self.body = body
        self.reply = reply
        self.pace_s = pace_s
        self.tools = toolbox.declared_tools(body)
        self.plan = Plan()
        self.repeat = 1
        choice = body.get("tool_choice")
        self.may_call = choice != "none"
        self.forced = choice if isinstance(choice, dict) else None
        self.must_call = choice == "required"

    def direct(self) -> Plan:
        """Return the plan."""
        items = self.body.get("input") or []
        if items and isinstance(items[-1], dict) and items[-1].get("type") == "compaction_trigger":
            self.plan.outputs.append(Compaction())
            return self.plan
        text = last_user_text(items)
        markers = find_markers(text)
        self.plan.fault_key = hashlib.sha256(text.encode()).hexdigest() if markers else ""
        for marker in markers:
            if marker.name == "PARALLEL" and marker.argument.isdigit():
                self.repeat = max(1, int(marker.argument))
        for marker in markers:
            try:
                self._obey(marker)
            except (ValueError, IndexError) as problem:
                self.plan.outputs.append(Text([f"(marker {marker.name} not understood: {problem})"]))
        is_after_tool = (
            bool(items) and isinstance(items[-1], dict) and str(items[-1].get("type", "")).endswith("_output")
        )
        has_call = any(isinstance(output, Call) for output in self.plan.outputs)
        if not has_call and not is_after_tool and self.may_call:
            self._forced_call()
        if not any(not isinstance(output, Reasoning) for output in self.plan.outputs):
            self.plan.outputs.append(Text(split_reply(self._plain_answer()), self.pace_s))
        self._reason(markers)
        return self.plan

    def _plain_answer(self) -> str:
        form = (self.body.get("text") or {}).get("format") or {}
        if form.get("type") == "json_schema":
            return orjson.dumps(demo_value(form.get("schema") or {})).decode()
        if form.get("type") == "json_object":
            return orjson.dumps({"reply": self.reply}).decode()
        return self.reply

    def _reason(self, markers: list[Marker]) -> None:
        said = [marker.argument or "Thinking it over." for marker in markers if marker.name == "REASON"]
        reasoning = self.body.get("reasoning")
        if not isinstance(reasoning, dict) or reasoning.get("effort") == "none":
            return
        wants_proof = "reasoning.encrypted_content" in (self.body.get("include") or [])
        if said or wants_proof or (self.plan.fault and self.plan.fault.after == "reasoning"):
            self.plan.outputs.insert(0, Reasoning(said or ["**Thinking** The answer is simple."]))

    def _obey(self, marker: Marker) -> None:
        if marker.name in ("SH", "WRITE", "TOOL", "PARALLEL"):
            self._obey_call(marker)
        elif marker.name in ("INCOMPLETE", "WAIT", "USAGE", "MODEL", "FAULT"):
            self._obey_setting(marker)
        else:
            self._obey_output(marker)

    def _obey_call(self, marker: Marker) -> None:
        match marker.name:
            case "SH":
                self._shell(marker.argument)
            case "WRITE":
                path, _, content = marker.argument.partition("|")
                self._write(path.strip(), content or "hi\n")
            case "TOOL":
                self._call_named(marker.argument)
            case _:
                self._parallel()

    def _obey_setting(self, marker: Marker) -> None:
        argument = marker.argument
        match marker.name:
            case "INCOMPLETE":
                self.plan.incomplete_reason = argument or "max_output_tokens"
            case "WAIT":
                self.plan.wait_s = _seconds(argument)
            case "USAGE":
                given = [int(number) for number in re.findall(r"\d+", argument)]
                self.plan.usage = (given[0], given[1] if len(given) > 1 else 10)
            case "MODEL":
                self.plan.served_model = argument
            case _:
                _fault(self.plan, argument)

    def _obey_output(self, marker: Marker) -> None:
        argument = marker.argument
        outputs = self.plan.outputs
        match marker.name:
            case "SAY" | "COMMENT":
                outputs.append(Text(split_reply(argument), self.pace_s, is_commentary=marker.name == "COMMENT"))
            case "ECHO":
                outputs.append(Text(split_reply(orjson.dumps(self.body).decode()), self.pace_s))
            case "EDIT":
                block = f"{argument}\n```\n<<<<<<< SEARCH\n=======\nhi\n>>>>>>> REPLACE\n```\n"
                outputs.append(Text([block], self.pace_s))
            case "STREAM":
                outputs.append(_stream(argument))
            case "REFUSE":
                outputs.append(RefusalText(argument or "I can't help with that."))
            case "IMAGE":
                size, _, prompt = argument.partition(" ")
                outputs.append(Image(size or "1024x1024", prompt))
            case "SEARCH":
                outputs += [Search(argument), Text(split_reply(self.reply), citation="https://example.com/")]

    def _shell(self, command: str) -> None:
        shell = toolbox.find_shell(self.tools) if self.may_call else None
        if shell is not None:
            self.plan.outputs += [toolbox.call_shell(shell, command) for _ in range(self.repeat)]

    def _write(self, path: str, content: str) -> None:
        if not self.may_call:
            return
        if (writer := toolbox.find_writer(self.tools)) is not None:
            self.plan.outputs.append(toolbox.call_writer(writer, path, content))
        elif (shell := toolbox.find_shell(self.tools)) is not None:
            self.plan.outputs.append(toolbox.write_with_shell(shell, path, content))

    def _call_named(self, argument: str) -> None:
        name, _, rest = argument.partition(" ")
        tool = toolbox.find_tool(self.tools, name) if self.may_call else None
        if tool is None:
            return
        try:
            given = orjson.loads(rest) if rest.strip() else {}
        except ValueError:
            given = {"input": rest.strip()}
        call = tool.call(given if isinstance(given, dict) else {})
        self.plan.outputs += [call for _ in range(self.repeat)]

    def _parallel(self) -> None:
        if any(isinstance(output, Call) for output in self.plan.outputs) or not self.may_call:
            return
        text = last_user_text(self.body.get("input") or [])
        if any(marker.name in ("SH", "TOOL") for marker in find_markers(text)):
            return
        shell = toolbox.find_shell(self.tools)
        functions = [tool for tool in self.tools if tool.kind == "function"]
        if shell is not None:
            self.plan.outputs += [toolbox.call_shell(shell, f"echo parallel-{n + 1}") for n in range(self.repeat)]
        elif functions:
            self.plan.outputs += [functions[n % len(functions)].call({}) for n in range(self.repeat)]

    def _forced_call(self) -> None:
        callable_tools = [tool for tool in self.tools if tool.kind in ("function", "custom")]
        if self.forced is not None and self.forced.get("name"):
            tool = toolbox.find_tool(callable_tools, str(self.forced["name"]))
        else:
            tool = callable_tools[0] if self.must_call and callable_tools else None
        if tool is not None:
            self.plan.outputs.append(tool.call({"input": "demo"} if tool.kind == "custom" else {}))
