"""What the official SDKs of OpenAI and Anthropic make of refusals: a passing one is asked again, a terminal one is not."""

import json
import threading

import anthropic
import openai
import pytest

import conftest

TEXT = "Hello"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "mock",
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 5},
}
RETRIES = 3


class OpenAi:
    """Asks for chat completions."""

    sdk = openai
    answer = {}

    def __init__(self, gateway, key, retries):
        self.client = openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=retries)
        self.api = self.client.chat.completions

    @staticmethod
    def code(error):
        return error.code


class Anthropic:
    """Asks for messages; its key goes in `x-api-key`."""

    sdk = anthropic
    answer = {"body": json.dumps(MESSAGE), "content_type": "application/json"}

    def __init__(self, gateway, key, retries):
        url = gateway.url.removesuffix("/v1")
        self.client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=retries)
        self.api = self.client.messages

    @staticmethod
    def code(error):
        """Its own shape has no code: the header says it."""
        assert (error.body["type"], sorted(error.body["error"])) == ("error", ["message", "type"])
        return error.response.headers["x-sluice-error"]


@pytest.fixture(params=[OpenAi, Anthropic])
def caller(request, limited):
    """Makes an SDK's client with a key."""
    callers = []

    def make(key, retries=RETRIES):
        callers.append(request.param(limited, key, retries))
        return callers[-1]

    yield make
    for made in callers:
        made.client.close()


@pytest.fixture
def model(request):
    """A model, and so a bucket, of the test's own."""
    return "gpt-" + request.node.name.replace("[", "-").rstrip("]").lower()


def _ask(caller, model, **script):
    """Asks once; how often the SDK did so is in `retries_taken`."""
    return caller.api.with_raw_response.create(
        model=model,
        max_tokens=5,
        messages=[{"role": "user", "content": "hi"}],
        extra_body={"user": model, "x_mock": {"a": {**caller.answer, **script}}},
    )


def _decisions(gateway, model, count):
    return [record["limit"] for record in gateway.records(model, count)]


def a_used_up_quota_is_asked_for_once(caller, limited, model):
    client = caller("sk-spent")
    assert _ask(client, model).retries_taken == 0
    with pytest.raises(client.sdk.RateLimitError) as caught:
        _ask(client, model)
    assert (caught.value.status_code, client.code(caught.value)) == (429, "insufficient_quota")
    assert "retry-after" not in caught.value.response.headers
    # A caller without that limit comes last: whatever the SDK had asked again would stand before it in the log.
    _ask(caller("sk-single"), model)
    assert _decisions(limited, model, 3) == ["admitted", "refused:budget", "admitted"]
    assert len(limited.a.requests(model)) == 2


def a_limit_that_frees_is_asked_again_when_it_has(caller, limited, model):
    client = caller("sk-brief")
    _ask(client, model)
    answer = _ask(client, model)
    assert answer.retries_taken == 1, "it has waited as long as it was told, so it asked no third time"
    assert _decisions(limited, model, 3) == ["admitted", "refused:second", "admitted"]


def what_sdks_are_told_to_wait_is_in_the_refusal(caller, model):
    client = caller("sk-brief", retries=0)
    with pytest.raises(client.sdk.RateLimitError) as caught:
        for _ in range(50):
            _ask(client, model)
    headers = caught.value.response.headers
    assert client.code(caught.value) == "rate_limit_exceeded"
    assert 1 <= int(headers["retry-after-ms"]) <= 1_017
    assert int(headers["retry-after"]) == -(-int(headers["retry-after-ms"]) // 1_000)
    assert "x-should-retry" not in headers


def a_place_in_flight_is_asked_for_again(caller, limited, model):
    first = threading.Thread(target=lambda: _ask(caller("sk-single"), model, delay_ms=700))
    first.start()
    conftest.until("the first request", lambda: limited.a.requests(model))
    answer = _ask(caller("sk-single"), model)
    first.join()
    assert answer.retries_taken == 1
    decisions = _decisions(limited, model, 3)
    assert sorted(decisions) == ["admitted", "admitted", "refused:at-once"]


@pytest.mark.parametrize(
    ("key", "error", "code"),
    [
        ("sk-nobody", "AuthenticationError", "invalid_api_key"),
        ("sk-fenced", "PermissionDeniedError", "model_not_allowed"),
    ],
)
def a_caller_who_may_not_is_told_once(caller, limited, model, key, error, code):
    client = caller(key)

    def refusals():
        return [line for line in limited.log() if line["details"] == code]

    before = len(refusals())
    with pytest.raises(getattr(client.sdk, error)) as caught:
        _ask(client, model)
    assert client.code(caught.value) == code
    last = model + "-last"
    _ask(caller("sk-single"), last)
    limited.records(last)
    assert len(refusals()) == before + 1
    assert limited.a.requests(model) == []


def an_answer_is_read(caller, model):
    answer = _ask(caller("sk-single"), model).parse()
    text = answer.content[0].text if isinstance(answer, anthropic.types.Message) else answer.choices[0].message.content
    assert text.startswith(TEXT)
