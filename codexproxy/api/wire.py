"""The protocol routes: one Ninja operation for every route a codec declares. Raw body in, bytes out, no schemas.

The only place that turns a request into `ClientRequest` work for the flow. Every operation has `KeyAuth`; errors,
whatever raised them, leave in the dialect of the route's codec. The operations appear in the OpenAPI document.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.operation import AsyncOperation

from accounts.values import ApiKeyView
from codexproxy.gateway.catalog import catalog_entry, visible_model, visible_models
from codexproxy.gateway.counting import count_tokens
from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.static import answer_static
from codexproxy.gateway.types import ClientRequest, ClientStream
from translation import registry
from translation.codec import Codec, Route, WireContext
from translation.errors import GatewayError, MethodNotAllowed, RouteNotFound
from translation.wire import jsonio


class KeyAuth:
    """Step 1 of the flow as Ninja's authentication: an api key in any of the places clients put it.

    A failure raises the typed error, which leaves in the dialect of the route.
    """

    is_async = True
    """Ninja would otherwise hop to a thread for every request."""
    openapi_name = "apiKey"
    openapi_type = "http"
    openapi_scheme = "bearer"

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.openapi_security_schema = {"type": "http", "scheme": "bearer"}

    async def __call__(self, request: HttpRequest) -> ApiKeyView:
        call: ClientRequest = request.wire_head  # type: ignore[attr-defined]
        return self._gateway.authenticate(call.headers, call.query)


class WireReply(HttpResponseBase):
    """A response that writes itself: the flow decides status and headers when it knows them."""

    streaming = True

    def __init__(self, run: Callable[[ClientRequest, ClientStream], Awaitable[None]]) -> None:
        super().__init__()
        self.run = run


class WireRoute:
    """One mounted route: its codec and the Ninja operation that answers it."""

    __slots__ = ("codec", "is_missing", "operation", "pattern", "route")

    def __init__(self, codec: Codec, route: Route, operation: AsyncOperation, *, is_missing: bool = False) -> None:
        self.is_missing = is_missing
        self.codec = codec
        self.route = route
        self.operation = operation
        self.pattern = _pattern(route.path)


class WireApi:
    """All protocol routes of all codecs, mounted on one NinjaAPI."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.ninja = NinjaAPI(
            title="Codex Proxy protocols", version="1", urls_namespace="wire", docs_url=None, openapi_url=None
        )
        self.ninja.add_exception_handler(GatewayError, _answer_in_dialect)
        self._fixed: dict[tuple[str, str], WireRoute] = {}
        self._templates: list[WireRoute] = []
        self._paths: set[str] = set()
        self.routes: list[WireRoute] = []
        self._fallback = registry.get("openai-chat")
        self._marked = [codec for codec in registry.codecs().values() if codec.listing_header is not None]
        for route in GATEWAY_ROUTES:
            self._mount(self._fallback, route)
        for codec in registry.codecs().values():
            for route in codec.routes:
                self._mount(codec, route)

    def find(self, method: str, path: str) -> tuple[WireRoute, dict[str, str]] | None:
        """Return the route for a call and its path parameters; None when the path belongs to Django."""
        route = self._fixed.get((method, path))
        if route is not None:
            return route, {}
        if not (path.startswith(PREFIXES) or path in self._paths):
            return None
        for candidate in self._templates:
            if candidate.route.method == method:
                match = candidate.pattern.fullmatch(path)
                if match is not None:
                    return candidate, match.groupdict()
        return self._missing(method, path), {}

    def dialect(self, route: WireRoute, headers: Mapping[str, str]) -> Codec:
        """Return who answers: the route's codec, or on shared paths the one whose clients send its marking header."""
        if route.route.operation in SHARED_OPERATIONS or (route.codec is self._fallback and route.is_missing):
            for codec in self._marked:
                if codec.listing_header in headers:
                    return codec
        return route.codec

    def _mount(self, codec: Codec, route: Route) -> None:
        views = NAMED_VIEWS if "{model}" in route.path else VIEWS
        view = views[route.operation](self.gateway, codec)
        operation = self._operation(codec, route, view)
        mounted = WireRoute(codec, route, operation)
        self.routes.append(mounted)
        self._paths.add(route.path)
        if "{" in route.path:
            self._templates.append(mounted)
        else:
            self._fixed[route.method, route.path] = mounted

    def _operation(self, codec: Codec, route: Route, view: Callable[..., Any]) -> AsyncOperation:
        view.__name__ = f"{codec.name}_{route.operation}".replace("-", "_")
        self.ninja.default_router.add_api_operation(
            route.path, [route.method], view, auth=KeyAuth(self.gateway), tags=[codec.name],
            operation_id=f"{view.__name__}_{route.method}_{route.path}", response=None,
        )  # fmt: skip
        operation = self.ninja.default_router.path_operations[route.path].operations[-1]
        operation.api = self.ninja
        assert isinstance(operation, AsyncOperation)  # the views below are async
        return operation

    def _missing(self, method: str, path: str) -> WireRoute:
        """A route that says 404 or 405 in JSON; unknown paths below the prefixes never show an HTML page."""
        allowed = sorted({r.route.method for r in self.routes if r.pattern.fullmatch(path)})
        error: GatewayError = (
            MethodNotAllowed(f"{path[:200]} does not take {method}; use {', '.join(allowed)}.")
            if allowed
            else RouteNotFound(f"There is nothing at {method} {path[:200]}. GET /v1/models shows what is served.")
        )
        codec = next((r.codec for r in self.routes if _is_at_or_below(path, r.route.path)), self._fallback)
        refusal = _Refusal(error, {"allow": ", ".join(allowed)} if allowed else {})
        return WireRoute(codec, Route(method, path), refusal, is_missing=True)  # type: ignore[arg-type]


