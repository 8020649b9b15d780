"""`kgym runs view --serve`: a page that follows runs in progress, served to this machine alone.

    GET /            the page
    GET /state.json  what it shows; with ?seen=S nothing (204) if nothing has changed since the state S
    GET /page        the whole page, as kgym runs view writes it

The server listens only on 127.0.0.1 and refuses requests for other host names, so that a web page whose name resolves
to this machine cannot read the runs.
"""

import errno
import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kgym.board.live import seen, state_of
from kgym.board.view import names_of, run_page
from kgym.errors import ConfigError, KgymError
from kgym.page.document import render, render_live
from kgym.runs.folder import RunFolder

HOST = "127.0.0.1"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PORT = 8642
"""Default port."""


class LiveServer(ThreadingHTTPServer):
    """Serves the page of some runs."""

    daemon_threads = True

    def __init__(self, folders: Sequence[Path], port: int = PORT) -> None:
        """Listen on a port of this machine; 0 is any free port.

        Raises ConfigError for a folder that is not a run folder, and for a port that cannot be used.
        """
        for folder in folders:
            RunFolder(folder).read_manifest()
        self.folders = list(folders)
        self.one_at_a_time = threading.Lock()  # several tabs would read the same files at the same time
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "is in use" if in_use else f"cannot be used ({error})"
            raise ConfigError(f"--port {port} {why}; choose another, or 0 for any that is free") from None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer

    def do_GET(self) -> None:
        """Reply to a request."""
        asked = urlsplit(self.path)
        if self.headers.get("Host", "") not in {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}:
            self._send(403, "text/plain", "this page is served to this machine alone")
        elif asked.path == "/":
            self._send(200, "text/html", render_live(", ".join(names_of(self.server.folders).values())))
        elif asked.path == "/state.json":
            self._state(parse_qs(asked.query).get("seen", [""])[0])
        elif asked.path == "/page":
            self._page()
        else:
            self._send(404, "text/plain", "this page does not exist; the live page is /")

    def _state(self, known: str) -> None:
        if known == seen(self.server.folders):
            self._send(204, "application/json", "")
            return
        with self.server.one_at_a_time:
            state = state_of(self.server.folders)
        self._send(200, "application/json", json.dumps(state))

    def _page(self) -> None:
        try:
            with self.server.one_at_a_time:
                text = render(run_page(self.server.folders))
        except (KgymError, OSError) as error:
            self._send(503, "text/plain", f"{error}")
        else:
            self._send(200, "text/html", text)

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """Reply; a reader that has gone away is not an error."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the base class)
        """Print nothing."""


def serve(folders: Sequence[Path], port: int, started: Callable[[str], None]) -> None:
    """Serve until the process is interrupted; `started` is called with the address."""
    with LiveServer(folders, port) as server:
        started(server.url)
        server.serve_forever(poll_interval=0.2)
