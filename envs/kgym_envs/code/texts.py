"""Families of problems about texts."""

from kgym_envs.code.drawing import between, letters, words
from kgym_envs.code.spec import Spec


def shifted(text: str, *, k: int) -> str:
    return "".join(chr((ord(letter) - ord("a") + k) % 26 + ord("a")) if letter.isalpha() else letter for letter in text)


def every_kth(text: str, *, k: int) -> str:
    return text[k - 1 :: k] or "-"


def long_words(text: str, *, k: int) -> int:
    return sum(1 for word in text.split() if len(word) > k)


def lines_needed(text: str, *, k: int) -> int:
    lines = 1
    used = -1
    for word in text.split():
        if used >= 0 and used + 1 + len(word) > k:
            lines += 1
            used = -1
        used += 1 + len(word)
    return lines


def shortened_runs(text: str, *, k: int) -> str:
    kept = ""
    run = 0
    for index, letter in enumerate(text):
        run = run + 1 if index and text[index - 1] == letter else 1
        if run <= k:
            kept += letter
    return kept


def distinct_windows(text: str, *, k: int) -> int:
    return sum(1 for start in range(len(text) - k + 1) if len(set(text[start : start + k])) == k)


def zigzag(text: str, *, k: int) -> str:
    rails = [""] * k
    rail, step = 0, 1
    for letter in text:
        rails[rail] += letter
        if rail + step < 0 or rail + step >= k:
            step = -step
        rail += step
    return "".join(rails)


def sorted_words(text: str, *, k: int) -> str:
    return " ".join(sorted(text.split(), key=lambda word: (len(word) % k, word)))


def few_letters(text: str, *, k: int) -> int:
    longest = start = 0
    for end in range(len(text)):
        while len(set(text[start : end + 1])) > k:
            start += 1
        longest = max(longest, end + 1 - start)
    return longest


def at_depth(text: str, *, k: int) -> int:
    depth = count = 0
    for mark in text:
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
        elif depth == k:
            count += 1
    return count


def by_columns(text: str, *, k: int) -> str:
    return "".join(text[column::k] for column in range(k))


def reversed_blocks(text: str, *, k: int) -> str:
    return "".join(text[start : start + k][::-1] for start in range(0, len(text), k))


FAMILIES = (
    Spec(
        shifted,
        "the text with each letter replaced by the one {k} places later in the alphabet, a following z",
        words(),
        between(k=(1, 25)),
        edges=(("xyz abc",),),
    ),
    Spec(
        every_kth,
        (
            "the characters of the text with the places {k}, {k} times 2, {k} times 3 and so on, counted from 1; "
            "- if there are none"
        ),
        letters(),
        between(k=(2, 15)),
        edges=(("a",), ("abcdefghijklmnopqrstuvwxyzabcd",)),
    ),
    Spec(
        long_words,
        "how many words of the text have more than {k} letters",
        words(),
        between(k=(1, 10)),
        edges=(("a bb ccc dddd eeeee ffffff ggggggg hhhhhhhh iiiiiiiii jjjjjjjjjj kkkkkkkkkkk",),),
    ),
    Spec(
        lines_needed,
        (
            "how many lines the text needs if words are put on a line, with one blank between two of them, as "
            "long as it has at most {k} characters"
        ),
        words(),
        between(k=(12, 40)),
        edges=(("aaaa bbbbbbb",), ("a b c d e f g h i j k l m n o p q r s t u v w x y z",)),
    ),
    Spec(
        shortened_runs,
        "the text with each run of more than {k} equal letters shortened to {k}",
        letters("ab", 6),
        between(k=(1, 20)),
        edges=(("a",), ("a" * 12 + "b" * 12,), ("aabbaaabbb",)),
    ),
    Spec(
        distinct_windows,
        "how many stretches of {k} neighbouring letters of the text have no letter twice",
        letters("abcdefghijklmn", 12),
        between(k=(2, 14)),
        edges=(("aa",), ("abcdefghijkl",)),
    ),
    Spec(
        zigzag,
        (
            "the text written in a zigzag over {k} lines, down from the first to the last, up again and so on, "
            "one letter a step, and then read line by line"
        ),
        letters("abcdefghijklmno"),
        between(k=(2, 12)),
        edges=(("a",), ("abcdefghijklmnopqrstuvwxyz",)),
    ),
    Spec(
        sorted_words,
        (
            "the words of the text sorted by the remainder of their length when it is divided by {k}, and in "
            "alphabetical order where it is equal, with single blanks"
        ),
        words(),
        between(k=(2, 12)),
        edges=(("b a",), ("aaaaaaaaaaaa b aaaaaa bb",)),
    ),
    Spec(
        few_letters,
        "the length of the longest stretch of the text that has at most {k} different letters",
        letters("abcdefghij", 6),
        between(k=(1, 9)),
        edges=(("a",), ("abcdefghijabcdefghij",)),
    ),
    Spec(
        at_depth,
        "how many letters of the text are inside exactly {k} pairs of brackets",
        lambda rng, level: (
            "".join(rng.choice(["x", "(x", "((y", "((((z", ")", "))"]) for _ in range(8 + level)).replace("()", "(q)"),
        ),
        between(k=(0, 12)),
        edges=(("x",), ("((((((((((((m)n)o)p)q)r)a)b)c)d)e)f)g",)),
    ),
    Spec(
        by_columns,
        (
            "the text written into lines of {k} letters, the last of which may be shorter, "
            "and then read column by column"
        ),
        letters("abcdefghijklmno"),
        between(k=(2, 12)),
        edges=(("a",), ("abcdefghijklmnopqrstuvwxyz",)),
    ),
    Spec(
        reversed_blocks,
        "the text with each block of {k} letters reversed, the last of which may be shorter",
        letters("abcdefghijklmno"),
        between(k=(2, 30)),
        edges=(("a",), ("abcdefghijklmnopqrstuvwxyz",)),
    ),
)
