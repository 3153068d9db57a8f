"""The routes that need no upstream: version, models, and honest words for what a gateway cannot do.

A model that is served needs no download, so pulling it succeeds at once. Storing, copying and embedding are refused
with a sentence. Facts: spec/translation.md §9, spec/operations.md §10.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from translation.codec import ModelInfo, WireAnswer, WireContext
from translation.errors import RouteNotFound, UnsupportedFeature
from translation.protocols.ollama import catalogue
from translation.protocols.ollama.names import written_model
from translation.wire import jsonio

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
NOT_IMPLEMENTED = 501

_REFUSALS = {
    "/api/push": "Models cannot be pushed: this is a gateway, it stores no models.",
    "/api/create": "Models cannot be created: this is a gateway, it stores no models.",
    "/api/copy": "Models cannot be copied: this is a gateway, it stores no models. An alias is the operator's to set.",
    "/api/delete": "Models cannot be deleted: this is a gateway, it stores no models.",
    "/api/embed": "Embeddings are not supported by the models of this gateway.",
    "/api/embeddings": "Embeddings are not supported by the models of this gateway.",
}

_Answer = Callable[[bytes, WireContext, Sequence[ModelInfo]], WireAnswer]


def answer_static(body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
    """Answer the call at `context.path`.

    Raises: InvalidRequest, ModelNotFound, UnsupportedFeature (501), RouteNotFound.
    """
    refusal = _REFUSALS.get(context.path)
    if refusal is not None:
        raise UnsupportedFeature(refusal, status=NOT_IMPLEMENTED, code="not_implemented")
    answer = _ANSWERS.get(context.path)
    if answer is None:
        raise RouteNotFound(f"There is nothing at {context.path[:200]}.")
    return answer(body, context, models)


def _json(body: bytes) -> WireAnswer:
    return WireAnswer(200, {"content-type": JSON}, body)


def _version(body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
    return _json(catalogue.version(context))


def _running(body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
    """Nothing is loaded into memory here; a list of all models would say that it were."""
    return _json(jsonio.dumps({"models": []}))


def _show(body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
    name = written_model(jsonio.loads_object(body), "model", "name")
    return _json(catalogue.show(catalogue.find(name, models), context))


def _pull(body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
    fields = jsonio.loads_object(body)
    catalogue.find(written_model(fields, "model", "name"), models)
    done = jsonio.dumps({"status": "success"})
    if fields.get("stream") is False:
        return _json(done)
    return WireAnswer(
        200, {"content-type": NDJSON}, jsonio.dumps({"status": "pulling manifest"}) + b"\n" + done + b"\n"
    )


_ANSWERS: dict[str, _Answer] = {
    "/api/version": _version,
    "/api/ps": _running,
    "/api/show": _show,
    "/api/pull": _pull,
}
