"""What the official SDK makes of the gateway's errors."""

import openai
import pytest


def an_unknown_model_is_not_found(client, ask):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**{**ask(), "model": "llama-unknown"})
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "llama-unknown" in caught.value.message


def a_missing_model_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body={"messages": []}, cast_to=object)
    assert caught.value.code == "missing_model"


def a_providers_bad_request_passes_and_is_not_retried(client, gateway, ask):
    arguments = ask(a={"status": 400})
    with pytest.raises(openai.BadRequestError) as caught:
        client.with_options(max_retries=2).chat.completions.create(**arguments)
    assert caught.value.code == "bad_parameter"
    assert len(gateway.a.requests(arguments["user"])) == 1
    assert gateway.b.requests(arguments["user"]) == []


def an_exhausted_chain_is_a_server_error_without_secrets(client, ask):
    scripts = {"a": {"status": 503}, "b": {"error_first": True}}
    for stream in (True, False):
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**ask(**scripts), stream=stream)
        assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")
        assert "sk-secret" not in str(caught.value.response.headers) + caught.value.response.text


def what_can_never_work_is_asked_for_once(client, gateway):
    with pytest.raises(openai.NotFoundError) as caught:
        client.with_options(max_retries=3).chat.completions.create(
            model="llama-once", messages=[{"role": "user", "content": "hi"}]
        )
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(gateway.records("llama-once")) == 1


def what_may_pass_is_asked_for_again(client, gateway, ask):
    arguments = ask(a={"status": 503}, b={"status": 503})
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=1).chat.completions.create(**arguments)
    assert len(gateway.records(arguments["model"], 2)) == 2
    assert len(gateway.a.requests(arguments["user"])) == 2


def a_timeout_is_told_as_one(client, ask):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**ask(a={"hang": True}, b={"hang": True}), stream=True)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
