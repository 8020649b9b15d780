"""Calls of tools in the text of a model: one small parser for each format that models are trained on.

    fenced   ```calculator            for any model: a block with the name of a tool; the tool is given its text
             12*34
             ```
    hermes   <tool_call>              Qwen, Hermes and their descendants
             {"name": "calculator", "arguments": {"expression": "12*34"}}
             </tool_call>
    llama    <|python_tag|>{"name": "calculator", "parameters": {"expression": "12*34"}}
                                      Llama 3, also without the mark

A call that cannot be read is a `BadCall`, whose reason is told to the policy. The text is untrusted: it is parsed as
JSON or passed on as text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kgym.answers import find_fences

MOST_CALLS = 8
"""Most calls in one turn; of more calls none are made."""
DEEPEST = 64
"""Deepest nesting of lists and objects in a call: parsers of servers end at 200, and some do not say so."""


class ToolError(Exception):
    """A tool raises this for a wrong call; the message is for the policy."""


@dataclass(frozen=True)
class Tool:
    """A function that the policy may call."""

    name: str
    description: str
    call: Callable[[Mapping[str, Any]], str]
    """Takes the arguments and returns a text. Raises ToolError."""
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, an object."""
    main: str | None = None
    """The argument that is the text of a block in the format `fenced`; without it the block has all arguments as a JSON
    object.
    """


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class BadCall:
    """A call that cannot be read or made."""

    reason: str


class Format(Protocol):
    """The format in which a model writes calls."""

    as_system: bool
    """Whether the instructions are the system message; otherwise they follow the question."""

    def instructions(self, tools: Sequence[Tool]) -> str:
        """Return the text that describes the tools to the policy."""

    def calls(self, text: str, tools: Sequence[Tool]) -> list[Call | BadCall]:
        """Return the calls in a text, in order; [] if it has none."""


def checked(call: Call, tools: Sequence[Tool]) -> Call | BadCall:
    """Return the call, or a `BadCall` if its tool does not exist or a required argument is missing."""
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        return BadCall(f"there is no tool {call.name!r}; the tools are {', '.join(tool.name for tool in tools)}")
    missing = [name for name in tool.parameters.get("required", ()) if name not in call.arguments]
    if missing:
        return BadCall(f"{call.name} needs the argument {missing[0]!r}")
    return call


class Fenced:
    """Blocks between lines of three backquotes that begin with the name of a tool."""

    as_system = False

    def instructions(self, tools: Sequence[Tool]) -> str:
        """Describe the tools in few words, since a small model has little room for them."""
        (first, *_) = tools
        lines = [f"- {tool.name}: {tool.description}{self._content(tool)}" for tool in tools]
        return "\n".join(
            [
                f"You may use tools. To use one, end your turn with a block that begins with ```{first.name} and ends "
                "with ```; you are then told what it returns.",
                *lines,
            ]
        )

    @staticmethod
    def _content(tool: Tool) -> str:
        return (
            ""
            if tool.main
            else f" The block is a JSON object: {json.dumps(dict(tool.parameters.get('properties', {})))}"
        )

    def calls(self, text: str, tools: Sequence[Tool]) -> list[Call | BadCall]:
        """See `Format`. Blocks in other languages are not calls."""
        found: list[Call | BadCall] = []
        by_name = {tool.name: tool for tool in tools}
        for name, content in find_fences(text):
            if name in by_name and content is not None:
                found.append(self._call(by_name[name], content))
            elif name in by_name:
                found.append(BadCall(f"the block ```{name} is not closed by a line with ```"))
        return found

    @staticmethod
    def _call(tool: Tool, text: str) -> Call | BadCall:
        if tool.main:
            return Call(tool.name, {tool.main: text})
        arguments = _object(text)
        return arguments if isinstance(arguments, BadCall) else Call(tool.name, arguments)


