"""Routes without an upstream: version, models, and refusals that say why."""

from __future__ import annotations

import hashlib

import orjson
import pytest

from tests.translation.ollama.conftest import MODELS
from translation.errors import ClientError, ModelNotFound
from translation.protocols.ollama import CODEC


def test_the_version_is_new_enough_for_all_clients_and_the_operators_choice(app):
    version = orjson.loads(app.ask("/api/version").body)["version"]
    assert tuple(map(int, version.split("."))) >= (0, 30, 0)
    assert orjson.loads(app.ask("/api/version", **{"ollama.version": "9.9"}).body) == {"version": "9.9"}


def test_models_are_listed_by_the_names_they_are_served_by(app):
    listed = orjson.loads(CODEC.encode_models(MODELS, app.context("/api/tags")))["models"]
    assert [entry["name"] for entry in listed] == ["gpt-5.5", "gpt-5.3-codex-spark"]
    assert listed[0] == {
        "name": "gpt-5.5",
        "model": "gpt-5.5",
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 0,
        "digest": hashlib.sha256(b"gpt-5.5").hexdigest(),
        "details": {
            "parent_model": "",
            "format": "codex-proxy",
            "family": "gpt",
            "families": ["gpt"],
            "parameter_size": "unknown",
            "quantization_level": "unknown",
        },
    }


@pytest.mark.parametrize(
    "body",
    [{"model": "gpt-5.5"}, {"name": "gpt-5.5"}, {"model": "gpt-5.5:latest"}, {"model": "gpt-5.5-high-fast:latest"}],
)
def test_a_model_is_shown_with_its_window_and_abilities(app, body):
    shown = orjson.loads(app.ask("/api/show", body).body)
    assert shown["capabilities"] == ["completion", "tools", "vision", "thinking"]
    assert shown["model_info"]["general.architecture"] == "gpt"
    assert shown["model_info"]["gpt.context_length"] == 272_000
    assert "num_ctx 272000" in shown["parameters"] and "reasoning medium" in shown["parameters"]
    assert {"modelfile", "template", "license", "modified_at", "details"} <= set(shown)


def test_a_plain_model_claims_nothing_it_cannot(app):
    shown = orjson.loads(app.ask("/api/show", {"model": "gpt-5.3-codex-spark"}).body)
    assert shown["capabilities"] == ["completion", "tools"]
    assert shown["model_info"]["gpt.context_length"] == 131_072


def test_vision_can_be_hidden(app):
    shown = orjson.loads(app.ask("/api/show", {"model": "gpt-5.5"}, **{"ollama.disable_vision": "true"}).body)
    assert "vision" not in shown["capabilities"]


@pytest.mark.parametrize("path", ["/api/show", "/api/pull"])
def test_row_215_an_unknown_model_is_a_404(app, path):
    with pytest.raises(ModelNotFound) as caught:
        app.ask(path, {"model": "llama3"})
    answer = CODEC.encode_error(caught.value)
    assert (answer.status, orjson.loads(answer.body)) == (404, {"error": "model 'llama3' not found"})


@pytest.mark.parametrize("path", ["/api/show", "/api/pull"])
def test_a_missing_model_is_a_400(app, path):
    for body in ({}, {"model": ""}, {"model": 1}):
        with pytest.raises(ClientError) as caught:
            app.ask(path, body)
        assert caught.value.status == 400


def test_a_served_model_is_pulled_at_once(app):
    answer = app.ask("/api/pull", {"model": "gpt-5.5:latest"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [orjson.loads(line) for line in answer.body.splitlines()][-1] == {"status": "success"}
    assert orjson.loads(app.ask("/api/pull", {"name": "gpt-5.5", "stream": False}).body) == {"status": "success"}


def test_nothing_is_loaded_into_memory(app):
    assert orjson.loads(app.ask("/api/ps").body) == {"models": []}


@pytest.mark.parametrize("name", ["push", "create", "copy", "delete", "embed", "embeddings"])
def test_what_a_gateway_cannot_do_is_a_501_with_a_reason(app, name):
    with pytest.raises(ClientError) as caught:
        app.ask(f"/api/{name}", {"model": "gpt-5.5"})
    answer = CODEC.encode_error(caught.value)
    assert answer.status == 501 and len(orjson.loads(answer.body)["error"]) > 20


def test_an_unknown_path_is_a_404(app):
    with pytest.raises(ClientError) as caught:
        app.ask("/api/signout")
    assert caught.value.status == 404
