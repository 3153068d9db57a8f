"""The body of `:streamGenerateContent`: IR → a body of Google's, or the client's own JSON for the relay lane.

The model is in the address, so nothing here depends on it but what models of Gemini's generations take differently.
Contents are in `upstream_request.py`, schemas in `upstream_schema.py`. Facts: spec/translation.md §11.1, §11.5.
Reference: https://ai.google.dev/gemini-api/docs/thinking (checked 2026-11-23).
"""

from __future__ import annotations

import re
from typing import Any

from translation.codec import OpenedRequest, Quirks, RelayTarget
from translation.ir import request as ir
from translation.protocols.gemini.fields import nested
from translation.protocols.gemini.upstream_request import Contents
from translation.protocols.gemini.upstream_schema import to_gemini_schema
from translation.shared import efforts
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_array, is_object

Json = dict[str, Any]

_GATEWAY_FIELDS = ("model", "promptCacheKey", "prompt_cache_key")
"""What clients tell the gateway; Google refuses fields it does not know."""
_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_LEVELS = {"none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium"}
"""Anything above is high."""
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
_TOP_BUDGET = 32768
_CUSTOM_PARAMETERS: Json = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def generation_of(model: str) -> tuple[int, int]:
    """Return (3, 1) of `gemini-3.1-pro`; (0, 0) when the name tells nothing."""
    found = _GENERATION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


# ---- relay ---------------------------------------------------------------------------------------------------------


def needs_translation(opened: OpenedRequest, quirks: Quirks) -> str | None:
    """Nothing a Gemini client may say needs more than the relay: the body is Google's, the model is in the address."""
    return None


def relay_request(opened: OpenedRequest, target: RelayTarget) -> bytes:
    """Write the client's own JSON, without what was meant for the gateway, with the effort its model name asked for."""
    body = {key: value for key, value in opened.body.items() if key not in _GATEWAY_FIELDS}
    if target.effort is not None:
        key = "generation_config" if "generation_config" in body else "generationConfig"
        config = nested(body, "generationConfig")
        thinking = _thinking(None, target)
        if thinking and not nested(config, "thinkingConfig"):
            body[key] = {**config, "thinkingConfig": thinking}
    if target.drops_reasoning:
        body = _without_signatures(body)
    return dumps(body)


def _without_signatures(body: Json) -> Json:
    contents = body.get("contents")
    if not is_array(contents):
        return body
    return {**body, "contents": [_unsigned(content) for content in contents]}


def _unsigned(content: Any) -> Any:
    parts = content.get("parts") if is_object(content) else None
    if not is_array(parts):
        return content
    names = ("thoughtSignature", "thought_signature")
    bare = [{k: v for k, v in it.items() if k not in names} if is_object(it) else it for it in parts]
    return {**content, "parts": bare}


# ---- translation ---------------------------------------------------------------------------------------------------


def encode_request(request: ir.GenerateRequest, target: RelayTarget) -> bytes:
    """Write the upstream body of an IR request. Raises: UnsupportedFeature for files in another vendor's store."""
    generation = generation_of(target.model)
    contents = Contents(is_signing=generation >= (3, 0))
    items = request.items
    if target.drops_reasoning:
        items = tuple(item for item in items if not isinstance(item, ir.Reasoning))
    turns = contents.write(items)
    instructions = [text for text in (*request.instructions, *contents.instructions) if text]
    tools, functions = _tools(request.tools, target.quirks, generation)
    config = _config(request, target)
    if target.quirks.hosted_tools and _draws(request.tools, target):
        config["responseModalities"] = ["TEXT", "IMAGE"]
    values: Json = {
        "systemInstruction": {"parts": [{"text": text} for text in instructions]} if instructions else None,
        "contents": turns,
        "tools": tools,
        "toolConfig": _tool_config(request.tool_choice) if functions else None,
        "generationConfig": config,
    }
    return dumps({key: value for key, value in values.items() if value})


