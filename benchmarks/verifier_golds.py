r"""Judge gold answers of many layouts against themselves, in a box and in rewritten forms that mean the same.

    python benchmarks/verifier_golds.py tests/data/math_cases_first_try/golds-2026-11.jsonl
    python benchmarks/verifier_golds.py FILE ... --peer-python PY      also by Math-Verify, with an interpreter
                                                                       that has it
    python benchmarks/verifier_golds.py FILE ... --record OUT.jsonl    writes the misjudged cases as labelled cases

A line of a file has `gold` and `style`. Every form has to be correct; the form "another gold" answers with the next
gold of the same style, and has to be refused.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from verifier import machine
from verifier_first_try import outcome, run_kgym, run_peer, show

TEXT = r"\\(?:text|textbf|mathrm|mbox|operatorname)\{[^{}]*\}"
WORDS = r"[A-Za-z]{2,}(?: [A-Za-z]+)*"
HAN = "[\u4e00-\u9fff]"


def main() -> int:
    """Judge, and print one table by style and one by form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("golds", type=Path, nargs="+", metavar="FILE", help="golds, JSON lines")
    parser.add_argument("--peer-python", type=Path, help="interpreter that has math-verify")
    parser.add_argument("--record", type=Path, metavar="OUT", help="write the cases that kgym misjudged to this file")
    args = parser.parse_args()
    lines = [json.loads(line) for path in args.golds for line in path.read_text(encoding="utf-8").splitlines()]
    cases = [case for style in dict.fromkeys(line["style"] for line in lines) for case in of_style(lines, style)]
    statuses = {"math (kgym)": run_kgym(cases)}
    if args.peer_python:
        statuses["Math-Verify 0.9.0"] = run_peer(args.peer_python, cases)
    outcomes = {
        name: [outcome(case, status) for case, status in zip(cases, by_case, strict=True)]
        for name, by_case in statuses.items()
    }
    print(f"{len(lines)} golds, {len(cases)} cases; {machine()}\n")
    for key in ("style", "form"):
        show([{**case, "kind": case[key]} for case in cases], outcomes)
        print()
    if args.record:
        missed = [case for case, found in zip(cases, outcomes["math (kgym)"], strict=True) if found != "right"]
        args.record.write_text(
            "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in missed), encoding="utf-8"
        )
    return 0


def of_style(lines: list[dict], style: str) -> list[dict]:
    """Make every case of one style."""
    golds = [line["gold"] for line in lines if line["style"] == style]
    cases = []
    for gold, other in zip(golds, golds[1:] + golds[:1], strict=True):
        cases += [case(gold, response, True, style, form) for form, response in forms(gold).items()]
        cases.append(
            case(gold, rf"Therefore the answer is $\boxed{{{formula(other)}}}$.", False, style, "another gold")
        )
    return cases


def case(gold: str, response: str, label: bool, style: str, form: str) -> dict:
    """Make one labelled case."""
    why = "the gold, written in another form" if label else "another gold of the same style"
    return {
        "gold": gold,
        "response": response,
        "label": label,
        "kind": f"{style}: {form}",
        "style": style,
        "form": form,
        "why": why,
    }


def forms(gold: str) -> dict[str, str]:
    """Return the responses that give a gold in each form that differs from the gold in a plain box."""
    inner = formula(gold)
    found = {
        "box": rf"\boxed{{{inner}}}",
        "text around": f"Simplifying, we obtain ${inner}$.\n\nSo the final answer is $\\boxed{{{inner}}}$. This "
        "completes the solution.",
        "display": f"**Conclusion.** The result is\n\\[\n\\boxed{{{inner}}}\n\\]",
        "announced": f"**Final Answer:** ${inner}$",
        "sentence": f"Therefore, the answer is \\({inner}\\).",
        "as the gold is written": f"The answer is {gold if '$' in gold or not is_math(gold) else f'${gold}$'}.",
    }
    if is_math(gold):
        found["display style"] = rf"$\boxed{{\displaystyle {inner}}}$"
    for name, rewrite in REWRITES.items():
        changed = outside_text(inner, rewrite)
        if changed != inner:
            found[name] = rf"Therefore the answer is $\boxed{{{changed}}}$."
    return found


def formula(gold: str) -> str:
    """Return a gold as a model puts it into a box: dollars removed, words in text."""
    if re.fullmatch(r"\$[\d.,]+", gold):
        return "\\" + gold
    if is_math(gold) and not re.search(r"(?<!\\)\$", gold):
        return gold.removeprefix(r"\boxed{").removesuffix("}") if gold.startswith(r"\boxed{") else gold
    parts = re.split(r"(?<!\\)\$", gold)
    return "".join(part if at % 2 else rf"\text{{{part}}}" if part else "" for at, part in enumerate(parts))


def is_math(gold: str) -> bool:
    """Say whether a gold without dollars is a formula and not words."""
    return not re.fullmatch(WORDS, gold) and not re.search(HAN, re.sub(r"\$[^$]*\$", "", gold))


def outside_text(inner: str, rewrite: Callable[[str], str]) -> str:
    """Rewrite a formula except in its words."""
    return "".join(part if at % 2 else rewrite(part) for at, part in enumerate(re.split(f"({TEXT})", inner)))


def tight(part: str) -> str:
    """Remove blanks that do not end a command."""
    return re.sub(
        r"(\\[A-Za-z]+) (?=[A-Za-z])|(\\) | ", lambda match: match.group() if match[1] or match[2] else "", part
    )


def wide(part: str) -> str:
    """Put blanks around signs and after the commas of a list."""
    part = re.sub(r"(?<![\\{]),(?!\d{3}|[\\} ])", r",\\ ", part)
    return re.sub(r"(?<=[\w})\]])\s*([+=<>])\s*(?=[\w({\[\\])", r" \1 ", part)


def named(part: str) -> str:
    """Use the other names of signs and letters."""
    pairs = {
        r"\\leq(?:slant)?\b|\\le\b": r"\\leqslant",
        r"\\geq(?:slant)?\b|\\ge\b": r"\\ge",
        r"\\neq\b": r"\\ne",
        r"\^\{?\\circ\}?": "°",
        r"\\mathbf\{Z\}": r"\\mathbb{Z}",
        r"\{pmatrix\}": "{bmatrix}",
        r"\\langle\b": r"\\left\\langle",
        r"\\rangle\b": r"\\right\\rangle",
        r"\\infty\b": "∞",
        r"\\pi\b": "π",
        r"\\cup\b": "∪",
    }
    for pattern, sign in pairs.items():
        part = re.sub(pattern, sign, part)
    return part


REWRITES: dict[str, Callable[[str], str]] = {
    r"\dfrac": lambda part: re.sub(
        r"\\d?frac", lambda match: r"\dfrac" if match.group() == r"\frac" else r"\frac", part
    ),
    r"\tfrac": lambda part: re.sub(r"\\d?frac", r"\\tfrac", part),
    "bare fractions": lambda part: re.sub(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2", part),
    r"no \left": lambda part: re.sub(r"\\(?:left|right)(?![a-z])", "", part),
    "bare exponents": lambda part: re.sub(r"([\^_])\{([A-Za-z\d])\}", r"\1\2", part),
    "braced exponents": lambda part: re.sub(r"([\^_])([A-Za-z\d])", r"\1{\2}", part),
    "tight": tight,
    "wide": wide,
    "other names": named,
}


if __name__ == "__main__":
    sys.exit(main())
