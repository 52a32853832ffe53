"""What the official SDKs make of a guarded gateway: values come back, filtered answers end as filtered ones do."""

import json

import anthropic
import openai
import pytest

import conftest

GUARDED = """\
guard:
  refusal: {{as: {form}, message: "{refusal}"}}
  checks:
    - {{name: pii, on: request, detect: [email], action: mask}}
    - {{name: names, on: request, keywords: ['ann "the fox" lee'], action: mask}}
    - {{name: banned, keywords: [internal codename], action: block}}
"""
REFUSAL = "This is not talked about here."
PHRASE = "internal codename"
MAIL = "alice@example.com"
NAME = 'ann "the fox" lee'
TOOL = {"type": "function", "function": {"name": "send", "parameters": {"type": "object", "properties": {}}}}


def _gateway(tmp_path_factory, form):
    folder = tmp_path_factory.mktemp(f"guarded-{form}")
    return conftest.Gateway(folder, GUARDED.format(form=form, refusal=REFUSAL))


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """Refuses with errors."""
    gateway = _gateway(tmp_path_factory, "error")
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def polite(tmp_path_factory):
    """Refuses with answers."""
    gateway = _gateway(tmp_path_factory, "completion")
    yield gateway
    gateway.stop()


def _openai(gateway):
    return openai.OpenAI(base_url=gateway.url, api_key="sk-client", max_retries=3, timeout=conftest.PATIENCE_S)


def _anthropic(gateway):
    url = gateway.url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=url, api_key="sk-client", max_retries=3, timeout=conftest.PATIENCE_S)


@pytest.fixture
def model(request):
    """A model of the test's own."""
    return "gpt-" + request.node.name.replace("[", "-").rstrip("]").lower()


