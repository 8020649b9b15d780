"""Servers of OpenEnv for tests, in one process: a number is to be guessed in two turns. Writes their ports on a line, and serves."""

import asyncio
import itertools
import os
import random
import socket
import sys
from functools import partial

import uvicorn
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State


STEPS = itertools.count()


class Guess(Action):
    text: str


class Told(Observation):
    text: str
    left: int


class Guessing(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.low, self.number, self.left = 0, 0, 2

    def reset(self, seed=None, episode_id=None, **kwargs):
        drawn = random.Random(None if self.kind == "unseeded" else seed)
        self.low, self.left = drawn.randrange(1000), 2
        self.number = self.low + (random.Random() if self.kind == "hidden" else drawn).randrange(100 if self.kind == "hidden" else 4)
        return Told(text=f"My number is {self.low} or up to 3 more.", left=self.left)

    def step(self, action, timeout_s=None, **kwargs):
        if action.text == "crash":
            raise KeyError("broken")
        if action.text == "exit":
            os._exit(1)
        if self.kind == "dying" and next(STEPS) >= 12:
            os._exit(1)
        self.left -= 1
        guess = int(action.text) if action.text.isdecimal() else -1
        if guess == self.number:
            return Told(text="right", left=self.left, done=True, reward=1.0)
        near = 0.25 * (self.low <= guess <= self.low + 3)
        hint = f"{self.number - guess} more" if self.kind == "hidden" else "more" if guess < self.number else "less"
        return Told(text=hint, left=self.left, done=not self.left, reward=near)

    @property
    def state(self):
        return State(step_count=2 - self.left)


async def serve(kinds):
    """`unseeded`: the first observation ignores the seed. `hidden`: the number does. `single`: one session at a time. `dying`: the process ends after
    some steps.
    """
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in kinds]
    print(*(listening.getsockname()[1] for listening in sockets), flush=True)
    apps = [create_fastapi_app(partial(Guessing, kind), Guess, Told, max_concurrent_envs=1 if kind == "single" else 64) for kind in kinds]
    servers = [uvicorn.Server(uvicorn.Config(app, log_level="error")) for app in apps]
    await asyncio.gather(*(server.serve([listening]) for server, listening in zip(servers, sockets, strict=True)))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
