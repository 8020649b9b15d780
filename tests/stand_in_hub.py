"""A stand-in for the API of the Hugging Face Hub: as much of it as an upload needs, on a port of this machine."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class StandIn(ThreadingHTTPServer):
    """Keeps what was uploaded."""

    daemon_threads = True

    def __init__(self, token):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.repositories = {}
        """By name: {"private": bool, "files": {path: bytes}}."""
        self.objects = {}
        """Large files by sha256."""
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"POST {self.path}")
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._say(401, {"error": "Invalid credentials in Authorization header"})
            return
        for pattern, act in (
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", self._yaml),
            (r"/api/models/(.+)/preupload/main", self._preupload),
            (r"/(.+)\.git/info/lfs/objects/batch", self._batch),
            (r"/api/models/(.+)/commit/main", self._commit),
        ):
            if match := re.fullmatch(pattern, self.path.partition("?")[0]):
                act(body, *match.groups())
                return
        self._say(404, {"error": f"the stand-in has no {self.path}"})

    def do_GET(self):
        self.server.asked.append(f"GET {self.path}")
        match = re.match(r"/api/models/([^?]+?)(?:/revision/main)?(?:\?.*)?$", self.path)
        known = match and self.server.repositories.get(match[1])
        if known is None:
            self._say(404, {"error": "Repository not found"})
        else:
            siblings = [{"rfilename": name} for name in known["files"]]
            self._say(
                200,
                {"id": match[1], "modelId": match[1], "sha": COMMIT, "private": known["private"], "siblings": siblings},
            )

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.objects[oid] = body
        self._say(200, {})

    def _create(self, body):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if name.startswith("forbidden/"):
            self._say(403, {"error": f"You may not create a model there, {self.headers['Authorization']}"})
        elif name in self.server.repositories:
            self._say(409, {"error": "You already created this model repo", "url": f"{self.server.url}/{name}"})
        else:
            self.server.repositories[name] = {
                "private": asked.get("private") is True or asked.get("visibility") == "private",
                "files": {},
            }
            self._say(200, {"url": f"{self.server.url}/{name}", "name": name, "id": name})

    def _yaml(self, body):
        asked = json.loads(body)
        assert asked["repoType"] == "model"
        assert asked["content"].startswith("---\n")
        self._say(200, {"errors": [], "warnings": []})

    def _preupload(self, body, name):
        files = json.loads(body)["files"]
        modes = [{"path": file["path"], "uploadMode": _mode(file["path"]), "shouldIgnore": False} for file in files]
        self._say(200, {"files": modes})

    def _batch(self, body, name):
        objects = []
        for asked in json.loads(body)["objects"]:
            action = {"upload": {"href": f"{self.server.url}/upload/{asked['oid']}", "header": {}}}
            objects.append({**asked, "actions": action, "authenticated": True})
        self._say(200, {"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")

    def _commit(self, body, name):
        files = self.server.repositories[name]["files"]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
        url = f"{self.server.url}/{name}/commit/{COMMIT}"
        self._say(200, {"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})

    def _say(self, status, value, kind="application/json"):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def _mode(path):
    return "lfs" if path.endswith(".safetensors") else "regular"


@contextmanager
def stand_in(token):
    """Serve until the block ends."""
    server = StandIn(token)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
