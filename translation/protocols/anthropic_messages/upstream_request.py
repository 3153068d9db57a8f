"""IR → the body of Anthropic's `POST /v1/messages`; the translate lane's way out.

Knobs that the API refuses are left out (ADR-0007). Next: `upstream_turns.py`, which writes the conversation, and
`upstream.py`, which knows the models. Facts: spec/translation.md §11.4.
"""

from __future__ import annotations

from typing import Any

from translation.codec import Quirks, RelayTarget
from translation.ir import request as ir
from translation.passes.schemas import close_objects, rewrite
from translation.protocols.anthropic_messages.upstream import (
    ORIGIN,
    THOUGHTS,
    Abilities,
    Thinking,
    abilities,
    plan_thinking,
)
from translation.protocols.anthropic_messages.upstream_turns import finish_turns, system_and_turns, without_thinking
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_object

Json = dict[str, Any]

ANSWER_TOOL = "codexproxy_structured_answer"
"""Models without structured output answer by calling this; the decoder makes text of the call again."""
_CACHED: Json = {"type": "ephemeral"}
_UNSUPPORTED_KEYWORDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems"}
)
"""Of schemas; structured output refuses them, the model reads them nowhere else."""


def encode_request(request: ir.GenerateRequest, target: RelayTarget) -> bytes:
    """Write the upstream body. Raises: UnsupportedFeature for content this API cannot hold."""
    able = abilities(target.model, target.quirks)
    system, turns = system_and_turns(request, keeps_thoughts=not target.drops_reasoning)
    answers_by_tool = request.output_format is not None and _is_schema(request.output_format) and not able.has_formats
    plan = _plan(request, able, target, turns, answers_by_tool=answers_by_tool)
    if not plan.is_on:
        turns = without_thinking(turns)
    finish_turns(turns, can_prefill=able.has_prefill and not plan.is_on)
    tools = _tools(request, target.quirks, able, answers_by_tool=answers_by_tool)
    if tools or any(turn["role"] == "assistant" for turn in turns):
        _mark_cached(system, tools, turns)  # a single question is written once and never read
    config = _output_config(request.output_format, plan, able)
    values: Json = {
        "model": target.model,
        "max_tokens": plan.max_tokens,
        "system": system,
        "tools": tools,
        "tool_choice": _tool_choice(request, tools, plan, answers_by_tool=answers_by_tool),
        "thinking": plan.thinking,
        "output_config": config,
        "metadata": {"user_id": target.prompt_cache_key} if target.prompt_cache_key else None,
        **_sampling(request.sampling, able, plan),
        "messages": turns,
        "stream": True,
    }
    return dumps({key: value for key, value in values.items() if value not in (None, [], {})})


def _is_schema(output: ir.OutputFormat) -> bool:
    return output.schema is not None


def _mark_cached(system: list[Json], tools: list[Json], turns: list[Json]) -> None:
    """Set the four marks the API allows: last system block, last tool, and the last two turns of the user."""
    asked = [turn["content"] for turn in turns if turn["role"] == "user"]
    for blocks in (system, tools, *asked[-2:]):
        if blocks:
            blocks[-1] = {**blocks[-1], "cache_control": _CACHED}


# ---- tools ---------------------------------------------------------------------------------------------------------


def _tools(request: ir.GenerateRequest, quirks: Quirks, able: Abilities, *, answers_by_tool: bool) -> list[Json]:
    choice = request.tool_choice
    allowed = frozenset(choice.allowed) if choice is not None and choice.mode == "allowed" else None
    written = (_tool(tool, quirks, able) for tool in request.tools or ())
    tools = [tool for tool in written if tool is not None and (allowed is None or tool["name"] in allowed)]
    if answers_by_tool and request.output_format is not None:
        about = request.output_format.description or "Give the final answer by calling this."
        tools.append({"name": ANSWER_TOOL, "description": about, "input_schema": request.output_format.schema})
    return tools


