"""The SDK's other operations over the gateway."""

import pytest

ANSWER = "Hello from {}, café 你好 🚰 2 3 4"


@pytest.mark.parametrize("provider", ["a", "b"])
def embeddings_are_answered(client, provider):
    script = {"x_mock": {"a": {} if provider == "a" else {"status": 503}}}
    answer = client.embeddings.create(model="text-embedding-3", input="hi", encoding_format="float", extra_body=script)
    assert answer.data[0].embedding == [0.25, -0.5, 1.0]
    assert answer.model.endswith(f"@{provider}")
    assert answer.usage.total_tokens == 11


def a_response_is_answered(client):
    answer = client.responses.create(model="gpt-responses", input="hi")
    assert (answer.output_text, answer.usage.input_tokens) == (ANSWER.format("a"), 11)


@pytest.mark.parametrize("fault", [{}, {"status": 503}, {"error_first": True}], ids=["none", "status", "event"])
def a_response_is_streamed(client, fault):
    events = list(client.responses.create(model="gpt-responses", input="hi", stream=True, extra_body={"x_mock": {"a": fault}}))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == ANSWER.format("b" if fault else "a")
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage.input_tokens == 11


def a_text_completion_is_answered(client):
    answer = client.completions.create(model="gpt-text", prompt="hi")
    assert answer.choices[0].text == ANSWER.format("a")


def a_text_completion_is_streamed(client):
    script = {"x_mock": {"a": {"error_first": True}}}
    chunks = client.completions.create(model="gpt-text", prompt="hi", stream=True, extra_body=script)
    assert "".join(chunk.choices[0].text for chunk in chunks) == ANSWER.format("b")


@pytest.mark.anyio
async def an_async_response_is_streamed(async_client):
    stream = await async_client.responses.create(model="gpt-responses", input="hi", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.completed"


def models_are_listed(client):
    models = list(client.models.list())
    assert all(model.object == "model" for model in models)


def raw_answers_tell_no_inner_headers(client):
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-raw", messages=[{"role": "user", "content": "hi"}], extra_body={"x_mock": {"a": {"status": 503}}}
    )
    assert not [name for name in answer.headers if name.startswith("x-ai-")]
