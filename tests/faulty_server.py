"""A server of chat completions that answers sums, and fails on request: for tests of the engine `openai`.

    with FaultyServer(faults=["429", "cut", "slow", "malformed", "500", ""]) as server:
        server.url, server.answered

Each prompt meets the faults in turn, from its own place, before it is answered. Real HTTP on a port of the system's
choice.
"""

import json
import re
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-secret-of-the-test"


class FaultyServer:
    """Counts what it is asked and what it answers."""

    def __init__(self, faults=(), *, n_faults=2, key=None, slow_s=5.0, reasoning=False):
        self.faults, self.n_faults, self.key, self.slow_s, self.reasoning = (
            list(faults),
            n_faults,
            key,
            slow_s,
            reasoning,
        )
        self.asked, self.answered, self.failed = Counter(), Counter(), Counter()
        self.bodies = []
        self.models = ["served"]  # or None, for a server that does not list them
        self.headers_429 = [("retry-after", "0.05")]
        self.fault_of = None  # a function from the number of a request, counted over all prompts
        self.change = None  # a function that changes an answer before it is sent
        self.lock = threading.Lock()
        self.most_at_once = self._at_once = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                if server.models is None:
                    self.reply(404, {"detail": "Not Found"})
                else:
                    self.reply(401 if server.refused(self) else 200, {"data": [{"id": name} for name in server.models]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.serve(self, body)

            def reply(self, status, value, headers=()):
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in headers:
                    self.send_header(name, text)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # a client that gave up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def settle(self):
        """Wait until nothing is being answered, and return how many answers there were."""
        while self._at_once:
            time.sleep(0.01)
        return sum(self.answered.values())

    def refused(self, handler):
        return self.key is not None and handler.headers.get("authorization") != f"Bearer {self.key}"

    def serve(self, handler, body):
        prompt = body["messages"][-1]["content"], body.get("seed")
        with self.lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.bodies.append(body)
            number = self.asked[prompt]
            self.asked[prompt] += 1
            fault = (
                self.faults[(len(prompt[0]) + number) % len(self.faults)]
                if self.faults and number < self.n_faults
                else ""
            )
            if self.fault_of is not None:
                fault = self.fault_of(sum(self.asked.values()) - 1) or ""
            self.failed[fault] += bool(fault)
        try:
            self._answer(handler, body, prompt, fault)
        finally:
            with self.lock:
                self._at_once -= 1

    def _answer(self, handler, body, prompt, fault):
        if self.refused(handler):
            handler.reply(401, {"error": {"message": f"wrong key {handler.headers.get('authorization')}"}})
        elif fault == "429":
            handler.reply(429, {"error": {"message": "slow down"}}, self.headers_429)
        elif fault in ("500", "503"):
            handler.reply(int(fault), b"<html>oops</html>")
        elif fault == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "half":
            handler.send_response(200)
            handler.send_header("content-length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices": [')
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "slow":
            time.sleep(self.slow_s)
            handler.close_connection = True
        elif body["model"] not in ("served", *(self.models or ())):
            handler.reply(404, {"error": {"message": "no such model"}})
        elif fault == "malformed":
            handler.reply(200, b'{"choices": [{"message"')
        elif fault == "empty":
            handler.reply(200, {"choices": []})
        elif fault == "400":
            handler.reply(400, {"error": {"message": "temperature is not a number"}})
        elif fault == "context" or (fault == "budget" and body["max_tokens"] > 1):
            handler.reply(400, {"error": {"message": "This model's maximum context length is 8 tokens"}})
        else:
            if fault == "late":
                time.sleep(self.slow_s)
            answer = self._completion(prompt[0], body)
            if self.change is not None:
                self.change(answer)
            handler.reply(200, answer)
            with self.lock:
                self.answered[prompt] += 1

    def _completion(self, prompt, body):
        """Answer a sum of two numbers; every third one wrongly."""
        numbers = [int(text) for text in re.findall(r"\d+", prompt)]
        value = sum(numbers[-2:]) + (sum(numbers) % 3 == 0)
        message = {"role": "assistant", "content": f"so it is \\boxed{{{value}}}"}
        if self.reasoning:
            message["reasoning_content"] = "I add them"
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 7}
        return {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
            "model": body["model"],
        }
