"""What the backend checks of a whole request body: parameters, tools, formats, model (wire.md §3, §13.2.4).

Raises `Refused`. The order follows the backend: parameters by name first, then values, then the input. Pure.
Next: `input_items.py`.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from providers.simulator import models
from providers.simulator.accounts import SimAccount
from providers.simulator.failures import Refused, detail, error
from providers.simulator.input_items import MAX_ID, check_items
from providers.simulator.schema import strict_violation
from providers.simulator.sealed import is_owned_by

Surface = Literal["http", "websocket", "compact"]

_COMMON = frozenset(
    {
        "model",
        "instructions",
        "input",
        "tools",
        "parallel_tool_calls",
        "reasoning",
        "service_tier",
        "prompt_cache_key",
        "text",
        "tool_choice",
        "include",
        "client_metadata",
        "context_management",
    }
)
ALLOWED: dict[Surface, frozenset[str]] = {
    "http": _COMMON | {"store", "stream", "stream_options"},
    "websocket": _COMMON
    | {"store", "stream", "stream_options", "type", "previous_response_id", "generate", "background"},
    "compact": _COMMON | {"store"},
}
_INCLUDES = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
    }
)
_EFFORTS = (None, "none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = (None, "auto", "concise", "detailed")
_TIERS = (None, "auto", "default", "priority", "flex")
_VERBOSITIES = (None, "low", "medium", "high")
_TOOLS = frozenset({"function", "custom", "web_search", "image_generation", "local_shell", "tool_search", "namespace"})
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_request(
    body: Any, account: SimAccount, *, surface: Surface = "http", version: str | None = None
) -> models.Model:
    """Refuse a body the backend would refuse; return the model it asks for."""
    if not isinstance(body, dict):
        raise Refused(detail("Request body must be a JSON object"))
    for name in body:
        if name not in ALLOWED[surface]:
            raise Refused(detail(f"Unsupported parameter: {name}"))
    model = _check_model(body, account, version)
    if surface != "compact":
        _check_flags(body, surface)
    _check_options(body)
    _check_tools(body.get("tools"), "tools")
    _check_tool_choice(body)
    _check_format(body)
    items = body.get("input")
    if not isinstance(items, list):
        raise Refused(detail("Input must be a list"))
    if not items and surface != "websocket":
        raise Refused(error("missing_required_parameter", 'One of "input" must be provided.', param="input"))
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("type") == "additional_tools":
            _check_tools(item.get("tools"), f"input[{index}].tools")
    return model


def check_history(items: list[Any], account: SimAccount) -> None:
    """Check the items of the whole conversation; on a WebSocket that is more than the body holds."""
    check_items(items, lambda blob: is_owned_by(blob, account.chatgpt_account_id))


def _check_model(body: dict[str, Any], account: SimAccount, version: str | None) -> models.Model:
    slug = body.get("model")
    if not isinstance(slug, str) or not slug:
        raise Refused(error("missing_required_parameter", "Missing required parameter: 'model'.", param="model"))
    model = models.MODELS.get(slug)
    if model is None or not models.is_entitled(model, account.plan, account.models):
        raise Refused(detail(f"The '{slug}' model is not supported when using Codex with a ChatGPT account."))
    if models.is_too_old(model, version):
        raise Refused(
            detail(
                f"The '{slug}' model requires a newer version of Codex. Please upgrade to the latest app or "
                "CLI and try again."
            )
        )
    return model


def _check_flags(body: dict[str, Any], surface: Surface) -> None:
    if body.get("store") is not False:
        raise Refused(detail("Store must be set to false"))
    if body.get("stream") is not True and not (surface == "websocket" and "stream" not in body):
        raise Refused(detail("Stream must be set to true"))
    options = body.get("stream_options")
    if options is not None and (not isinstance(options, dict) or set(options) - {"reasoning_summary_delivery"}):
        raise Refused(detail("Unsupported parameter: stream_options"))
    generate = body.get("generate")
    if generate is not None and not isinstance(generate, bool):
        raise Refused(error("invalid_type", "Invalid type for 'generate': expected a boolean.", param="generate"))


def _one_of(value: Any, allowed: tuple[Any, ...], param: str) -> None:
    if value not in allowed:
        names = ", ".join(f"'{name}'" for name in allowed if name is not None)
        raise Refused(error("invalid_value", f"Invalid value: '{value}'. Supported values are: {names}.", param=param))


def _check_options(body: dict[str, Any]) -> None:
    if not isinstance(body.get("instructions", ""), str | None):
        raise Refused(detail("Instructions are not valid"))
    _check_reasoning(body.get("reasoning"))
    for name in body.get("include") or []:
        if name not in _INCLUDES:
            raise Refused(error("invalid_value", f"Invalid value: '{name}'.", param="include"))
    tier = body.get("service_tier")
    if tier not in _TIERS:
        raise Refused(detail(f"Unsupported service_tier: {tier}"))
    metadata = body.get("client_metadata")
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        raise Refused(
            error(
                "invalid_type", "Invalid type for 'client_metadata': values must be strings.", param="client_metadata"
            )
        )
    key = body.get("prompt_cache_key")
    if key is not None and (not isinstance(key, str) or len(key) > MAX_ID):
        raise Refused(
            error(
                "string_above_max_length",
                f"Invalid 'prompt_cache_key': string too long. Expected a string with maximum length {MAX_ID}.",
                param="prompt_cache_key",
            )
        )


def _check_reasoning(reasoning: Any) -> None:
    if reasoning is None:
        return
    if not isinstance(reasoning, dict):
        raise Refused(error("invalid_type", "Invalid type for 'reasoning': expected an object.", param="reasoning"))
    for name in reasoning:
        if name not in ("effort", "summary", "context"):
            raise Refused(
                error("unknown_parameter", f"Unknown parameter: 'reasoning.{name}'.", param=f"reasoning.{name}")
            )
    _one_of(reasoning.get("effort"), _EFFORTS, "reasoning.effort")
    _one_of(reasoning.get("summary"), _SUMMARIES, "reasoning.summary")


def _check_tools(entries: Any, where: str) -> None:
    if entries is None:
        return
    if not isinstance(entries, list):
        raise Refused(error("invalid_type", f"Invalid type for '{where}': expected an array.", param=where))
    for index, tool in enumerate(entries):
        spot = f"{where}[{index}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in _TOOLS:
            raise Refused(detail(f"Unsupported tool type: {kind}"))
        if kind in ("function", "custom", "namespace"):
            _check_tool_name(tool.get("name"), f"{spot}.name")
        if kind == "namespace":
            _check_tools(tool.get("tools"), f"{spot}.tools")
        if kind == "function":
            _check_parameters(tool, spot)


def _check_tool_name(name: Any, param: str) -> None:
    if name is None:
        raise Refused(error("missing_required_parameter", f"Missing required parameter: '{param}'.", param=param))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        text = (
            f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'."
        )
        if isinstance(name, str) and len(name) > MAX_ID:
            text = (
                f"Invalid '{param}': string too long. Expected a string with maximum length {MAX_ID}, but got a "
                f"string with length {len(name)} instead."
            )
        raise Refused(error("invalid_value", text, param=param))


def _check_parameters(tool: dict[str, Any], where: str) -> None:
    schema = tool.get("parameters")
    if schema is None:
        return
    param = f"{where}.parameters"
    problem = None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        kind = schema.get("type") if isinstance(schema, dict) else None
        problem = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    elif "properties" not in schema:
        problem = "In context=(), object schema missing properties."
    elif tool.get("strict") is True:
        problem = strict_violation(schema)
    if problem:
        raise Refused(
            error(
                "invalid_function_parameters",
                f"Invalid schema for function '{tool.get('name')}': {problem}",
                param=param,
            )
        )


def _declared(entries: Any) -> set[str]:
    names: set[str] = set()
    for tool in entries if isinstance(entries, list) else []:
        names.add(str(tool.get("name") or tool.get("type")))
        names.add(str(tool.get("type")))
        names |= _declared(tool.get("tools"))
    return names


def _check_tool_choice(body: dict[str, Any]) -> None:
    choice = body.get("tool_choice")
    if choice in (None, "auto", "none"):
        return
    if choice == "required":
        if not body.get("tools") and not any(
            isinstance(item, dict) and item.get("type") == "additional_tools" for item in body.get("input") or []
        ):
            raise Refused(
                error(None, "Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
            )
        return
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str):
        raise Refused(error("invalid_value", f"Invalid value: '{choice}'.", param="tool_choice"))
    if choice["type"] == "allowed_tools":
        return
    name = choice.get("name") or choice["type"]
    if name not in _declared(body.get("tools")):
        raise Refused(error(None, f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice"))


def _check_format(body: dict[str, Any]) -> None:
    text = body.get("text")
    if text is None:
        return
    if not isinstance(text, dict) or set(text) - {"format", "verbosity"}:
        raise Refused(error("unknown_parameter", "Unknown parameter in 'text'.", param="text"))
    _one_of(text.get("verbosity"), _VERBOSITIES, "text.verbosity")
    form = text.get("format")
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    _one_of(kind, ("text", "json_schema", "json_object"), "text.format.type")
    if kind == "json_object" and "json" not in str(body.get("input")).lower():
        raise Refused(
            error(
                None,
                "Response input messages must contain the word 'json' in some form to use 'text.format' "
                "of type 'json_object'.",
                param="input",
            )
        )
    if kind == "json_schema":
        _check_tool_name(form.get("name"), "text.format.name")
        if not isinstance(form.get("schema"), dict):
            raise Refused(
                error(
                    "missing_required_parameter",
                    "Missing required parameter: 'text.format.schema'.",
                    param="text.format.schema",
                )
            )
        problem = strict_violation(form["schema"]) if form.get("strict") is True else None
        if problem:
            raise Refused(
                error(
                    "invalid_json_schema",
                    f"Invalid schema for response_format '{form['name']}': {problem}",
                    param="text.format.schema",
                )
            )
