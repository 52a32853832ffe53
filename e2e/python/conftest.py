"""Runs gateways over scripted providers and hands out SDK clients that know nothing but their base URLs.

`SLUICE_BIN` and `MOCK_PROVIDER_BIN` name the programs; left out, they are those of a `cargo build` in this checkout.
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.request

import openai
import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE_S = 30

GATEWAY = """\
version: 1
listen: 127.0.0.1:{listen}
admin: 127.0.0.1:{admin}
providers:
  a: {{url: "http://127.0.0.1:{a}/v1", keys: [sk-secret-a]}}
  b: {{url: "http://127.0.0.1:{b}/v1", keys: [sk-secret-b]}}
models:
  - match: ["gpt-*", "text-*"]
    targets: [{{provider: a}}]
    fallback: [{{provider: b, model: model-b}}]
timeouts: {{connect: 500ms, first_token: 1s, idle: 2s, request: 10s}}
retry: {{per_target: 1, backoff: 1ms}}
"""


def _binary(variable, name):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
    path = pathlib.Path(os.environ.get(variable, target / "debug" / name))
    assert path.is_file(), f"{path} is missing: run `cargo build -p sluice -p sluice-e2e`, or set {variable}"
    return path


def _free_port():
    """A port below those that outgoing connections take."""
    while True:
        port = random.randrange(12_000, 20_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def until(what, probe):
    """Polls until `probe` finds something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_S} s in vain for {what}")


class Provider:
    """A scripted provider; requests tell it in `x_mock` what to do."""

    def __init__(self, name):
        command = [_binary("MOCK_PROVIDER_BIN", "mock-provider"), "--name", name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def requests(self, user):
        """Requests of one test, which it marks by `user`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/__requests") as answer:
            return [seen for seen in json.load(answer) if (seen["json"] or {}).get("user") == user]

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


class Gateway:
    """`sluice run` over providers `a` and, as its fallback, `b`; `sections` are added to its gateway.yaml."""

    def __init__(self, folder, sections=""):
        self.folder = folder
        self.a, self.b = Provider("a"), Provider("b")
        listen = _free_port()
        file = folder / "gateway.yaml"
        text = GATEWAY.format(listen=listen, admin=_free_port(), a=self.a.port, b=self.b.port)
        file.write_text(text + sections)
        self.errors = folder / "stderr"
        logs = ["--access-log", folder / "access.log", "--envoy-log", folder / "envoy.log", "--concurrency", "1"]
        self.process = subprocess.Popen(
            [_binary("SLUICE_BIN", "sluice"), "run", file, *logs], cwd=CHECKOUT, stderr=self.errors.open("w")
        )
        self.url = f"http://127.0.0.1:{listen}/v1"
        until("the gateway", self._is_ready)

    def _is_ready(self):
        text = self.errors.read_text()
        assert self.process.poll() is None, text
        return "ready on " in text

    def log(self):
        """The access log as far as it is written."""
        text = (self.folder / "access.log").read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def records(self, model, count=1):
        """Waits for the records of the requests that asked for `model`."""

        def found():
            records = [line.get("ai_log") or {} for line in self.log()]
            mine = [record for record in records if record.get("model") == model]
            return mine if len(mine) >= count else None

        return until(f"{count} records of {model}", found)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        self.a.stop()
        self.b.stop()
        assert status == 0, self.errors.read_text()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    assert "ENVOY_BIN" in os.environ, "ENVOY_BIN names the Envoy to test with"
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.stop()


LIMITED = """\
consumers:
  - {name: spent, keys: [sk-spent]}
  - {name: brief, keys: [sk-brief]}
  - {name: single, keys: [sk-single]}
  - {name: fenced, keys: [sk-fenced], models: "gpt-other"}
limits:
  - {name: budget, by: [model], when: {consumer: spent}, requests: 1, per: 30d, terminal: true}
  - {name: second, by: [model], when: {consumer: brief}, requests: 1, per: 1s}
  - {name: at-once, by: [model], when: {consumer: single}, in_flight: 1}
"""


@pytest.fixture(scope="session")
def limited(tmp_path_factory):
    """A gateway whose callers have keys and limits, one bucket for each model."""
    gateway = Gateway(tmp_path_factory.mktemp("limited"), LIMITED)
    yield gateway
    gateway.stop()


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=gateway.url, api_key="sk-client", max_retries=0, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
async def async_client(gateway):
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key="sk-client", max_retries=0) as client:
        yield client


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def ask(request):
    """Arguments of a chat request of this test: a model and a user of its own, and what providers shall do."""

    def arguments(**scripts):
        name = request.node.name.replace("[", "-").rstrip("]")
        body = {"x_mock": scripts} if scripts else {}
        return {
            "model": f"gpt-{name}",
            "user": name,
            "messages": [{"role": "user", "content": "hi"}],
            "extra_body": body,
        }

    return arguments
