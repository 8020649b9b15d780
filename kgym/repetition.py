"""A completion that repeats itself: its last N tokens are one block of tokens, repeated at least four times.

    ... 7 1 2 3 1 2 3 1 2 3 1 2 3      N = 12: the block 1 2 3, four times

The first such position depends only on the tokens, so it is the same whether a completion is cut into segments or not.
The work per token is constant on average and the memory is proportional to N, however long the completion becomes.

Why one candidate is enough: the last N tokens always contain the newest complete chunk of N // 2 tokens (chunks begin
at multiples of that). If the N tokens have a period p of at most N / 4, so does the chunk. The chunk's own smallest
period q is then at most N / 4 too, and p + q is at most its length, so the greatest common divisor of p and q is a
period of the chunk (Fine and Wilf 1965): q divides p, and the N tokens have the period q. So only q needs to be
followed, and it is found once per chunk.

Source: Kimi k1.5, arXiv:2501.12599, section 2.6.2, which ends and penalises repeated output and does not say how it is
detected. "At least four times" is our rule: useful text rarely repeats a long block that often.
"""

from collections.abc import Iterable

SHORTEST = 8
"""The smallest N: two tokens, four times. Below it, `1111` in a number is a repetition."""
TIMES = 4
"""How often the block has to occur, at least."""


class RepetitionDetector:
    """Takes a completion token by token and tells after each token whether the last `length` tokens are a repeated
    block.
    """

    def __init__(self, length: int, tokens: Iterable[int] = ()) -> None:
        """`tokens` are the tokens of earlier segments. Raises ValueError if `length` is too small."""
        if length < SHORTEST:
            raise ValueError(f"loop_tokens={length} is too small; use {SHORTEST} or more")
        self.length = length
        self._chunk_length = length // 2
        self._chunk: list[int] = []  # the tokens of the newest chunk so far
        self._borders: list[int] = []
        """For each prefix of the chunk, the longest proper prefix that is also its suffix (Knuth, Morris, Pratt)."""
        self._recent = [0] * length  # a ring: the token at position p is at p % length
        self._n_tokens = 0
        self._period = 0  # the smallest period of the newest complete chunk, 0 if it is too long
        self._run = 0  # tokens at the end that have this period
        for token in tokens:
            self.feed(token)

    def feed(self, token: int) -> bool:
        """Add a token; return whether the last `length` tokens are one block, repeated at least four times."""
        if self._period and token == self._recent[(self._n_tokens - self._period) % self.length]:
            self._run += 1
        else:
            self._period = self._run = 0
        self._recent[self._n_tokens % self.length] = token
        self._n_tokens += 1
        self._extend_chunk(token)
        if len(self._chunk) == self._chunk_length:
            self._close_chunk()
        return self._run >= self.length

    def _extend_chunk(self, token: int) -> None:
        """Add the token to the chunk, and its border by the failure function of Knuth, Morris and Pratt."""
        border = self._borders[-1] if self._borders else 0
        while border and self._chunk[border] != token:
            border = self._borders[border - 1]
        if self._chunk and self._chunk[border] == token:
            border += 1
        self._chunk.append(token)
        self._borders.append(border)

    def _close_chunk(self) -> None:
        """Take the period of the complete chunk, and see how far back the tokens before it have the same period."""
        period = self._chunk_length - self._borders[-1]
        self._chunk, self._borders = [], []
        self._period = period if period * TIMES <= self.length else 0
        self._run = self._chunk_length if self._period else 0
        known = min(self._n_tokens, self.length)
        while self._period and self._run < known:
            place = self._n_tokens - self._run - 1
            if self._recent[place % self.length] != self._recent[(place + self._period) % self.length]:
                break
            self._run += 1


def repeats(token_ids: Iterable[int], length: int) -> bool:
    """Whether a completion repeats itself at any position: some `length` tokens in a row are one block, at least four
    times.

    For engines that do not end such a completion themselves.

    >>> repeats([7, 1, 2, 1, 2, 1, 2, 1, 2], 8)
    True
    >>> repeats([1, 2, 1, 2, 1, 2, 1, 7], 8)
    False
    """
    detector = RepetitionDetector(length)
    return any(detector.feed(token) for token in token_ids)
