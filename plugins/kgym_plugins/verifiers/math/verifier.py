r"""The `math` verifier: find the answer, understand it and the gold answer, compare them by type. In stages, a folder
each:

    find/       1 where the answer is in a response
    clean/      2 a candidate as plain LaTeX, without what surrounds it
    phrases/    3 words to formulas: tables of all the English and other languages that the verifier knows
    grammar/    4 plain LaTeX to tokens, and tokens to a syntax tree
    values/     5 a syntax tree to a typed value
    compare/    6 equal values, with the rule that decided

`reading.py` does 2 to 5 for one text. `numbers/` has what trees are worth (exactly, at high precision, by algebra), for
5 and 6.

Wrong answers say why: `different`, `hedged` (several candidates), `echo` (a formula of the question, not worked out),
`limit` (the answer asks for more work than any honest one). What the verifier cannot judge is `unscored`: a gold answer
that says nothing, is cut off, or breaks the limits itself.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from kgym.types import Verdict, VerifyItem
from kgym_plugins.verifiers.math.asked_form import is_another_form
from kgym_plugins.verifiers.math.clean.wrappers import normal_text
from kgym_plugins.verifiers.math.compare.choices import same_letters
from kgym_plugins.verifiers.math.compare.compare import same, same_whole
from kgym_plugins.verifiers.math.compare.families import same_unasked
from kgym_plugins.verifiers.math.compare.several import as_asked
from kgym_plugins.verifiers.math.echo import is_echo
from kgym_plugins.verifiers.math.find.candidates import Extraction
from kgym_plugins.verifiers.math.find.extract import RULES, extract, spoken
from kgym_plugins.verifiers.math.find.offered import offered
from kgym_plugins.verifiers.math.find.parts import asked_of_parts
from kgym_plugins.verifiers.math.find.turns import first_problem
from kgym_plugins.verifiers.math.golds import gold_problem
from kgym_plugins.verifiers.math.grammar.nodes import Num, Sym
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.numbers.exact import Undefined
from kgym_plugins.verifiers.math.numbers.numeric import Deferred, exact_only
from kgym_plugins.verifiers.math.options import MathOptions
from kgym_plugins.verifiers.math.phrases.cues import names_base
from kgym_plugins.verifiers.math.phrases.table import TABLES
from kgym_plugins.verifiers.math.plain import plain_number
from kgym_plugins.verifiers.math.reading import gold_answer, gold_readings, read, readings
from kgym_plugins.verifiers.math.stating import SENTENCE_RULES, is_of_another, said_at_last
from kgym_plugins.verifiers.math.strictness import PRESETS, allowed, strictness
from kgym_plugins.verifiers.math.trace import about, is_tracing, note, tracing
from kgym_plugins.verifiers.math.values.interpret import part as value_of
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    BaseNumber,
    Collection,
    Equation,
    Opaque,
    Scalar,
    Value,
    Words,
)

_ANY_LETTER = re.compile(r"(?<![A-Za-z\\])[A-J](?![A-Za-z])")
_SHORT = 240
"""Characters of gold answer and answer together that are judged in the caller."""
_SHOWN = 500
"""Characters of an answer and its normal form that a verdict keeps."""


class MathVerifier:
    """Judges mathematical answers. Safe on hostile text, but not bounded in time by construction: it belongs into
    the pool.
    """

    Options = MathOptions

    def __init__(self, options: MathOptions | None = None) -> None:
        self.options = options or MathOptions()
        self._strictness = self.options.strictness()

    @staticmethod
    def preload() -> None:
        """Import in the pool's fork server what only hard answers need, and compile the patterns of all tables."""
        import kgym_plugins.verifiers.math.numbers.algebra  # noqa: F401, PLC0415  (sympy)

        for table in TABLES:
            if table.how == "whole":
                table.any_row  # noqa: B018  (compiles it)

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item, in order."""
        return [self.verify(item) for item in items]

    def fast(self, item: VerifyItem) -> Verdict | None:
        """Judge what exact arithmetic decides, if the answer is short; None for everything else. Bounded: it may run
        in the caller.
        """
        return self._timed(item, self._fast)

    def verify(self, item: VerifyItem) -> Verdict:
        """Judge one answer. For any text, this returns a verdict; MemoryError alone goes on to the pool."""
        verdict = self._timed(item, self._whole)
        assert verdict is not None
        return verdict

    def _timed(self, item: VerifyItem, judge: Callable[[VerifyItem, Extraction], Verdict | None]) -> Verdict | None:
        """Find the answer and judge it, with the time it took, and the trace if it is asked for."""
        begin = time.perf_counter()
        if not self.options.explain:
            verdict = self._found(item, judge)
            return None if verdict is None else replace(verdict, seconds=time.perf_counter() - begin)
        with tracing() as trace:
            verdict = self._found(item, judge)
            if verdict is not None:
                note("verdict", f"{verdict.label}: {verdict.reason}" if verdict.scored else verdict.label)
        return None if verdict is None else replace(verdict, seconds=time.perf_counter() - begin, trace=str(trace))

    def _found(self, item: VerifyItem, judge: Callable[[VerifyItem, Extraction], Verdict | None]) -> Verdict | None:
        """Judge the answer that the rules find; where they find none, the one that the last sentence states."""
        item = replace(item, response=first_problem(item.response, item.question))
        found = extract(item.response, self.options.extraction)
        if (
            found.rule in SENTENCE_RULES
            and (part := asked_of_parts(spoken(item.response)[0], item.question)) is not None
        ):
            found = Extraction((part,), "statement")
            note("find", "the one of several named values that is asked for:", repr(part))
            return judge(item, found)
        verdict = self._by_choice(item, found, judge)
        if verdict is not None and verdict.status == "correct" and is_of_another(item, found):
            return Verdict("no_answer", "said of something else", verdict.answer, verdict.normal)
        if (
            verdict is None
            or verdict.status not in ("wrong", "no_answer")
            or "conclusion" not in (self.options.extraction or RULES)
        ):
            return verdict
        said = said_at_last(item, found)
        if said is None:
            chosen = self._stated_choice(item, found, judge)
            return verdict if chosen is None else chosen
        stated = Extraction((said,), "statement")
        return verdict if is_of_another(item, stated) else judge(item, stated)

    def _by_choice(
        self, item: VerifyItem, found: Extraction, judge: Callable[[VerifyItem, Extraction], Verdict | None]
    ) -> Verdict | None:
        """Judge an answer; where the gold answer is a letter, also as the value of one of the choices that the
        question lists.
        """
        verdict = judge(item, found)
        letter = gold_answer(item.gold).strip("() .$")
        if verdict is None or verdict.status != "wrong" or letter not in (choices := offered(item.question)):
            return verdict
        if _ANY_LETTER.search(found.answers[0]) if found.answers else True:
            return verdict  # it names a letter, and that one counts
        verdicts = {name: judge(VerifyItem(content, item.response), found) for name, content in choices.items()}
        if any(one is None for one in verdicts.values()):
            return None
        if [name for name, one in verdicts.items() if one is not None and one.status == "correct"] != [letter]:
            return verdict
        return replace(verdict, status="correct", reason="choice by its value")

    def _stated_choice(
        self, item: VerifyItem, found: Extraction, judge: Callable[[VerifyItem, Extraction], Verdict | None]
    ) -> Verdict | None:
        """Judge a last sentence that names the content of a choice and no letter: only the root of 7 is irrational."""
        choices = offered(item.question) if found.rule not in ("boxed", "answer") else {}
        letter = gold_answer(item.gold).strip("() .$")
        if letter not in choices or _ANY_LETTER.search(item.response[-_SHOWN:].rpartition("\n")[2]):
            return None
        right: list[tuple[str, Verdict]] = []
        for name, content in choices.items():
            asked = VerifyItem(content, item.response, item.question)
            said = said_at_last(asked, found)
            verdict = judge(asked, Extraction((said,), "statement")) if said is not None else None
            if verdict is not None and verdict.status == "correct":
                right.append((name, verdict))
        return replace(right[0][1], reason="choice by its value") if [name for name, _ in right] == [letter] else None

    def _fast(self, item: VerifyItem, found: Extraction) -> Verdict | None:
        verdict = self._easy(item, found)
        if verdict is None and len(item.gold) + sum(map(len, found.answers)) <= _SHORT:
            try:
                with exact_only():
                    verdict = self._strictly(item, found)
            except Deferred:
                return None
        return verdict

    def _whole(self, item: VerifyItem, found: Extraction) -> Verdict:
        verdict = self._easy(item, found)
        return self._strictly(item, found) if verdict is None else verdict

    def _strictly(self, item: VerifyItem, found: Extraction) -> Verdict:
        """Judge as strictly as the options say; of a wrong answer, say which of them would have decided otherwise."""
        with strictness(self._strictness) as refused:
            verdict = self._judge(item, found)
        if verdict.status != "wrong" or verdict.reason != "different" or not refused:
            return verdict
        note("compare", "once more, as the preset lenient has it")
        with strictness(PRESETS["lenient"]):
            otherwise = self._judge(item, found)
        return (
            replace(verdict, reason=f"different: {', '.join(sorted(refused))}")
            if otherwise.status == "correct"
            else verdict
        )

    def _easy(self, item: VerifyItem, found: Extraction) -> Verdict | None:
        """Judge what needs no grammar: no answer, the same text, plain numbers."""
        if problem := gold_problem(item.gold):
            return Verdict("unscored", f"gold: {problem}")
        if not found.answers:
            return Verdict("no_answer", found.problem)
        if found.problem or len(found.answers) > 1:
            return None
        (answer,) = found.answers
        if len(answer) > _SHOWN or len(item.gold) > _SHOWN:
            return None
        gold = gold_answer(item.gold)
        one, other = normal_text(gold), normal_text(answer)
        about("both")
        note("clean", repr(one), "and", repr(other))
        if one == other:
            return Verdict("correct", "same text", answer, one)
        left, right = plain_number(one), plain_number(other)
        if left is None or right is None:
            return None
        if left[0] == right[0]:
            if is_echo(answer, gold, item.question):
                return Verdict("wrong", "echo", answer, str(right[0]))
            return Verdict("correct", "exact", answer, str(left[0]))
        if left[1] != right[1]:
            return None  # a decimal against a fraction: perhaps rounded
        return Verdict("wrong", "different", answer, str(right[0]))

    def _judge(self, item: VerifyItem, found: Extraction) -> Verdict:
        try:
            about("gold")
            golds = readings(gold_answer(item.gold)) if is_tracing() else gold_readings(item.gold)
        except (LimitError, RecursionError) as error:
            return Verdict("unscored", f"gold: {error}")
        text = ", ".join(found.answers)
        shown = text[:_SHOWN]
        about("response")
        try:
            answers = readings(text)
            if len(found.answers) > 1:
                parts = [read(answer) for answer in found.answers]
                if all(same(parts[0], part) and same(part, parts[0]) for part in parts[1:]):
                    answers = [parts[0]]  # boxes that agree are one answer
                elif not found.problem and (named := _by_name(parts)) is not None:
                    answers = [named]
                elif found.problem or not any(isinstance(gold, Collection) for gold in golds):
                    return Verdict("wrong", "hedged", shown)
                else:
                    answers = [Collection(tuple(parts))]
            elif found.problem:
                return Verdict("wrong", found.problem, shown)
            if (
                found.rule == "whole"
                and isinstance(answers[0], Words | Opaque)
                and not any(same(*pair) for pair in _pairs(golds, answers))
            ):
                return Verdict("no_answer", "no answer found")  # one line of prose
            return self._compare(item, golds, answers, shown)
        except LimitError:
            return Verdict("wrong", "limit", shown)
        except (RecursionError, Undefined):
            return Verdict("wrong", "limit", shown)

    def _compare(self, item: VerifyItem, golds: list[Value], answers: list[Value], shown: str) -> Verdict:
        form = answers[0].normal()[:_SHOWN]
        about("both")
        for gold, answer in _pairs(golds, answers):
            rule = same_whole(gold, as_asked(answer, item.question) if isinstance(gold, Collection) else answer)
            rule = rule or same_unasked(gold, answer, item.question)
            reason = rule.name if rule else self._missing_base(item, gold, answer)
            if reason:
                if reason != "choice" and _copied(item, gold, answer, shown):
                    return Verdict("wrong", "echo", shown, form)
                if is_another_form(shown, gold_answer(item.gold), item.question):
                    return Verdict("wrong", "different", shown, form)
                return Verdict("correct", reason, shown, form)
        if letters := same_letters(gold_answer(item.gold), shown, item.question):
            return Verdict("correct", letters.name, shown, form)
        return Verdict("wrong", "hedged" if _hedged(golds[0], answers[0]) else "different", shown, form)

    def _missing_base(self, item: VerifyItem, gold: Value, answer: Value) -> str | None:
        """The digits of a number in base n without the base: right only if the question has named it."""
        if not isinstance(gold, BaseNumber) or not isinstance(answer, Scalar) or not isinstance(answer.expression, Num):
            return None
        if answer.expression.value.text != gold.digits:
            return None
        return (
            "base of the question" if names_base(item.question, gold.base) or allowed("forgive_missing_base") else None
        )


def _by_name(parts: list[Value]) -> Assignments | None:
    """Equations for several letters as values of these letters: x = 4 in one box and y = 3 in another."""
    sides = {
        part.left.value: part
        for part in parts
        if isinstance(part, Equation) and isinstance(part.left, Sym) and not part.middle
    }
    return (
        Assignments(tuple((name, value_of(side.right)) for name, side in sides.items()))
        if len(sides) == len(parts)
        else None
    )


def _copied(item: VerifyItem, gold: Value, answer: Value, shown: str) -> bool:
    """Whether an answer, or the last side of a chain, was copied from the question."""
    text = gold_answer(item.gold)
    if is_echo(shown, text, item.question):
        return True
    side = shown.rpartition("=")[2]
    return isinstance(answer, Equation) and not isinstance(gold, Equation) and is_echo(side, text, item.question)


def _pairs(golds: list[Value], answers: list[Value]) -> Iterator[tuple[Value, Value]]:
    """Readings of the gold answer and of the answer, with commas read in the same way on both sides."""
    for place in range(max(len(golds), len(answers))):
        yield golds[min(place, len(golds) - 1)], answers[min(place, len(answers) - 1)]


def _hedged(gold: Value, answer: Value) -> bool:
    """Whether the right answer is one of several where one was asked for."""
    if not isinstance(answer, Collection) or answer.braces or isinstance(gold, Collection):
        return False
    return len(answer.items) > 1 and any(same(gold, item) for item in answer.items)
