"""A small reward for the format: reasoning inside its tags, and the answer after them.

    <think> ... </think> answer

Source: DeepSeek-R1, arXiv:2501.12948, section 2.2.2, which rewards accuracy and format by rule.
"""

from collections.abc import Sequence

from pydantic import Field

from kgym.options import Options
from kgym.types import Group


class FormatOptions(Options):
    """R1's format reward."""

    weight: float = Field(0.1, ge=0)
    """Reward that is added to a completion with the right format."""
    start: str = Field("<think>", min_length=1)
    """Tag that opens the reasoning; expected at the start of the completion, unless the prompt ends with it."""
    end: str = Field("</think>", min_length=1)
    """Tag that closes it; expected once, with an answer after it."""
    prompt_opens: bool = False
    """Whether the prompt already ends with the opening tag, so that the completion must not repeat it."""


class Format:
    """See the module. Only the places of the tags are judged, not the text between them."""

    Options = FormatOptions

    def __init__(self, options: FormatOptions) -> None:
        self.options = options

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> list[float]:
        """Return the rewards, raised where the format is right."""
        return [
            reward + self.options.weight * self._keeps_form(episode.last_turn)
            for episode, reward in zip(group.episodes, rewards, strict=True)
        ]

    def _keeps_form(self, text: str) -> bool:
        o = self.options
        text = text.strip()
        if text.count(o.end) != 1 or text.count(o.start) != (0 if o.prompt_opens else 1):
            return False
        before, _, after = text.partition(o.end)
        return bool(after.strip()) and (o.prompt_opens or before.startswith(o.start))
