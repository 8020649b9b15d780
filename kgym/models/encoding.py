"""From a conversation to token ids, for engines, judges and reward models; and from a completion that was not sampled
here.

Only the template writes control tokens (`<|im_end|>`, `[INST]`). A question, gold answer or completion that spells one
is read as characters: the text is cut inside it, and the pieces are encoded one after the other. Other text is encoded
as usual.

Sampled completions keep the ids that the engine reported (`Segment.token_ids`) and are never encoded again.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from kgym.errors import ConfigError
from kgym.models.templates import ChatTemplate
from kgym.types import Chat, Message, Reply

REASONING = re.compile(r"</?(?:think|thinking|seed:think)>|\[/?THINK\]|◁/?think▷")
"""Marks that an assistant writes itself, and that a template may look for in its turns."""
ANCHORS = ("\n", "a", "=", ".")
"""Text before a piece while it is encoded: tokenizers of the kind of SentencePiece put a blank before the beginning
of a text.
"""
MARKS = range(0xE000, 0xF8FF)
"""Characters for private use, one of which marks a cut while the template works."""


class ChatEncoder:
    """A tokenizer with its chat template. `whose` names the model in messages; `variables` are those of the template.

    Raises ConfigError if there is no template, or one that cannot be used.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, whose: str, variables: Mapping[str, Any] | None = None
    ) -> None:
        self.template = ChatTemplate(tokenizer, whose=whose, variables=variables)
        self._tokenizer = tokenizer
        self._whose = whose
        self._control = self._control_tokens()
        texts = sorted((text for text in self._control if len(text) > 1), key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, texts)) or r"(?!)")

    def prompt(self, chat: Chat) -> list[int]:
        """Return the ids of a conversation that is to be continued. Raises ConfigError if the template refuses it."""
        pieces = self._pieces(self.template.text, chat)
        return self._joined(pieces) if len(pieces) > 1 else self._encode(pieces[0])

    def reply(self, reply: Reply) -> list[int]:
        """Return the ids that are appended to a completion when the environment replies: the part of the end of the
        policy's turn that it has not written, the message, and the beginning of the next turn. Raises ConfigError if
        the template cannot do that.
        """
        first, *rest = self._pieces(lambda chat: self.template.after_an_answer_and(chat[0]), (reply.message,))
        ids = self._continued(first)
        for piece in rest:
            ids += self._continued(piece) if piece else []
        return ids[self._n_closed(ids, reply.last_id) :]

    def turns_note(self) -> str:
        """See `ChatTemplate.turns_note`."""
        return self.template.turns_note()

    def _n_closed(self, ids: Sequence[int], last_id: int | None) -> int:
        """Return how many of the ids after a completion repeat the end of turn that the policy has written, blanks
        before its end token included.

        Some models have several such tokens (`<|eom_id|>` and `<|eot_id|>`): a turn that has ended with one is not
        ended again.
        """
        place = next((place for place, token in enumerate(ids) if token in self._control_ids), None)
        if place is None or last_id is None or (place and self._tokenizer.decode(list(ids[:place])).strip()):
            return 0
        ended = ids[place] in self._closing_ids and last_id in self._tokenizer.all_special_ids
        return place + 1 if ended or ids[place] == last_id else 0

    def _pieces(self, render: Callable[[Chat], str], chat: Chat) -> list[str]:
        """Render messages, and cut the text where they spell control tokens."""
        if not any(self._spells(message.content) for message in chat):
            return [render(chat)]
        mark = next(chr(code) for code in MARKS if not any(chr(code) in message.content for message in chat))
        cut = tuple(Message(role, self._cut(content, mark, answer=role == "assistant")) for role, content in chat)
        pieces = render(cut).split(mark)
        if len(pieces) - 1 < sum(message.content.count(mark) for message in cut):
            # the template has dropped or changed a mark, so the cuts are unknown, and the text
            # is changed instead
            pieces = [render(tuple(Message(role, content.replace(mark, " ")) for role, content in cut))]
        return pieces

    def answer(self, text: str, *, untrusted: bool = False) -> list[int]:
        """Return the ids of a completion and the end token after it; in an `untrusted` one, control tokens other than
        those of reasoning are read as characters.

        Raises ConfigError if the tokenizer has no end token.
        """
        if self._tokenizer.eos_token_id is None:
            raise ConfigError(f"the tokenizer of {self._whose} has no end token; give it one, or use a chat model")
        ids = self._encode(text)
        if untrusted and self._spells(text):
            mark = next(chr(code) for code in MARKS if chr(code) not in text)
            ids = self._joined(self._cut(text, mark, answer=True).split(mark))
        return [*ids, self._tokenizer.eos_token_id]

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The control token that the template writes after a completion, if any: a completion that closes its turn has
        ended.
        """
        rest = self.template.after_an_answer().lstrip()
        ids = self._encode(rest) if rest else []
        return frozenset(ids[:1]) & self._control_ids

    @cached_property
    def _closing_ids(self) -> frozenset[int]:
        """Control tokens that end a turn of the policy before any next turn: not those that begin a turn of another
        role.
        """
        following = [self._encode(self.template.before_the_next(role)) for role in ("user", "assistant")]
        first = [next((token for token in ids if token in self._control_ids), None) for ids in following]
        return self.end_ids | {token for token in first if token is not None and first[0] == first[1]}

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(self._control.values())

    def _control_tokens(self) -> dict[str, int]:
        """Return the special tokens, and the others of the tokenizer's added tokens that the template writes.

        Not all added tokens count: some tokenizers have runs of blanks or HTML among them, which are ordinary text.
        """
        written = "\0".join((self.template.source, *self.template.examples()))
        special = set(self._tokenizer.all_special_tokens)
        found = {}
        for number, token in self._tokenizer.added_tokens_decoder.items():
            text = token.content
            if token.special or text in special or (text.strip() and text in written):
                found[text] = number
        return found

    @cached_property
    def _normalizes(self) -> bool:
        """Whether a text may become a control token that it does not spell: by lower case, or by another width of
        its characters.
        """
        return any(
            token.normalized
            for token in self._tokenizer.added_tokens_decoder.values()
            if token.content in self._control
        )

    def _spells(self, text: str) -> bool:
        return self._spelled.search(text) is not None or (self._normalizes and self._has_control(text))

    def _has_control(self, text: str) -> bool:
        return not self._control_ids.isdisjoint(self._encode(text))

    def _cut(self, text: str, mark: str, *, answer: bool) -> str:
        """Put the mark into everything that spells a control token; in an `answer`, not into those of reasoning."""

        def cut(match: re.Match[str]) -> str:
            spelled = match[0]
            return spelled if answer and REASONING.fullmatch(spelled) else f"{spelled[0]}{mark}{spelled[1:]}"

        marked = self._spelled.sub(cut, text)
        if self._safe(marked.split(mark), answer=answer):
            return marked
        return mark.join(text)  # tokens in tokens, or a normalizer: no two characters may meet

    def _safe(self, pieces: Sequence[str], *, answer: bool) -> bool:
        bare = [REASONING.sub("", piece) if answer else piece for piece in pieces]
        return not any(self._spells(piece) for piece in bare)

    def _joined(self, pieces: Sequence[str]) -> list[int]:
        ids = self._encode(pieces[0]) if pieces[0] else []
        for piece in pieces[1:]:
            ids += self._continued(piece) if piece else []
        return ids

    def _continued(self, piece: str) -> list[int]:
        """Return the ids of a text that follows another."""
        for anchor in ANCHORS:
            before, ids = self._encode(anchor), self._encode(anchor + piece)
            if before and ids[: len(before)] == before:
                return ids[len(before) :]
        return self._encode(piece)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids
