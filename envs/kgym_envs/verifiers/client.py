"""A client of verifiers that returns the turns of a policy and records the environment's replies between them.

It imports verifiers, so it is imported only where an episode is played.
"""

import json
from collections.abc import Sequence
from typing import Any

from verifiers.clients import Client
from verifiers.errors import OverlongPromptError
from verifiers.types import Response, ResponseMessage, ToolCall

from kgym.answers import conclusion
from kgym.envs.task import ERROR
from kgym.envs.toolcalls import FORMATS, BadCall, Tool, checked
from kgym.errors import DataError
from kgym.neutral import encodable
from kgym.types import Chat, Message


class Turns(Client):
    """The policy of one episode. Calls of tools are read from the text of a turn, in one of the formats of
    `kgym.envs.toolcalls`; those in reasoning do not count.

    When the turns are used up, the prompt is reported as too long, as verifiers does for an episode whose budget is
    spent.
    """

    def __init__(self, turns: Sequence[str], call_format: str) -> None:
        super().__init__(None)
        self.turns, self.format = turns, FORMATS[call_format]
        self.prompt: Chat | None = None
        self.replies: list[Message] = []
        """The environment's reply to each turn, if it asked for another turn."""
        self.tools: tuple[Tool, ...] = ()
        self.asks = False
        """Whether the environment asked for a turn after the last one."""
        self._said = 0
        self._seen: list[Any] = []
        self._wrong: dict[str, str] = {}
        """Why a call cannot be made, by the id of the call."""

    async def get_native_response(
        self, prompt: Any, model: str, sampling_args: Any, tools: Any = None, **kwargs: Any
    ) -> Any:
        """Return the next turn. Raises OverlongPromptError if there is none, DataError for a prompt that does not
        continue the conversation or has parts other than text.
        """
        self.tools = tuple(Tool(tool.name, tool.description, str, tool.parameters) for tool in tools or ())
        self._hear(prompt)
        if self._said == len(self.turns):
            self.asks = True
            raise OverlongPromptError
        text = self.turns[self._said]
        self._said += 1
        message = ResponseMessage(
            content=text, tool_calls=self._calls(text) or None, finish_reason="stop", is_truncated=False
        )
        self._seen = [*prompt, message]
        return Response(id=f"turn{self._said}", created=0, model=model, message=message)

    def _hear(self, prompt: Sequence[Any]) -> None:
        if self.prompt is None:
            self.prompt = tuple(Message("user" if said.role == "text" else said.role, _text(said)) for said in prompt)
            return
        n_seen = len(self._seen)
        if [(said.role, said.content) for said in prompt[:n_seen]] != [
            (said.role, said.content) for said in self._seen
        ]:
            raise DataError("the environment rewrites the conversation; kgym needs one that only continues it")
        new = prompt[n_seen:]
        if any(said.role == "assistant" for said in new):
            raise DataError("the environment adds a turn of the policy; only the policy's own turns can be used")
        role = "tool" if all(said.role == "tool" for said in new) else "user"
        self.replies.append(Message(role, "\n".join(map(self._shown, new))))

    def _shown(self, said: Any) -> str:
        wrong = self._wrong.get(getattr(said, "tool_call_id", ""))
        return f"{ERROR}{wrong}" if wrong else _text(said)

    def _calls(self, text: str) -> list[Any]:
        calls = self.format.calls(conclusion(text).text, self.tools) if self.tools else []
        found = []
        for number, call in enumerate(calls):
            name = f"call{self._said}.{number}"
            sound = call if isinstance(call, BadCall) else checked(call, self.tools)
            if isinstance(sound, BadCall):
                self._wrong[name] = sound.reason
            made = (call.name, json.dumps(dict(call.arguments))) if not isinstance(call, BadCall) else ("", call.reason)
            found.append(ToolCall(id=name, name=made[0], arguments=made[1]))
        return found

    # verifiers' own form of messages is kept

    def setup_client(self, config: Any) -> None:
        """Do nothing: it has no server."""

    async def to_native_tool(self, tool: Any) -> Any:
        """Return it unchanged."""
        return tool

    async def to_native_prompt(self, messages: Any) -> tuple[Any, dict[str, Any]]:
        """Return it unchanged."""
        return messages, {}

    async def raise_from_native_response(self, response: Any) -> None:
        """Do nothing: a turn is never invalid."""

    async def from_native_response(self, response: Any) -> Any:
        """Return it unchanged."""
        return response

    async def close(self) -> None:
        """Do nothing."""


def _text(said: Any) -> str:
    if isinstance(said.content, str):
        return encodable(said.content)
    parts = [part.get("text") if part.get("type") == "text" else None for part in said.content or ()]
    if None in parts:
        raise DataError("a message of the environment has parts other than text")
    return encodable("\n".join(map(str, parts)))
