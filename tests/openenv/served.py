"""Servers of OpenEnv for tests, in one process: a sum is to be found in two turns. Writes their ports on a line, and
serves.
"""

import asyncio
import itertools
import os
import random
import re
import socket
import sys
from functools import partial

import uvicorn
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State

LIVES = {"dying": 60, "early": 12}
"""Steps after which the process ends."""
STEPS = itertools.count()


class Said(Action):
    text: str


class Told(Observation):
    text: str
    left: int


class Sums(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, kind):
        super().__init__()
        self.kind, self.sum, self.number, self.left = kind, "", 0, 2

    def reset(self, seed=None, episode_id=None, **kwargs):
        drawn = random.Random(None if self.kind == "unseeded" else seed)
        one, other = drawn.randrange(100, 1000), drawn.randrange(100, 1000)
        self.sum, self.number, self.left = f"What is {one}+{other}?\nAnswer in \\boxed{{}}.", one + other, 2
        if self.kind == "hidden":
            self.number = random.randrange(1 << 30)
        return Told(text=self.sum, left=self.left)

    def step(self, action, timeout_s=None, **kwargs):
        if action.text == "crash":
            raise KeyError("broken")
        if action.text == "exit" or (self.kind in LIVES and next(STEPS) >= LIVES[self.kind]):
            os._exit(1)
        self.left -= 1
        guess = int((re.findall(r"\d+", action.text) or [0])[-1])
        if guess == self.number:
            return Told(text="right", left=self.left, done=True, reward=1.0)
        hint = f"It is {abs(self.number - guess)} {'more' if guess < self.number else 'less'}. {self.sum}"
        return Told(text=hint, left=self.left, done=not self.left, reward=0.25 * (abs(guess - self.number) < 4))

    @property
    def state(self):
        return State(step_count=2 - self.left)


async def serve(kinds):
    """Serve each kind on a separate port.

    `unseeded`: the first observation ignores the seed. `hidden`: its number does. `single`: one session at a time.
    `dying`, `early`: the process ends after so many steps (`LIVES`).
    """
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in kinds]
    print(*(listening.getsockname()[1] for listening in sockets), flush=True)
    apps = [
        create_fastapi_app(partial(Sums, kind), Said, Told, max_concurrent_envs=1 if kind == "single" else 64)
        for kind in kinds
    ]
    servers = [uvicorn.Server(uvicorn.Config(app, log_level="error")) for app in apps]
    await asyncio.gather(*(server.serve([listening]) for server, listening in zip(servers, sockets, strict=True)))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
