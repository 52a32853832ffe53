"""What the official SDKs make of answers from the cache: in the form they came in and in the other one, event by event."""

import json

import anthropic
import openai
import pytest

import conftest

ANSWER = "Hello from a, café 你好 🚰 2 3 4"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "mock", "service_tier": "default"}
TOKEN = {"token": "No", "bytes": [78, 111], "logprob": -0.25, "top_logprobs": [{"token": "No", "bytes": None, "logprob": -0.25}]}
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A gateway with a cache."""
    gateway = conftest.Gateway(tmp_path_factory.mktemp("cached"), "cache: {ttl: 1h}\n")
    yield gateway
    gateway.stop()


@pytest.fixture
def chat(cached):
    with openai.OpenAI(base_url=cached.url, api_key="sk-client", max_retries=0) as client:
        yield client.chat.completions


@pytest.fixture
def responses(cached):
    with openai.OpenAI(base_url=cached.url, api_key="sk-client", max_retries=0) as client:
        yield client.responses


@pytest.fixture
def messages(cached):
    url = cached.url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=url, api_key="sk-client", max_retries=0) as client:
        yield client.messages


def _choice(index, delta, finish=None, logprobs=None):
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


def _call(index, arguments, **head):
    function = {"arguments": arguments, **({"name": head.pop("name")} if head else {})}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


def _tool(number, city):
    function = {"name": "get_weather", "arguments": json.dumps({"city": city}, ensure_ascii=False)}
    return {"id": f"call_{number}", "type": "function", "function": function}


# The same answers as a list of deltas and as a list of choices.
RICH = {
    "tools": (
        [
            _choice(0, {"role": "assistant", "content": None}),
            _choice(0, _call(0, "", id="call_1", type="function", name="get_weather")),
            _choice(0, _call(0, '{"city": "Zü')),
            _choice(0, _call(0, 'rich"}')),
            _choice(0, _call(1, '{"city": "Ur"}', id="call_2", type="function", name="get_weather")),
            _choice(0, {}, "tool_calls"),
        ],
        [{"message": {"content": None, "tool_calls": [_tool(1, "Zürich"), _tool(2, "Ur")]}, "finish_reason": "tool_calls"}],
    ),
    "reasoning": (
        [
            _choice(0, {"role": "assistant", "content": ""}),
            _choice(0, {"reasoning_content": "Let me "}),
            _choice(0, {"reasoning_content": "think."}),
            _choice(0, {"content": "Fort"}),
            _choice(0, {"content": "y-two 🚰"}),
            _choice(0, {}, "stop"),
        ],
        [{"message": {"content": "Forty-two 🚰", "reasoning_content": "Let me think."}, "finish_reason": "stop"}],
    ),
    "choices": (
        [
            _choice(0, {"role": "assistant", "content": "One"}),
            _choice(1, {"role": "assistant", "content": "Uno"}),
            _choice(1, {"content": "!"}),
            _choice(1, {}, "stop"),
            _choice(0, {}, "stop"),
        ],
        [
            {"message": {"content": "One"}, "finish_reason": "stop"},
            {"message": {"content": "Uno!"}, "finish_reason": "stop"},
        ],
    ),
    "logprobs": (
        [
            _choice(0, {"role": "assistant", "content": ""}),
            _choice(0, {"content": "No"}, logprobs={"content": [TOKEN], "refusal": None}),
            _choice(0, {"content": "No"}, logprobs={"content": [TOKEN], "refusal": None}),
            _choice(0, {}, "stop"),
        ],
        [{"message": {"content": "NoNo"}, "finish_reason": "stop", "logprobs": {"content": [TOKEN, TOKEN], "refusal": None}}],
    ),
    "refusal": (
        [
            _choice(0, {"role": "assistant", "content": None, "refusal": "I "}),
            _choice(0, {"refusal": "cannot."}),
            _choice(0, {}, "stop"),
        ],
        [{"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}],
    ),
}


def _stream(deltas):
    chunks = [{**HEAD, "object": "chat.completion.chunk", "choices": [delta]} for delta in deltas]
    chunks.append({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    return "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _document(choices):
    whole = [{"index": n, "logprobs": None, **c, "message": {"role": "assistant", **c["message"]}} for n, c in enumerate(choices)]
    return json.dumps({**HEAD, "object": "chat.completion", "choices": whole, "usage": USAGE}, ensure_ascii=False)


def _question(name, **script):
    """Arguments of a question of its own; every form of it carries the same script, so that it is the same question."""
    body = {"user": name, **({"x_mock": {"a": script}} if script else {})}
    return {"model": f"gpt-{name}", "messages": [{"role": "user", "content": "hi"}], "extra_body": body}


def _ask(api, want, **arguments):
    """Asks until the cache answers as wanted: what a request leaves is there a moment after its end."""

    def asked():
        raw = api.with_raw_response.create(**arguments)
        if want != "miss" and raw.headers["x-ai-cache"] == "miss":
            raw.parse() if not arguments.get("stream") else list(raw.parse())
            return None
        assert raw.headers["x-ai-cache"] == want
        assert (want == "hit") == ("age" in raw.headers)
        answer = raw.parse()
        return list(answer) if arguments.get("stream") else answer

    return conftest.until(want, asked)


def _told(choices):
    """What choices say, whatever form they came in: their members that are not null."""

    def told(choice):
        message = choice.message.to_dict()
        message["tool_calls"] = [
            {"id": c["id"], "type": c["type"], "function": {k: c["function"][k] for k in ("name", "arguments")}}
            for c in message.get("tool_calls") or []
        ]
        message = {k: v for k, v in message.items() if v not in (None, []) and k not in ("role", "parsed")}
        logprobs = choice.logprobs.to_dict() if choice.logprobs else None
        return {"finish_reason": choice.finish_reason, "message": message, "logprobs": logprobs}

    return [told(choice) for choice in sorted(choices, key=lambda choice: choice.index)]


def _gathered(chunks):
    """The choices that a stream's chunks make, put together as the SDK's own stream helper does."""
    state = openai.lib.streaming.chat.ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    return state.get_final_completion().choices


def _reasoning(chunks):
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)


@pytest.mark.parametrize("recorded", ["stream", "document"])
@pytest.mark.parametrize("kind", RICH)
def an_answer_says_the_same_in_either_form(chat, kind, recorded):
    deltas, choices = RICH[kind]
    script = {"body": _stream(deltas) if recorded == "stream" else _document(choices)}
    question = _question(f"{kind}-{recorded}", **script)
    _ask(chat, "miss", **question, **({"stream": True} if recorded == "stream" else {}))
    want = _told(openai.types.chat.ChatCompletion.model_validate_json(_document(choices)).choices)

    document = _ask(chat, "hit", **question)
    assert _told(document.choices) == want
    assert (document.object, document.id, document.usage.total_tokens) == ("chat.completion", HEAD["id"], 16)

    chunks = _ask(chat, "hit", **question, stream=True)
    assert all(chunk.object == "chat.completion.chunk" and chunk.id == HEAD["id"] for chunk in chunks)
    told = _told(_gathered(chunks))
    if kind == "reasoning":
        told[0]["message"]["reasoning_content"] = _reasoning(chunks)
    assert told == want
    assert all(chunk.choices and chunk.usage is None for chunk in chunks), "nobody has asked for usage"


@pytest.mark.parametrize("recorded", ["stream", "usage", "document"])
def usage_comes_last_and_only_if_asked_for(chat, recorded):
    asking = {"stream": True, "stream_options": {"include_usage": True}}
    first = {"stream": {"stream": True}, "usage": asking, "document": {}}[recorded]
    question = _question(f"usage-{recorded}")
    _ask(chat, "miss", **question, **first)
    chunks = _ask(chat, "hit", **question, **asking)
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 16)
    assert all(chunk.usage is None for chunk in chunks[:-1])
    chunks = _ask(chat, "hit", **question, stream=True)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert _ask(chat, "hit", **question).usage.total_tokens == 16


@pytest.mark.parametrize("kind", RICH)
def a_stream_is_given_again_event_by_event(chat, kind):
    question = _question(f"again-{kind}", body=_stream(RICH[kind][0]))
    first = _ask(chat, "miss", **question, stream=True)
    assert _ask(chat, "hit", **question, stream=True) == first


def the_stream_helper_reads_a_converted_document(chat):
    question = _question("helper", tools=True)
    _ask(chat, "miss", **question, tools=[TOOL])
    _ask(chat, "hit", **question, tools=[TOOL])
    with chat.stream(**question, tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        completion = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    assert json.loads(completion.choices[0].message.tool_calls[0].function.arguments) == {"city": "Zürich"}


@pytest.mark.parametrize("recorded", ["stream", "document"])
def a_response_is_read_in_either_form(responses, recorded):
    question = {"model": f"gpt-response-{recorded}", "input": "hi"}
    _ask(responses, "miss", **question, **({"stream": True} if recorded == "stream" else {}))
    document = _ask(responses, "hit", **question)
    assert (document.status, document.output_text, document.usage.input_tokens) == ("completed", ANSWER, 11)
    events = _ask(responses, "hit", **question, stream=True)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == ANSWER
    assert events[-1].response.output_text == ANSWER


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "mock",
    "content": [
        {"type": "thinking", "thinking": "Let me think.", "signature": "c2ln"},
        {"type": "text", "text": "In Zürich 🚰"},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Zürich"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 5},
}
BLOCKS = [
    ({"type": "thinking", "thinking": "", "signature": ""},
     [{"type": "thinking_delta", "thinking": "Let me "}, {"type": "thinking_delta", "thinking": "think."},
      {"type": "signature_delta", "signature": "c2ln"}]),
    ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "In Zü"}, {"type": "text_delta", "text": "rich 🚰"}]),
    ({"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}},
     [{"type": "input_json_delta", "partial_json": '{"city": "Zü'}, {"type": "input_json_delta", "partial_json": 'rich"}'}]),
]


def _message_events():
    start = {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
    events = [{"type": "message_start", "message": start}]
    for index, (block, deltas) in enumerate(BLOCKS):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use", "stop_sequence": None}
    events += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}}, {"type": "message_stop"}]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events)


@pytest.mark.parametrize("recorded", ["stream", "document"])
def a_message_is_read_in_either_form(messages, recorded):
    body = _message_events() if recorded == "stream" else json.dumps(MESSAGE, ensure_ascii=False)
    question = {**_question(f"message-{recorded}", body=body), "max_tokens": 50}
    _ask(messages, "miss", **question, **({"stream": True} if recorded == "stream" else {}))
    document = _ask(messages, "hit", **question)
    assert document.to_dict()["content"] == MESSAGE["content"]
    assert (document.stop_reason, document.usage.input_tokens, document.usage.output_tokens) == ("tool_use", 11, 5)
    events = _ask(messages, "hit", **question, stream=True)
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop")
    with messages.stream(**question) as stream:
        final = stream.get_final_message()
    assert final.to_dict()["content"] == MESSAGE["content"]
    assert (final.stop_reason, final.usage.output_tokens) == ("tool_use", 5)


def a_hit_is_in_the_record_and_asks_nobody(cached, chat):
    question = _question("recorded")
    _ask(chat, "miss", **question)
    _ask(chat, "hit", **question, stream=True)
    records = cached.records("gpt-recorded", 2)
    assert records[-1]["cache"] == "hit"
    assert (records[-1]["input_tokens"], records[-1]["output_tokens"], records[-1]["usage_source"]) == (0, 0, "cache")
    assert len(cached.a.requests("recorded")) == len([record for record in records if record["cache"] == "miss"])