def _tool(tool: ir.Tool, quirks: Quirks, able: Abilities) -> Json | None:
    match tool:
        case ir.FunctionTool():
            schema = tool.parameters or {"type": "object", "properties": {}}
            return _declared(tool.name, tool.description, schema, is_strict=bool(tool.strict) and able.has_formats)
        case ir.CustomTool():
            schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
            return _declared(tool.name, tool.description, schema, is_strict=False)
        case ir.HostedTool(name="web_search") if "web_search" in quirks.hosted_tools:
            return _web_search(tool.options)
        case ir.OpaqueTool() if tool.origin == ORIGIN:
            return tool.data
        case _:
            return None


def _declared(name: str, description: str | None, schema: Json, *, is_strict: bool) -> Json:
    tool: Json = {"name": name}
    if description:
        tool["description"] = description
    tool["input_schema"] = schema
    if is_strict:
        tool["strict"] = True
    return tool


def _web_search(options: Json) -> Json:
    tool: Json = {"type": "web_search_20250305", "name": "web_search"}
    filters = options.get("filters")
    if is_object(filters) and filters.get("allowed_domains"):
        tool["allowed_domains"] = filters["allowed_domains"]
    if options.get("user_location"):
        tool["user_location"] = options["user_location"]
    return tool


def _tool_choice(
    request: ir.GenerateRequest, tools: list[Json], plan: Thinking, *, answers_by_tool: bool
) -> Json | None:
    """Thinking bars every force; without tools there is nothing to choose."""
    if not tools:
        return None
    choice: Json = {"type": "any"} if answers_by_tool else _chosen(request.tool_choice)
    if answers_by_tool and len(tools) == 1:
        choice = {"type": "tool", "name": ANSWER_TOOL}
    if plan.is_on and choice["type"] in ("any", "tool"):
        choice = {"type": "auto"}
    if choice["type"] == "none":
        return choice
    if request.parallel_tool_calls is False:
        return {**choice, "disable_parallel_tool_use": True}
    return choice if request.tool_choice is not None or answers_by_tool else None


def _chosen(choice: ir.ToolChoice | None) -> Json:
    if choice is None:
        return {"type": "auto"}
    if choice.mode in ("named", "hosted"):
        return {"type": "tool", "name": choice.name}
    if choice.mode == "required" or (choice.mode == "allowed" and choice.required):
        return {"type": "any"}
    return {"type": "none" if choice.mode == "none" else "auto"}


# ---- knobs ---------------------------------------------------------------------------------------------------------


def _plan(
    request: ir.GenerateRequest, able: Abilities, target: RelayTarget, turns: list[Json], *, answers_by_tool: bool
) -> Thinking:
    asked = request.reasoning or ir.ReasoningOptions()
    effort, budget = asked.effort or target.effort, asked.budget_tokens
    if answers_by_tool or (not able.efforts and _is_mid_loop(turns)):
        effort, budget = None, None
    return plan_thinking(
        able, effort=effort, budget_tokens=budget, limit=request.max_output_tokens, shows_text=bool(asked.summary)
    )


def _is_mid_loop(turns: list[Json]) -> bool:
    """Say whether a call of an assistant who did not think is being answered: with a budget the API refuses that."""
    if len(turns) < 2 or turns[-1]["content"][0]["type"] != "tool_result":
        return False
    return turns[-2]["content"][0]["type"] not in THOUGHTS


def _sampling(sampling: ir.Sampling, able: Abilities, plan: Thinking) -> Json:
    knobs: Json = {"stop_sequences": [stop for stop in sampling.stop if stop.strip()]}
    if plan.is_on or not able.has_sampling:
        return knobs
    if sampling.temperature is not None:
        knobs["temperature"] = min(sampling.temperature, 1.0)
    elif sampling.top_p is not None:  # newer models refuse both at once
        knobs["top_p"] = sampling.top_p
    knobs["top_k"] = sampling.top_k
    return knobs


def _output_config(output: ir.OutputFormat | None, plan: Thinking, able: Abilities) -> Json:
    config: Json = {}
    if plan.effort is not None:
        config["effort"] = plan.effort
    if output is not None and output.schema is not None and able.has_formats:
        schema = rewrite(close_objects(output.schema), _without_limits)
        config["format"] = {"type": "json_schema", "schema": schema}
    return config


def _without_limits(node: Json) -> Json:
    return {key: value for key, value in node.items() if key not in _UNSUPPORTED_KEYWORDS}
