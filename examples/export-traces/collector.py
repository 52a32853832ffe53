"""A collector that prints spans: python3 collector.py [ADDRESS:PORT]. `GET /` waits for the next whole request."""
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def fields(data):
    """The fields of a protobuf message: number and value. https://protobuf.dev/programming-guides/encoding/"""
    at = 0
    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value
    while at < len(data):
        tag = varint()
        length = {0: 0, 1: 8, 2: None, 5: 4}[tag & 7]
        if tag & 7 == 0:
            yield tag >> 3, varint()
            continue
        length = varint() if length is None else length
        yield tag >> 3, data[at : at + length]
        at += length

def each(data, *path):
    """What stands at this path of field numbers."""
    for number, value in fields(data):
        if number == path[0]:
            yield from each(value, *path[1:]) if path[1:] else [value]

# https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
def span(data):
    first = lambda number: next(each(data, number), b"")
    told = {next(each(one, 1)).decode(): next(each(one, 2, 1), b"").decode() for one in each(data, 9)}
    return {"id": first(2), "parent": first(4), "name": first(5).decode(), "server": first(6) == 2, "told": told}

waiting, attempts, come = [], [], threading.Condition()

def take(spans):
    for one in spans:
        if not one["server"]:
            attempts.append(one)
            continue
        of_it = [attempt for attempt in attempts if attempt["parent"] == one["id"]]
        waiting.append("".join([text(one, ""), *(text(attempt, "  ") for attempt in of_it)]))
        print(waiting[-1], flush=True)

def text(one, indent):
    told = {name: value for name, value in one["told"].items() if name.startswith(("gen_ai.", "sluice.", "error.type"))}
    lines = [f"{indent}  {name}: {value}\n" for name, value in sorted(told.items())]
    return "".join([f"{indent}{one['name']}\n", *lines])

class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        with come:
            take(span(data) for data in each(body, 1, 2, 2))
            come.notify_all()
        self.answer(b"")

    def do_GET(self):
        with come:
            come.wait_for(lambda: waiting, timeout=10)
            self.answer((waiting.pop(0) if waiting else "no spans\n").encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

host, port = (sys.argv[1:] or ["127.0.0.1:4318"])[0].split(":")
ThreadingHTTPServer((host, int(port)), Collector).serve_forever()
