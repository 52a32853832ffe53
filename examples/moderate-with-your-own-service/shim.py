"""A moderation service as content-guard asks it: python3 shim.py [ADDRESS:PORT]. Put yours behind judge()."""
import json, re, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROJECT = re.compile(r"\bproject heron\b", re.IGNORECASE)

def judge(text, direction, consumer, model):
    if "pick a lock" in text.lower():
        return {"verdict": "block", "category": "burglary", "risk": "high"}
    if PROJECT.search(text):
        return {"verdict": "mask", "category": "project", "risk": "medium", "replacement": PROJECT.sub("our project", text)}
    return {"verdict": "allow"}

class Shim(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1  # connections stay open, a reply is one write
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = json.dumps(judge(asked["text"], asked["direction"], asked["consumer"], asked["model"])).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

host, port = (sys.argv[1:] or ["127.0.0.1:9200"])[0].split(":")
ThreadingHTTPServer((host, int(port)), Shim).serve_forever()
