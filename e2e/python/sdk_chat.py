"""The official SDK over the gateway: everything it offers for chat, streaming and not."""

import json

import httpx2
import openai
import pytest

ANSWER = "Hello from {}, café 你好 🚰 2 3 4"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


def _text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def a_chat_is_answered(client, ask):
    answer = client.chat.completions.create(**ask())
    assert answer.choices[0].message.content == ANSWER.format("a")
    assert answer.usage.prompt_tokens == 11


def a_stream_is_answered_without_unasked_usage(client, ask):
    chunks = list(client.chat.completions.create(**ask(), stream=True))
    assert _text(chunks) == ANSWER.format("a")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def usage_that_was_asked_for_comes_last(client, ask):
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(**ask(), stream=True, stream_options=options))
    assert (chunks[-1].usage.total_tokens, chunks[-1].choices) == (16, [])


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429},
        {"reset": True},
        {"error_first": True},
        {"error_after": 0},
        {"empty": True},
        {"hang_first_token": True},
        {"content_type": "text/html", "body": "<p>"},
    ],
    ids=lambda fault: "-".join(fault),
)
def a_stream_survives_a_failing_provider(client, ask, fault):
    chunks = list(client.chat.completions.create(**ask(a=fault), stream=True))
    assert _text(chunks) == ANSWER.format("b")


def a_whole_answer_survives_a_failing_provider(client, ask):
    answer = client.chat.completions.create(**ask(a={"status": 503}))
    assert (answer.choices[0].message.content, answer.model) == (ANSWER.format("b"), "model-b@b")


def a_tool_call_is_read(client, ask):
    answer = client.chat.completions.create(**ask(a={"tools": True}), tools=[TOOL])
    call = answer.choices[0].message.tool_calls[0].function
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Zürich"})
    assert answer.choices[0].finish_reason == "tool_calls"


def a_tool_calls_pieces_make_its_arguments(client, ask):
    chunks = client.chat.completions.create(**ask(a={"tools": True}), tools=[TOOL], stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    calls = [delta.tool_calls[0].function for delta in deltas if delta.tool_calls]
    assert calls[0].name == "get_weather"
    assert json.loads("".join(call.arguments for call in calls)) == {"city": "Zürich"}


def the_stream_helper_gathers_a_whole_completion(client, ask):
    with client.chat.completions.stream(**ask()) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == ANSWER.format("a")


@pytest.mark.anyio
async def an_async_client_is_answered(async_client, ask):
    answer = await async_client.chat.completions.create(**ask())
    assert answer.choices[0].message.content == ANSWER.format("a")


@pytest.mark.anyio
async def an_async_stream_survives_a_failing_provider(async_client, ask):
    stream = await async_client.chat.completions.create(**ask(a={"error_first": True}), stream=True)
    assert _text([chunk async for chunk in stream]) == ANSWER.format("b")


def a_stream_that_the_provider_cuts_raises(client, ask):
    seen = []
    with pytest.raises((openai.APIError, httpx2.HTTPError)):
        for chunk in client.chat.completions.create(**ask(a={"reset_after": 2, "gap_ms": 50}), stream=True):
            seen.append(chunk)
    assert _text(seen).startswith("Hello from a")


def an_unterminated_stream_raises(client, ask):
    seen = []
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(**ask(a={"cut_after": 2}), stream=True):
            seen.append(chunk)
    assert _text(seen) == "Hello from a, café 你好 🚰"


@pytest.mark.anyio
async def an_unterminated_async_stream_raises(async_client, ask):
    stream = await async_client.chat.completions.create(**ask(a={"cut_after": 2}), stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


def a_stream_may_be_left_early(client, gateway, ask):
    arguments = ask(a={"events": 500, "gap_ms": 20})
    with client.chat.completions.create(**arguments, stream=True) as stream:
        next(iter(stream))
    record = gateway.records(arguments["model"])[0]
    assert record["attempts"][-1]["verdict"] == "client_gone"