def _tools(tools: tuple[ir.Tool, ...] | None, quirks: Quirks, generation: tuple[int, int]) -> tuple[list[Json], bool]:
    """Return the tools, and whether functions are among them; no model before 3 searches and calls at once."""
    functions = [_function(tool) for tool in tools or () if isinstance(tool, ir.FunctionTool | ir.CustomTool)]
    written: list[Json] = [{"functionDeclarations": functions}] if functions else []
    hosted = {tool.name for tool in tools or () if isinstance(tool, ir.HostedTool)}
    can_search = "web_search" in quirks.hosted_tools and (not functions or generation >= (3, 0))
    if "web_search" in hosted and can_search:
        written.append({"googleSearch": {}})
    return written, bool(functions)


def _function(tool: ir.FunctionTool | ir.CustomTool) -> Json:
    declaration: Json = {"name": tool.name, "description": tool.description or None}
    if isinstance(tool, ir.CustomTool):
        declaration["parametersJsonSchema"] = _CUSTOM_PARAMETERS
    elif tool.parameters and tool.parameters.get("properties") != {}:
        declaration["parametersJsonSchema"] = to_gemini_schema(tool.parameters)
    return {key: value for key, value in declaration.items() if value is not None}


def _draws(tools: tuple[ir.Tool, ...] | None, target: RelayTarget) -> bool:
    """Pictures are a modality of the models that have them in their name, and of no other."""
    wanted = any(isinstance(tool, ir.HostedTool) and tool.name == "image_generation" for tool in tools or ())
    return wanted and "image" in target.model and "image_generation" in target.quirks.hosted_tools


def _tool_config(choice: ir.ToolChoice | None) -> Json | None:
    if choice is None or choice.mode == "hosted":
        return None
    config: Json
    if choice.mode == "named":
        config = {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    elif choice.mode == "allowed":  # names are only taken where calls are checked
        config = {"mode": "ANY" if choice.required else "VALIDATED", "allowedFunctionNames": list(choice.allowed)}
    else:
        config = {"mode": _MODES[choice.mode]}
    return {"functionCallingConfig": config}


def _config(request: ir.GenerateRequest, target: RelayTarget) -> Json:
    sampling = request.sampling
    values: Json = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "maxOutputTokens": request.max_output_tokens,
        "stopSequences": list(sampling.stop) or None,
        "seed": sampling.seed,
        "frequencyPenalty": sampling.frequency_penalty,
        "presencePenalty": sampling.presence_penalty,
        "thinkingConfig": _thinking(request.reasoning, target),
        **_format(request.output_format),
    }
    return {key: value for key, value in values.items() if value is not None}


def _format(output: ir.OutputFormat | None) -> Json:
    if output is None:
        return {}
    kind = "text/x.enum" if output.kind == "word" else "application/json"
    schema = to_gemini_schema(output.schema) if output.schema else None
    return {"responseMimeType": kind, "responseJsonSchema": schema}


def _thinking(asked: ir.ReasoningOptions | None, target: RelayTarget) -> Json | None:
    """Return how much to think: a level since Gemini 3, a budget for 2.5, nothing for models that do not think."""
    generation = generation_of(target.model)
    if generation < (2, 5) or (asked is None and target.effort is None):
        return None
    effort = (asked.effort if asked else None) or target.effort
    budget = asked.budget_tokens if asked else None
    amount = _level(effort, budget, target) if generation >= (3, 0) else _budget(effort, budget, target.model)
    if amount.get("thinkingBudget") == 0:
        return amount
    return {**amount, "includeThoughts": True}


def _level(effort: str | None, budget: int | None, target: RelayTarget) -> Json:
    if effort is None and budget is not None:
        effort = efforts.from_budget(budget, target.quirks.efforts)
    effort = efforts.clamp(effort, target.quirks.efforts)
    if effort is None:
        return {}
    level = _LEVELS.get(effort, "high")
    if level == "minimal" and "pro" in target.model:
        level = "low"  # the large models always think
    return {"thinkingLevel": level}


def _budget(effort: str | None, budget: int | None, model: str) -> Json:
    if budget is None:
        if effort is None:
            return {}
        budget = _BUDGETS.get(effort, _TOP_BUDGET)
    if budget < 0:
        return {"thinkingBudget": -1}
    is_large = "pro" in model
    lowest = 128 if is_large else 512 if "lite" in model and budget else 0
    return {"thinkingBudget": max(lowest, min(budget, _TOP_BUDGET if is_large else 24576))}
