"""Text of token ids that come in segments, and the search for stop texts in it."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

REPLACEMENT = "\ufffd"
UNFINISHED = 3
"""Most bytes of a character that is not finished."""


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return the text as it is, special tokens included."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def segment_text(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], new: Sequence[int], *, final: bool) -> str:
    """Return the part of the text of `before + new` after that of `before`, so that the texts of segments add up to the
    whole text.

    Decoding `new` alone would be wrong: its first token may finish a character, or have a space only because of the
    text before it. An unfinished character at the end is left to the next segment, unless this one is `final`.
    """
    ids = [*before, *new]
    text = decode(tokenizer, ids) if final else _finished(tokenizer, ids)
    return text[len(_finished(tokenizer, before)) :]


def _finished(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return the text of the ids without an unfinished character at the end.

    Tokenizers that spell rare characters in bytes, such as those of Llama 2 and Gemma, decode a run of bytes as a
    whole: the finished characters before an unfinished one are seen only without its bytes.
    """
    text = decode(tokenizer, ids) if ids else ""
    if not text.endswith(REPLACEMENT):
        return text
    shorter = [decode(tokenizer, ids[:-n]) for n in range(1, min(UNFINISHED, len(ids) - 1) + 1)]
    return max((found.rstrip(REPLACEMENT) for found in (text, *shorter)), key=len)


def completes_stop(
    tokenizer: PreTrainedTokenizerBase, before: Sequence[int], new: Sequence[int], stops: Sequence[str]
) -> bool:
    """Whether the last token of `before + new` completes one of the stop texts. Only the end is searched, so the cost
    does not grow.
    """
    longest = max(len(stop.encode()) for stop in stops)
    size = 2 * longest + 4  # a token is at least one byte, except rare ones without text
    window = [*before[-size:], *new[-size:]][-size:]
    text = decode(tokenizer, window)
    if not any(stop in text for stop in stops):
        return False
    earlier = decode(tokenizer, window[:-1])
    return any(text.count(stop) > earlier.count(stop) for stop in stops)