GATEWAY_ROUTES = (
    Route("GET", "/v1/models/catalog", "catalog"),
    Route("GET", "/v1/models/{model_id}/info", "model_info"),
)
"""Routes of no vendor's protocol, with errors as OpenAI's; mounted first, or `/v1/models/{model_id}` takes them."""

SHARED_OPERATIONS = ("models", "model")
"""Operations whose paths several dialects share (spec/clients.md §10.2)."""

PREFIXES = ("/v1/", "/v1beta/", "/v1alpha/", "/responses", "/chat/", "/backend-api/")
"""Paths below these are clients' business; anything unknown there gets a JSON error."""


class _Refusal:
    """Stands in for an operation where there is none."""

    def __init__(self, error: GatewayError, headers: dict[str, str]) -> None:
        self._error = error
        self._headers = headers

    async def run(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the error."""
        response = _answer_in_dialect(request, self._error)
        for name, value in self._headers.items():
            response[name] = value
        return response


# ---- views, one maker for each operation a route table can name -----------------------------------------------------


def _generate_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest) -> WireReply:
        key: ApiKeyView = request.auth  # type: ignore[attr-defined]
        return WireReply(lambda call, client: gateway.generate(codec, key, call, client))

    return view


def _count_tokens_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest) -> WireReply:
        return WireReply(lambda call, client: count_tokens(gateway, codec, call, client))

    return view


def _named_generate_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest, model: str) -> WireReply:
        key: ApiKeyView = request.auth  # type: ignore[attr-defined]
        return WireReply(lambda call, client: gateway.generate(codec, key, call, client))

    return view


def _named_count_tokens_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest, model: str) -> WireReply:
        return WireReply(lambda call, client: count_tokens(gateway, codec, call, client))

    return view


def _models_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest) -> HttpResponse:
        context = _context(gateway, request)
        models = visible_models(gateway.snapshots.current, request.auth)  # type: ignore[attr-defined]
        dialect: Codec = request.wire_codec  # type: ignore[attr-defined]
        return HttpResponse(dialect.encode_models(models, context), content_type="application/json")

    return view


def _model_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest, model_id: str) -> HttpResponse:
        info = visible_model(gateway.snapshots.current, request.auth, model_id)  # type: ignore[attr-defined]
        dialect: Codec = request.wire_codec  # type: ignore[attr-defined]
        return HttpResponse(dialect.encode_model(info, _context(gateway, request)), content_type="application/json")

    return view


def _catalog_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest) -> HttpResponse:
        snapshot = gateway.snapshots.current
        models = visible_models(snapshot, request.auth)  # type: ignore[attr-defined]
        body = jsonio.dumps([catalog_entry(snapshot, model) for model in models])
        return HttpResponse(body, content_type="application/json")

    return view


def _model_info_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest, model_id: str) -> HttpResponse:
        snapshot = gateway.snapshots.current
        model = visible_model(snapshot, request.auth, model_id)  # type: ignore[attr-defined]
        return HttpResponse(jsonio.dumps(catalog_entry(snapshot, model)), content_type="application/json")

    return view


def _static_view(gateway: Gateway, codec: Codec) -> Callable[..., Any]:
    async def view(request: HttpRequest) -> WireReply:
        models = visible_models(gateway.snapshots.current, request.auth)  # type: ignore[attr-defined]
        return WireReply(lambda call, client: answer_static(gateway, codec, models, call, client))

    return view


VIEWS: dict[str, Callable[[Gateway, Codec], Callable[..., Any]]] = {
    "generate": _generate_view,
    "count_tokens": _count_tokens_view,
    "models": _models_view,
    "model": _model_view,
    "catalog": _catalog_view,
    "model_info": _model_info_view,
    "static": _static_view,
}

NAMED_VIEWS: dict[str, Callable[[Gateway, Codec], Callable[..., Any]]] = {
    "generate": _named_generate_view,
    "count_tokens": _named_count_tokens_view,
}
"""Views of paths that name the model: Ninja wants it in the signature, the codec reads it from its context."""


def _context(gateway: Gateway, request: HttpRequest) -> WireContext:
    call: ClientRequest = request.wire_head  # type: ignore[attr-defined]
    return WireContext(
        headers=call.headers, path=call.path, params=call.params, query=call.query, now_s=gateway.clock()
    )


def _answer_in_dialect(request: HttpRequest, error: GatewayError) -> HttpResponse:
    return _error_response(request.wire_codec, error, request)  # type: ignore[attr-defined]


def _error_response(codec: Codec, error: GatewayError, request: HttpRequest) -> HttpResponse:
    call: ClientRequest = request.wire_head  # type: ignore[attr-defined]
    error.request_id = call.request_id
    answer = codec.encode_error(error)
    return HttpResponse(
        answer.body,
        status=answer.status,
        headers={"content-type": "application/json", **answer.headers, **call.id_headers},
    )


def _is_at_or_below(path: str, route_path: str) -> bool:
    return path == route_path or path.startswith(f"{route_path}/")


def _pattern(path: str) -> re.Pattern[str]:
    """Model ids may contain slashes and colons; a template's parameter takes the rest of the path."""
    literal = [re.escape(piece) for piece in re.split(r"\{\w+\}", path)]
    names = re.findall(r"\{(\w+)\}", path)
    pattern = literal[0] + "".join(f"(?P<{name}>.+)" + tail for name, tail in zip(names, literal[1:], strict=True))
    return re.compile(pattern)
