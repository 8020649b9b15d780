"""An engine that says before a run which prompts leave no room for a completion."""

from collections.abc import Sequence

from kgym.types import Chat, MeasuresPrompts, Message


class Acme:
    """The part of an engine that measures; its tokens are characters."""

    context = 100

    def too_long(self, prompts: Sequence[Chat], context_tokens: int | None = None) -> dict[int, int]:
        """Return the places of the prompts that are too long, with their numbers of tokens."""
        limit = min(self.context, context_tokens or self.context)
        lengths = [sum(len(message.content) for message in prompt) for prompt in prompts]
        return {place: length for place, length in enumerate(lengths) if length >= limit}


engine = Acme()
assert isinstance(engine, MeasuresPrompts)
assert engine.too_long([(Message("user", "short"),), (Message("user", "x" * 200),)]) == {1: 200}
