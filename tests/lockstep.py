"""An engine without a model whose open rows grow by one character at a time, all together, as in a batch; completions
have given lengths.
"""

from kgym.types import Segment


class LockstepEngine:
    """`script(request)` is the whole text of a completion; each character is a token, and the end is one more, 0."""

    def __init__(self, script, *, rows=1000):
        self.version = 0
        self.requests = []
        self.steps = 0
        self._script = script
        self._rows = rows
        self._open = {}
        self._back = []

    def submit(self, requests):
        for request in requests:
            self.requests.append(request)
            self._open[request.id] = (request, [])

    def poll(self, timeout_s=None):
        while not self._back and self._open:
            self.steps += 1
            for name, (request, ids) in list(self._open.items())[: self._rows]:
                whole = [*map(ord, self._script(request)), 0]
                ids.append(whole[len(request.prefix_ids) + len(ids)])
                if ids[-1] == 0:
                    self._end(name, "stop")
                elif len(ids) >= request.max_tokens:
                    self._end(name, "length")
        back, self._back = self._back, []
        return back

    def abort(self, ids=None):
        for name in list(self._open) if ids is None else [name for name in ids if name in self._open]:
            self._end(name, "abort")

    def load(self, version, weights):
        assert not self._open
        self.version = version

    def sleep(self):
        pass

    def wake(self):
        pass

    def _end(self, name, reason):
        request, ids = self._open.pop(name)
        self._back.append(
            Segment(
                "".join(chr(i) for i in ids if i),
                token_ids=ids,
                engine_logprobs=[-0.5] * len(ids),
                prompt_ids=[ord(char) for message in request.prompt for char in message.content],
                finish_reason=reason,
                version=self.version,
                request_id=name,
            )
        )
