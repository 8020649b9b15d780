"""A task with tools: the problems of another environment, and tools that the policy may call before its answer.

    class Calculator(ToolTask):
        def tools(self): return (Tool("calculator", "exact arithmetic", call=..., parameters=..., main="expression"),)

A turn without a call is the last one, which the verifier of the other environment judges. The output of a tool is
untrusted, like the text of the policy, and bounded in length.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from kgym.answers import conclusion
from kgym.envs.setup import make_task
from kgym.envs.task import ERROR, Task, TaskOptions
from kgym.envs.toolcalls import FORMATS, MOST_CALLS, BadCall, Call, Format, Tool, ToolError, checked
from kgym.types import Chat, Episode, Message, Problem, ProblemSource


class ToolOptions(TaskOptions):
    """Options for the problems, and for how tools are called."""

    problems: str = Field(min_length=1)
    """Name of the environment with the problems; its verifier judges the last turn."""
    problem_options: dict[str, Any] = Field(default_factory=dict)
    """Options of that environment: `env.problem_options.difficulty=3`."""
    format: Literal["fenced", "hermes", "llama"] = "fenced"
    """How tools are described and called. `fenced`: blocks with the name of a tool, for any model. `hermes`:
    `<tool_call>`, as Qwen and Hermes are trained. `llama`: JSON, with or without `<|python_tag|>`, as Llama 3 is
    trained.
    """
    max_output: int = Field(2000, ge=80)
    """Most characters of a tool's output; of a longer output the beginning and the end are kept."""


class ToolTask(ABC):
    """Follows `kgym.envs.task.Task` and `Responds`. Subclasses define `tools`, and may set `slow` and `max_turns`."""

    Options: ClassVar[type[ToolOptions]] = ToolOptions
    max_turns = 8
    slow = False

    def __init__(self, options: ToolOptions) -> None:
        """Raises as `make_task` does for the other environment."""
        self.options = options
        self._problems: Task = make_task(options.problems, options.problem_options)
        self._format = FORMATS[options.format]
        self.splits = self._problems.splits
        self.max_tokens = 2 * self._problems.max_tokens

    @abstractmethod
    def tools(self) -> Sequence[Tool]:
        """Return the tools; it is called once."""

    @cached_property
    def _tools(self) -> tuple[Tool, ...]:
        return tuple(self.tools())

    @property
    def verifier(self) -> str | Mapping[str, str]:
        """The verifier of the other environment."""
        return self._problems.verifier

    def source(self, split: str) -> ProblemSource:
        """Return the problems of the other environment."""
        return self._problems.source(split)

    def prompt(self, problem: Problem) -> Chat:
        """Return the prompt of the other environment with a description of the tools."""
        return with_tools(self._problems.prompt(problem), self._format, self._tools)

    def respond(self, episode: Episode) -> Message | None:
        """Make the calls of the newest turn, in order, and return their outputs; None if it has no calls.

        Calls inside reasoning are not made.
        """
        calls = self._format.calls(conclusion(episode.last_turn).text, self._tools)
        if not calls:
            return None
        if len(calls) > MOST_CALLS:
            calls = [BadCall(f"{len(calls)} calls in one turn; at most {MOST_CALLS} are allowed, so none was made")]
        return Message("tool", "\n".join(self._bounded(self._made(call)) for call in calls))

    def _made(self, call: Call | BadCall) -> str:
        """Return the output of a call, or its error."""
        call = checked(call, self._tools) if isinstance(call, Call) else call
        if isinstance(call, BadCall):
            return f"{ERROR}{call.reason}"
        tool = next(tool for tool in self._tools if tool.name == call.name)
        try:
            return tool.call(call.arguments)
        except ToolError as error:
            return f"{ERROR}{error}"

    def _bounded(self, text: str) -> str:
        most = self.options.max_output
        if len(text) <= most:
            return text
        half = (most - 40) // 2
        return f"{text[:half]}\n[... {len(text) - 2 * half} characters are left out ...]\n{text[-half:]}"


def with_tools(chat: Chat, call_format: Format, tools: Sequence[Tool]) -> Chat:
    """Return a conversation whose system message, or last message, tells the policy about the tools."""
    if not tools:
        return chat
    about = call_format.instructions(tools)
    if not call_format.as_system:
        return (*chat[:-1], chat[-1]._replace(content=f"{chat[-1].content}\n{about}"))
    if chat[0].role == "system":
        return (chat[0]._replace(content=f"{chat[0].content}\n\n{about}"), *chat[1:])
    return (Message("system", about), *chat)


def text_argument(arguments: Mapping[str, Any], name: str) -> str:
    """Return an argument that has to be a text; a number is converted to its text. Raises ToolError."""
    value = arguments[name]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    raise ToolError(f"the argument {name!r} has to be a text")