def _ask(model, text, **script):
    """A chat request; `metadata`, in which the provider is told what to do, is no text to the guard."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "extra_body": {"user": model, "metadata": {"x_mock": {"a": script}}},
    }


def _sent(gateway, model):
    (seen,) = gateway.a.requests(model)
    assert MAIL not in seen["body"] and "the fox" not in seen["body"]
    return seen["json"]


def _text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def a_masked_chat_is_restored(strict, model):
    answer = _openai(strict).chat.completions.create(**_ask(model, f"I am {MAIL}", say="Hello [EMAIL_1]!"))
    assert answer.choices[0].message.content == f"Hello {MAIL}!"
    assert _sent(strict, model)["messages"][0]["content"] == "I am [EMAIL_1]"


def a_masked_stream_is_restored(strict, model):
    ask = _ask(model, f"I am {MAIL}, {NAME}", say="Hello [EMAIL_1] or [NAMES_1] !", write_size=3)
    chunks = list(_openai(strict).chat.completions.create(**ask, stream=True))
    assert _text(chunks) == f"Hello {MAIL} or {NAME} !"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert _sent(strict, model)["messages"][0]["content"] == "I am [EMAIL_1], [NAMES_1]"


def _tool_call(arguments, stream):
    """An answer that calls a tool; its arguments come in pieces of five characters."""
    head = {"id": "c1", "object": "chat.completion" + ".chunk" * stream, "created": 1, "model": "m"}

    def call(piece):
        function = {"name": "send", "arguments": piece}
        return {"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": function}]}

    if not stream:
        message = {"role": "assistant", "content": None, **call(arguments)}
        return json.dumps({**head, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    deltas = [call(arguments[at : at + 5]) for at in range(0, len(arguments), 5)]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    events = [f"data: {json.dumps({**head, 'choices': [choice]})}\n\n" for choice in choices]
    return "".join(events) + "data: [DONE]\n\n"


def values_come_back_in_tool_arguments(strict, model):
    body = _tool_call(json.dumps({"to": "[NAMES_1]", "at": "[EMAIL_1]"}), stream=False)
    answer = _openai(strict).chat.completions.create(**_ask(model, f"{NAME} {MAIL}", body=body), tools=[TOOL])
    call = answer.choices[0].message.tool_calls[0].function
    assert json.loads(call.arguments) == {"to": NAME, "at": MAIL}


def values_come_back_in_pieces_of_tool_arguments(strict, model):
    body = _tool_call(json.dumps({"to": "[NAMES_1]", "at": "[EMAIL_1]"}), stream=True)
    ask = _ask(model, f"{NAME} {MAIL}", body=body)
    chunks = _openai(strict).chat.completions.create(**ask, tools=[TOOL], stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    pieces = [delta.tool_calls[0].function.arguments for delta in deltas if delta.tool_calls]
    assert json.loads("".join(pieces)) == {"to": NAME, "at": MAIL}


@pytest.mark.parametrize("stream", [False, True])
def a_blocked_request_is_a_bad_request_and_not_asked_again(strict, model, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        _openai(strict).chat.completions.create(**_ask(model, PHRASE), stream=stream)
    assert (caught.value.code, caught.value.response.headers["x-should-retry"]) == ("content_policy_violation", "false")
    assert caught.value.body["message"] == REFUSAL
    last = model + "-last"
    _openai(strict).chat.completions.create(**_ask(last, "hi"))
    strict.records(last)
    assert len(strict.records(model)) == 1
    assert strict.a.requests(model) == []


def a_blocked_request_may_be_answered_as_filtered(polite, model):
    answer = _openai(polite).chat.completions.create(**_ask(model, PHRASE))
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("content_filter", REFUSAL)
    chunks = list(_openai(polite).chat.completions.create(**_ask(model, PHRASE), stream=True))
    assert (_text(chunks), chunks[-1].choices[0].finish_reason) == (REFUSAL, "content_filter")


@pytest.mark.parametrize("path", ["completions", "responses"])
def other_operations_are_answered_as_filtered(polite, model, path):
    client = _openai(polite)
    if path == "completions":
        (choice,) = client.completions.create(model=model, prompt=PHRASE).choices
        assert (choice.finish_reason, choice.text) == ("content_filter", REFUSAL)
        return
    answer = client.responses.create(model=model, input=PHRASE)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "content_filter")
    events = list(client.responses.create(model=model, input=PHRASE, stream=True))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "content_filter"
    assert [event.sequence_number for event in events] == list(range(len(events)))


def a_stream_that_is_cut_ends_as_filtered(polite, model):
    ask = _ask(model, "hi", say="Hello you internal codename X", gap_ms=60)
    chunks = list(_openai(polite).chat.completions.create(**ask, stream=True))
    assert _text(chunks).startswith("Hello") and PHRASE not in _text(chunks)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "content_filter"


def the_stream_helper_says_that_it_was_filtered(polite, model):
    ask = _ask(model, "hi", say="Hello you internal codename X", gap_ms=60)
    with _openai(polite).chat.completions.stream(**ask) as stream:
        with pytest.raises(openai.ContentFilterFinishReasonError):
            stream.get_final_completion()


def a_stream_that_is_cut_raises(strict, model):
    ask = _ask(model, "hi", say="Hello you internal codename X", gap_ms=60)
    seen = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in _openai(strict).chat.completions.create(**ask, stream=True):
            seen.append(chunk)
    assert _text(seen).startswith("Hello") and PHRASE not in _text(seen)
    assert caught.value.code == "content_policy_violation"


def _messages(model, text, **script):
    return {
        "model": model,
        "max_tokens": 50,
        "messages": [{"role": "user", "content": text}],
        "extra_body": {"user": model, "metadata": {"x_mock": {"a": script}}},
    }


def _event(event):
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _message(deltas):
    """A stream of the Messages API."""
    usage = {"input_tokens": 11, "output_tokens": 1}
    head = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
    head |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    events = [{"type": "message_start", "message": head}]
    events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for delta in deltas:
        events.append({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": delta}})
    events.append({"type": "content_block_stop", "index": 0})
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}})
    events.append({"type": "message_stop"})
    return "".join(_event(event) for event in events)


def _event_of(body, text):
    """Where the event begins in which `text` stands."""
    return body.rindex("\n\n", 0, body.index(text)) + 2


def a_masked_message_is_restored(strict, model):
    ask = _messages(model, f"I am {MAIL}", body=_message(["Hello [EM", "AIL_", "1]", "!"]), write_size=7)
    with _anthropic(strict).messages.stream(**ask) as stream:
        message = stream.get_final_message()
    assert (message.content[0].text, message.stop_reason) == (f"Hello {MAIL}!", "end_turn")
    assert _sent(strict, model)["messages"][0]["content"] == "I am [EMAIL_1]"


def a_blocked_message_is_a_bad_request_and_not_asked_again(strict, model):
    with pytest.raises(anthropic.BadRequestError) as caught:
        _anthropic(strict).messages.create(**_messages(model, PHRASE))
    assert caught.value.body["error"] == {"type": "invalid_request_error", "message": REFUSAL}
    last = model + "-last"
    _openai(strict).chat.completions.create(**_ask(last, "hi"))
    strict.records(last)
    assert len(strict.records(model)) == 1


def a_blocked_message_may_be_a_refusal(polite, model):
    answer = _anthropic(polite).messages.create(**_messages(model, PHRASE))
    assert (answer.stop_reason, answer.content[0].text) == ("refusal", REFUSAL)
    with _anthropic(polite).messages.stream(**_messages(model, PHRASE)) as stream:
        message = stream.get_final_message()
    assert (message.stop_reason, message.content[0].text) == ("refusal", REFUSAL)


def a_message_that_is_cut_stops_with_a_refusal(polite, model):
    body = _message(["Hello you", " the internal", " codename", " X"])
    ask = _messages(model, "hi", body=body, pause_at=_event_of(body, " the internal"), gap_ms=150)
    with _anthropic(polite).messages.stream(**ask) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "refusal"
    assert message.content[0].text.startswith("Hello") and "codename" not in message.content[0].text


def a_message_that_is_cut_raises(strict, model):
    body = _message(["Hello you", " the internal", " codename", " X"])
    ask = _messages(model, "hi", body=body, pause_at=_event_of(body, " the internal"), gap_ms=150)
    with pytest.raises(anthropic.APIStatusError) as caught:
        with _anthropic(strict).messages.stream(**ask) as stream:
            stream.get_final_message()
    assert caught.value.body["error"]["type"] == "invalid_request_error"
