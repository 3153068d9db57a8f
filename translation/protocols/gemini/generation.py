"""`generationConfig` → sampling, thinking, output format and modalities.

Knobs of a wrong type are ignored; what asks for an answer that nobody can give is a 400.
Facts: spec/translation.md §4.7-4.9, §7.1, rows 163-164, 167.
"""

from __future__ import annotations

from typing import Any

from translation.ir.request import HostedTool, OutputFormat, ReasoningOptions, Sampling
from translation.protocols.gemini.fields import get, nested, number, unsupported, whole, word, words
from translation.protocols.gemini.tools import IMAGE_GENERATION
from translation.shared.fields import Misread
from translation.shared.json_schema_gemini import can_be_strict, to_json_schema
from translation.wire.jsontypes import is_object

_SCHEMA_NAME = "gemini_schema"
_ENUM_TYPE = "text/x.enum"
_JSON_SCHEMA_KEYS = ("responseJsonSchema", "_responseJsonSchema")
_DROPPED = ("responseLogprobs", "logprobs", "mediaResolution", "enableEnhancedCivicAnswers", "routingConfig")
_SIZES = {"1:1": "1024x1024"}
_LANDSCAPE, _PORTRAIT = "1536x1024", "1024x1536"


def config_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return `generationConfig`, or an empty object."""
    return nested(body, "generationConfig")


def wants_thoughts(body: dict[str, Any]) -> bool:
    """Say whether the client shows what the model thinks."""
    return get(nested(config_of(body), "thinkingConfig"), "includeThoughts") is True


def dropped_knobs(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the paths of knobs without a place in the IR."""
    return tuple(f"generationConfig.{name}" for name in _DROPPED if get(config, name) is not None)


def refuse_impossible(config: dict[str, Any]) -> None:
    """Raises: Misread for several candidates and for spoken or filmed answers."""
    count = whole(config, "candidateCount")
    if count is not None and count > 1:
        raise unsupported("must be 1: the upstream gives one answer per request.", "generationConfig.candidateCount")
    if get(config, "speechConfig") is not None:
        raise unsupported("is not supported: answers cannot be spoken.", "generationConfig.speechConfig")
    for modality in _modalities(config):
        if modality in ("audio", "video"):
            raise unsupported(
                f"asks for {modality}, which is not supported; ask for TEXT or IMAGE.",
                "generationConfig.responseModalities",
            )


def _modalities(config: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name.lower() for name in words(get(config, "responseModalities")))


def read_image_tool(config: dict[str, Any]) -> tuple[HostedTool | None, bool]:
    """Return the tool that draws when IMAGE is among the modalities, and whether nothing else is wanted."""
    modalities = _modalities(config)
    if "image" not in modalities:
        return None, False
    ratio = word(nested(config, "imageConfig"), "aspectRatio")
    size = _size(ratio) if ratio else None
    return HostedTool(IMAGE_GENERATION, {"size": size} if size else {}), "text" not in modalities


def _size(ratio: str) -> str | None:
    """Return the nearest size the upstream draws."""
    width, colon, height = ratio.partition(":")
    if not (colon and width.isdecimal() and height.isdecimal()):
        return None
    return _SIZES.get(ratio) or (_LANDSCAPE if int(width) > int(height) else _PORTRAIT)


def read_sampling(config: dict[str, Any]) -> Sampling:
    """Read the knobs."""
    return Sampling(
        temperature=number(config, "temperature"),
        top_p=number(config, "topP"),
        top_k=whole(config, "topK"),
        seed=whole(config, "seed"),
        frequency_penalty=number(config, "frequencyPenalty"),
        presence_penalty=number(config, "presencePenalty"),
        stop=words(get(config, "stopSequences")),
    )


def read_reasoning(body: dict[str, Any]) -> ReasoningOptions | None:
    """Read how much to think; thoughts are asked for only when the client shows them."""
    config = config_of(body)
    thinking = nested(config, "thinkingConfig")
    level = word(thinking, "thinkingLevel") or word(config, "thinkingLevel")
    if level is not None and "unspecified" in level.lower():
        level = None
    budget = whole(thinking, "thinkingBudget")
    if budget is None:
        budget = whole(config, "thinkingBudget")
    summary = "auto" if wants_thoughts(body) else None
    if level is None and budget is None and summary is None:
        return None
    effort = level.lower() if level else None
    return ReasoningOptions(effort=effort, budget_tokens=None if effort else budget, summary=summary)


def read_format(config: dict[str, Any]) -> OutputFormat | None:
    """Read structured output. Raises: Misread when the schema is no object."""
    kind = (word(config, "responseMimeType") or "").lower()
    schema = _read_schema(config)
    if kind == _ENUM_TYPE:
        if schema is None:
            raise Misread("is missing: text/x.enum needs a schema with `enum`.", "generationConfig.responseSchema")
        return OutputFormat(kind="word", name=_SCHEMA_NAME, schema=schema, strict=can_be_strict(schema))
    if schema is None:
        return OutputFormat(kind="json_object") if kind == "application/json" else None
    is_whole_object = schema.get("type") == "object" or ("type" not in schema and is_object(schema.get("properties")))
    return OutputFormat(
        kind="json_schema" if is_whole_object else "json_value",
        name=_SCHEMA_NAME,
        schema=schema,
        strict=can_be_strict(schema),
    )


def _read_schema(config: dict[str, Any]) -> dict[str, Any] | None:
    for key in (*_JSON_SCHEMA_KEYS, "responseSchema"):
        schema = get(config, key)
        if schema is None or schema == {}:
            continue
        if not is_object(schema):
            raise Misread("must be an object.", f"generationConfig.{key}")
        return to_json_schema(schema)
    return None
