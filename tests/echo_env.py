"""An environment that replies with what was said, quickly or slowly, or that fails."""

import time

from kgym.envs.generated import GeneratedSource
from kgym.envs.task import TaskOptions
from kgym.errors import SandboxError
from kgym.hookspecs import EnvInfo, hookimpl
from kgym.types import Message
from kgym_envs.arithmetic import FAMILIES, Arithmetic

kgym_api = 1


class Echo(Arithmetic):
    """Replies with what was said, until it is told to stop or a box is there."""

    class Options(TaskOptions):
        """One."""

        slow_s: float = -1.0
        fails: str = ""
        until: str = "boxed"

    max_turns = 6
    max_tokens = 400

    def __init__(self, options):
        self.options = options
        self.slow = options.slow_s >= 0

    def source(self, split):
        return GeneratedSource("arithmetic", 1, split, FAMILIES, (1,))

    def respond(self, episode):
        if self.options.fails:
            raise {"sandbox": SandboxError("no bwrap"), "other": ZeroDivisionError("oh")}[self.options.fails]
        if self.slow:
            time.sleep(self.options.slow_s * (episode.attempt % 3))
        said = episode.last_turn
        return None if self.options.until in said else Message("tool", f"you said {said[:12]}")


@hookimpl
def kgym_register_envs():
    yield EnvInfo(name="echo", target="echo_env:Echo")
