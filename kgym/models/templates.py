"""The chat template of a model: checked once in a separate process, then rendered here, with errors that name it.

A template is code by the author of the model folder. `transformers` runs it in a sandbox without access to files and
Python, which does not prevent endless loops or texts of gigabytes. So its first conversations are rendered by
`templatecheck.py`, within limits.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from kgym.errors import ConfigError, UnknownName
from kgym.models import templatecheck
from kgym.types import Chat, Message

RESERVED = {
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "conversation",
    "chat_template",
    "tokenize",
    "return_dict",
}
"""Names that belong to the call and not to the template's user."""
WALL_S = 60.0
"""Time limit of the check, start of the process included; its computing time is bounded by `templatecheck.CPU_S`."""
PROBE = "KGYM PROBE 7"
REPLY = "KGYM REPLY 8"
THINKING = "<think>"

ASKED: Chat = (Message("user", "QUESTION"),)
_ANSWERED: Chat = (*ASKED, Message("assistant", PROBE))
_EXAMPLES = (
    (ASKED, False),
    (_ANSWERED, True),
    ((Message("system", "SYSTEM"), *ASKED), False),
    ((*_ANSWERED, *ASKED), False),
    ((*_ANSWERED, Message("tool", "REPLY")), False),
)
"""Conversations, and whether they end in a turn of the assistant."""


class ChatTemplate:
    """The template of a tokenizer with the values of its variables. `whose` names the model in messages.

    Raises ConfigError if there is no template, if it fails or does not end, and for a variable that it does not have.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, whose: str, variables: Mapping[str, Any] | None = None
    ) -> None:
        if tokenizer.chat_template is None:
            raise ConfigError(f"the tokenizer of {whose} has no chat template; give it one, or use a chat model")
        self._tokenizer = tokenizer
        self._whose = whose
        self._variables = dict(variables or {})
        self._reply_roles: set[str] | None = None
        self.source: str = _source(tokenizer)
        values = json.dumps({**tokenizer.special_tokens_map, **self._variables}, sort_keys=True, default=str)
        found = json.loads(_checked(self.source, values))
        if found["over"]:
            raise self._error(found["over"])
        self._refuse_unknown(found["variables"])
        self.text(ASKED)  # raises if the template is wrong

    def examples(self) -> list[str]:
        """Return small conversations as text, without those that the template refuses."""
        texts = []
        for chat, answered in _EXAMPLES:
            with contextlib.suppress(ConfigError):
                texts.append(self.text(chat, answered=answered))
        return texts

    def text(self, chat: Chat, *, answered: bool = False) -> str:
        """Return a conversation as text; `answered` if it ends in a turn of the assistant and is not to be continued.

        Raises ConfigError, with what the template says, if it refuses the conversation.
        """
        messages = [message._asdict() for message in chat]
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=not answered, tokenize=False, **self._variables
            )
        except Exception as error:
            raise self._error(f"{type(error).__name__}: {error}") from error
        return text

    def after_an_answer(self) -> str:
        """Return what the template writes after the assistant's last turn; "" if that is unknown."""
        try:
            _, found, rest = self.text(_ANSWERED, answered=True).rpartition(PROBE)
        except ConfigError:
            return ""
        return rest if found else ""

    # --- several turns

    def after_an_answer_and(self, reply: Message) -> str:
        """Return what the template writes between one turn of the assistant and the next: the end of the first, the
        reply, and the beginning of the next. Text before that is not rendered again.

        Raises ConfigError if that is unknown because the template leaves earlier turns out or changes their order.
        """
        return self._between(reply._replace(role=self._reply_role(reply.role)))

    def turns_note(self) -> str:
        """Return what the template changes in earlier turns when a conversation continues; "" for nothing.

        Raises ConfigError if it cannot continue after a turn of the assistant.
        """
        open_already = self.text(ASKED).rstrip().endswith(THINKING)
        thought = f"{'' if open_already else THINKING}\nREASON\n</think>\n\n{PROBE}"
        if not self._grows(PROBE):
            return "though the chat template writes an earlier turn in another way than the newest"
        if not self._grows(thought):
            return (
                "with the reasoning of earlier turns, which the chat template leaves out when it renders a whole "
                "conversation"
            )
        return ""

    def _grows(self, answer: str) -> bool:
        """Whether three turns joined are the conversation rendered at once."""
        reply = Message(self._reply_role("tool"), REPLY)
        between = self._between(reply)
        chat = (*ASKED, *(Message("assistant", answer), reply) * 2)
        return self.text(chat) == f"{self.text(ASKED)}{answer}{between}{answer}{between}"

    def _between(self, reply: Message) -> str:
        return self.text((*_ANSWERED, reply)).partition(PROBE)[2]

    def _reply_role(self, role: str) -> str:
        """Return the role itself, or `user` where the template has no role for tool results."""
        if self._reply_roles is None:
            self._reply_roles = {role for role in ("tool", "user") if self._takes_reply(role)}
        if not self._reply_roles:
            raise self._error(
                "it cannot continue after a turn of the assistant; take a model whose template can, or an environment "
                "with one turn"
            )
        return role if role in self._reply_roles else "user"

    def _takes_reply(self, role: str) -> bool:
        """Whether a reply in this role is written, after the assistant's turn; some templates omit unknown roles."""
        try:
            whole = self.text((*_ANSWERED, Message(role, REPLY)))
        except ConfigError:
            return False
        before, _, rest = whole.partition(PROBE)
        return REPLY in rest and REPLY not in before and rest != self.before_the_next("assistant")

    def before_the_next(self, role: str) -> str:
        """Return what the template writes after a turn of the assistant when a message in this role follows, that
        message included; "" if it refuses it.
        """
        try:
            return self._between(Message(role, REPLY))
        except ConfigError:
            return ""

    def _refuse_unknown(self, known: Sequence[str]) -> None:
        for name in self._variables:
            if name in RESERVED:
                raise ConfigError(f"template.{name}: this name belongs to kgym; a chat template variable has another")
            if known and name not in known:
                raise UnknownName.near(f"variable of the chat template of {self._whose}", name, set(known) - RESERVED)

    def _error(self, reason: str) -> ConfigError:
        return ConfigError(
            f"the chat template of {self._whose} cannot be used: {' '.join(reason.split())[:300].rstrip(' :')}"
        )


def _source(tokenizer: PreTrainedTokenizerBase) -> str:
    template = tokenizer.get_chat_template()
    assert isinstance(template, str)
    return template


@lru_cache(maxsize=64)
def _checked(template: str, values: str) -> str:
    """Return the JSON that `templatecheck.py` writes, or a replacement if a limit has ended the process."""
    conversations = [[[message._asdict() for message in chat], not answered] for chat, answered in _EXAMPLES]
    asked = json.dumps({"template": template, "values": json.loads(values), "conversations": conversations})
    command = [sys.executable, "-P", str(Path(templatecheck.__file__))]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=asked, capture_output=True, text=True, timeout=WALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        return json.dumps({"over": f"it was not rendered after {WALL_S:g} s", "variables": []})
    except OSError as error:
        raise ConfigError(f"cannot start the process that checks the chat template: {error.strerror}") from error
    if done.returncode < 0 or "MemoryError" in done.stderr:
        limits = f"{templatecheck.CPU_S} s of computing or {templatecheck.MEMORY_BYTES >> 30} GiB"
        return json.dumps({"over": f"a short conversation takes more than {limits}", "variables": []})
    if done.returncode:
        raise ConfigError(f"cannot check the chat template: {done.stderr.strip()[-300:]}")
    return done.stdout
