"""An engine that renders the replies of an environment, such as a tool's; its tokens are characters."""

from collections.abc import Sequence

from kgym.types import Message, RendersReplies, Reply


class Acme:
    """The part of an engine that renders."""

    def render_replies(self, replies: Sequence[Reply]) -> list[tuple[int, ...]]:
        """Return the tokens of each reply, and of the beginning of the policy's next turn."""
        return [tuple(map(ord, f"\n[{reply.message.content}]\n")) for reply in replies]

    def turns_note(self) -> str:
        """Return how it differs from rendering the whole conversation; here it does not."""
        return ""


engine = Acme()
assert isinstance(engine, RendersReplies)
(tokens,) = engine.render_replies([Reply(Message("tool", "42"), last_id=None)])
assert "".join(map(chr, tokens)) == "\n[42]\n"