class Hermes:
    """JSON objects between `<tool_call>` and `</tool_call>`."""

    as_system = True

    def instructions(self, tools: Sequence[Tool]) -> str:
        """Describe the tools as the chat templates of these models do."""
        return "\n".join(
            [
                "# Tools\n",
                "You may call one or more functions to assist with the user query.\n",
                "You are provided with function signatures within <tools></tools> XML tags:\n<tools>",
                *(json.dumps(_signature(tool)) for tool in tools),
                "</tools>\n",
                "For each function call, return a json object with function name and arguments within "
                "<tool_call></tool_call> XML tags:",
                '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>',
            ]
        )

    def calls(self, text: str, tools: Sequence[Tool]) -> list[Call | BadCall]:
        """See `Format`."""
        found: list[Call | BadCall] = []
        for part in text.split("<tool_call>")[1:]:
            inside, end, _ = part.partition("</tool_call>")
            found.append(_named(_object(inside)) if end else BadCall("<tool_call> is not closed by </tool_call>"))
        return found


class Llama:
    """JSON objects after `<|python_tag|>`, or a turn that consists only of such objects. Code after the mark is for the
    tool `python`.
    """

    as_system = True
    _MARK = "<|python_tag|>"
    _BARE = re.compile(r'\s*\{\s*"(?:name|type)"\s*:')

    def instructions(self, tools: Sequence[Tool]) -> str:
        """Describe the tools as the chat templates of these models do."""
        return "\n\n".join(
            [
                "You have access to the following functions. To call a function, respond with JSON for a function call "
                "alone, in the "
                'format {"name": function name, "parameters": dictionary of argument name and its value}. Do not use '
                "variables.",
                *(json.dumps(_signature(tool)) for tool in tools),
            ]
        )

    def calls(self, text: str, tools: Sequence[Tool]) -> list[Call | BadCall]:
        """See `Format`."""
        _, marked, said = text.partition(self._MARK)
        if not marked:
            return list(self._objects(text)) if self._BARE.match(text) else []
        code = next((tool for tool in tools if tool.main and tool.name == "python"), None)
        if code is not None and not said.lstrip().startswith("{"):
            return [Call(code.name, {str(code.main): said})]
        return list(self._objects(said))

    @staticmethod
    def _objects(text: str) -> Iterator[Call | BadCall]:
        """Yield the objects in order; semicolons may separate them."""
        decoder, place = json.JSONDecoder(), 0
        text = text.strip()
        while place < len(text):
            try:
                value, end = decoder.raw_decode(text, place)
            except (ValueError, RecursionError):
                yield BadCall(f"the call is not JSON: {text[place : place + 40]!r}")
                return
            yield _named(_sound(value))
            place = end + len(text[end:]) - len(text[end:].lstrip("; \t\r\n"))


FORMATS: Mapping[str, Format] = {"fenced": Fenced(), "hermes": Hermes(), "llama": Llama()}


def _signature(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _object(text: str) -> dict[str, Any] | BadCall:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return BadCall(f"the call is not JSON: {error.msg}")
    except RecursionError:
        return BadCall(TOO_DEEP)
    except ValueError:
        return BadCall("a number in the call has too many digits")
    return _sound(value)


TOO_DEEP = "the call has too many lists and objects in each other"


def _sound(value: Any) -> dict[str, Any] | BadCall:
    """Return a JSON value if it is an object that every tool can be given and every server can be sent."""
    if not isinstance(value, dict):
        return BadCall("the call is not a JSON object")
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each) if _holds(item)]
    if level:
        return BadCall(TOO_DEEP)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return BadCall("the call has half of a surrogate pair, which is not a character")
    return value


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)


def _named(value: dict[str, Any] | BadCall) -> Call | BadCall:
    """Return the call that an object with `name` and `arguments` or `parameters` stands for."""
    if isinstance(value, BadCall):
        return value
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):  # some models write them as a text
        arguments = _object(arguments)
        if isinstance(arguments, BadCall):
            return arguments
    if not isinstance(value.get("name"), str) or not isinstance(arguments, dict):
        return BadCall('a call is a JSON object with "name", a text, and "arguments", an object')
    return Call(value["name"], arguments)
