r"""Random gold answers of every kind in mathematical data sets, for property tests of verifiers.

golds(3, seed=1)  ->  ["\\left[-7, 2\\right)", "5_{9}", "\\frac{3}{8}\\sqrt{5}"]      (for example)
"""

import random
from collections.abc import Callable

Draw = Callable[[random.Random], str]


def _integer(rng: random.Random) -> str:
    return str(rng.choice([rng.randint(-20, 20), rng.randint(-999, 99999), rng.randint(0, 10**12)]))


def _positive(rng: random.Random) -> str:
    return str(rng.randint(1, 60))


def _fraction(rng: random.Random) -> str:
    command = rng.choice([r"\frac", r"\dfrac", r"\tfrac"])
    above, below = rng.randint(1, 99), rng.randint(2, 99)
    return rng.choice(["", "", "-"]) + rng.choice([f"{command}{{{above}}}{{{below}}}", f"{above}/{below}"])


def _decimal(rng: random.Random) -> str:
    return f"{rng.choice(['', '-'])}{rng.choice([str(rng.randint(0, 999)), ''])}.{rng.randint(1, 9999)}"


def _thousands(rng: random.Random) -> str:
    return f"{rng.randint(1000, 10**9):,}"


def _mixed(rng: random.Random) -> str:
    below = rng.randint(2, 19)
    return rf"{rng.randint(1, 30)}\frac{{{rng.randint(1, below - 1)}}}{{{below}}}"


def _repeating(rng: random.Random) -> str:
    return rf"{rng.randint(0, 9)}.{rng.choice(['', '1', '05'])}\overline{{{rng.randint(1, 999)}}}"


def _scientific(rng: random.Random) -> str:
    return rf"{rng.randint(1, 9)}.{rng.randint(1, 99)} \times 10^{{{rng.randint(-30, 30)}}}"


def _radical(rng: random.Random) -> str:
    root = rng.choice([rf"\sqrt{{{rng.randint(2, 97)}}}", rf"\sqrt[{rng.randint(3, 5)}]{{{rng.randint(2, 97)}}}"])
    return rng.choice(
        [
            f"{rng.randint(2, 30)}{root}",
            rf"\frac{{{root}}}{{{rng.randint(2, 20)}}}",
            f"{_positive(rng)} {rng.choice('+-')} {root}",
        ]
    )


def _constant(rng: random.Random) -> str:
    name = rng.choice([r"\pi", "e", r"\ln 2", r"\log_2 3", r"e^{2}", r"\sin 1", r"\arctan 3"])
    return rng.choice(
        [
            rf"{rng.randint(2, 40)}{name}",
            rf"\frac{{{name}}}{{{rng.randint(2, 12)}}}",
            f"{name} + {_positive(rng)}",
            rf"{_fraction(rng)} {name}",
        ]
    )


def _power(rng: random.Random) -> str:
    return rng.choice(
        [
            f"{rng.randint(2, 9)}^{{{rng.randint(2, 99)}}}",
            f"{rng.randint(3, 60)}!",
            rf"\binom{{{rng.randint(5, 40)}}}{{{rng.randint(0, 5)}}}",
        ]
    )


def _complex(rng: random.Random) -> str:
    imaginary = rng.choice(
        [
            "i",
            f"{rng.randint(2, 20)}i",
            rf"\frac{{{rng.randint(1, 9)}}}{{{rng.randint(2, 9)}}}i",
            rf"{rng.randint(2, 9)}\sqrt{{3}}i",
        ]
    )
    return f"{rng.choice([_positive(rng), '-' + _positive(rng)])} {rng.choice('+-')} {imaginary}"


def _polynomial(rng: random.Random) -> str:
    name = rng.choice("xyzntabk")
    degree = rng.randint(1, 4)
    terms = [
        f"{rng.randint(2, 12)}{name}^{{{power}}}" if power > 1 else f"{rng.randint(2, 12)}{name}"
        for power in range(degree, 0, -1)
    ]
    return rng.choice(["", "-"]) + rng.choice([" + ", " - "]).join([*terms, _positive(rng)])


def _expression(rng: random.Random) -> str:
    x, y = rng.sample("xyabmnrt", 2)
    return rng.choice(
        [
            rf"\frac{{{x}+{_positive(rng)}}}{{{y}-{_positive(rng)}}}",
            rf"\sqrt{{{x}^2+{y}^2}}",
            rf"{rng.randint(2, 9)}{x}^{{{rng.randint(2, 5)}}}{y}",
            rf"({x}+{rng.randint(1, 9)})({x}-{rng.randint(1, 9)})",
            rf"\sin {x} + {rng.randint(2, 9)}\cos {y}",
            rf"e^{{-{rng.randint(2, 9)}{x}}}",
            rf"\log_{{{x}}} {y}",
            rf"{rng.randint(2, 9)}^{{{x}+1}}",
            rf"\frac{{{x}({x}+1)}}{{2}}",
            rf"|{x} - {rng.randint(1, 9)}|",
            rf"\pi {x}^2 {y}",
        ]
    )


def _equation(rng: random.Random) -> str:
    return rng.choice(
        [
            f"x = {_integer(rng)}",
            f"y = {rng.randint(2, 9)}x {rng.choice('+-')} {_positive(rng)}",
            f"{rng.randint(2, 9)}x + {rng.randint(2, 9)}y - {_positive(rng)} = 0",
            f"(x-{rng.randint(1, 9)})^2 + (y+{rng.randint(1, 9)})^2 = {_positive(rng)}",
            f"f(x) = {_polynomial(rng).replace('y', 'x')}",
        ]
    )


def _ends(rng: random.Random) -> tuple[int, int]:
    low = rng.randint(-30, 30)
    return low, low + rng.randint(1, 30)


def _inequality(rng: random.Random) -> str:
    low, high = _ends(rng)
    relation = rng.choice(["<", ">", r"\ge", r"\le", r"\ne"])
    sign, other = rng.choice(["<", r"\le", r"\leq"]), rng.choice(["<", r"\le"])
    return rng.choice(
        [
            rf"x {relation} {low}",
            f"{low} {sign} x {other} {high}",
            rf"x < {low} \text{{ or }} x > {high}",
        ]
    )


def _interval(rng: random.Random) -> str:
    low, high = _ends(rng)
    closed = f"{rng.choice('([')}{low}, {high}{rng.choice('])')}"
    return rng.choice(
        [
            closed,
            rf"\left{rng.choice('([')}{low}, {high}\right{rng.choice('])')}",
            rf"(-\infty, {low}) \cup ({high}, \infty)",
            rf"[{low}, \infty)",
            rf"(-\infty, {low}]",
            rf"\left(-\infty, \frac{{{low}}}{{7}}\right) \cup \left({high}, \infty\right)",
        ]
    )


def _point(rng: random.Random) -> str:
    parts = [rng.choice([_integer, _fraction, _radical])(rng) for _ in range(rng.randint(2, 4))]
    return rng.choice(["({})", r"\left( {} \right)", r"\langle {} \rangle"]).replace("{}", ", ".join(parts))


def _set(rng: random.Random) -> str:
    parts = {rng.choice([_positive, _fraction, _radical])(rng) for _ in range(rng.randint(1, 5))}
    return rng.choice([r"\{{}\}", r"\left\{ {} \right\}"]).replace("{}", ", ".join(sorted(parts)), 1)


def _listing(rng: random.Random) -> str:
    return rng.choice([", ", r" \text{ and } ", r" \text{ or } "]).join(
        rng.choice([_positive, _fraction])(rng) for _ in range(rng.randint(2, 4))
    )


def _signs(rng: random.Random) -> str:
    return rng.choice(
        [
            rf"\pm {_positive(rng)}",
            rf"{_positive(rng)} \pm \sqrt{{{rng.randint(2, 30)}}}",
            rf"\frac{{{_positive(rng)} \pm \sqrt{{5}}}}{{4}}",
        ]
    )


def _matrix(rng: random.Random) -> str:
    rows, columns = rng.randint(1, 3), rng.randint(1, 3)
    body = r" \\ ".join(
        " & ".join(rng.choice([_positive, _fraction])(rng) for _ in range(columns)) for _ in range(max(rows, 2))
    )
    kind = rng.choice(["pmatrix", "bmatrix"])
    return rf"\begin{{{kind}}} {body} \end{{{kind}}}"


def _text(rng: random.Random) -> str:
    word = rng.choice(
        [
            "Evelyn",
            "even",
            "Yes",
            "no",
            "isosceles triangle",
            "ellipse",
            "Monday",
            "true",
            "hyperbola",
            "neither",
            "Bob's team",
        ]
    )
    return rng.choice([rf"\text{{{word}}}", word])


def _words(rng: random.Random) -> str:
    words = rng.choice(["no solution", "all real numbers", "undefined", "infinitely many"])
    return rng.choice([rf"\text{{{words}}}", r"\emptyset", r"\varnothing", r"\mathbb{R}", r"\infty", r"-\infty"])


def _choice(rng: random.Random) -> str:
    letter = rng.choice("ABCDE")
    return rng.choice([rf"\text{{({letter})}}", letter, f"({letter})", rf"\textbf{{({letter})}}"])


def _based(rng: random.Random) -> str:
    base = rng.randint(2, 9)
    digits = str(rng.randint(1, base - 1)) + "".join(str(rng.randrange(base)) for _ in range(rng.randint(1, 6)))
    return rng.choice([f"{digits}_{base}", f"{digits}_{{{base}}}"])


def _percent(rng: random.Random) -> str:
    return rng.choice([str(rng.randint(1, 200)), f"{rng.randint(1, 99)}.{rng.randint(1, 9)}"]) + r"\%"


def _angle(rng: random.Random) -> str:
    return f"{rng.randint(1, 359)}" + rng.choice([r"^\circ", r"^{\circ}"])


def _quantity(rng: random.Random) -> str:
    unit = rng.choice(
        ["inches", "cm", "cm^2", "square feet", "miles per hour", "hours", "units", "m/s^2", "apples", "degrees", "kg"]
    )
    unit = unit if "^" not in unit else unit.replace("^2", "}^{2")
    return rf"{rng.choice([_positive, _fraction, _radical])(rng)}\text{{ {unit}}}"


def _money(rng: random.Random) -> str:
    return rng.choice([rf"\${rng.randint(1, 99999):,}", rf"\${rng.randint(1, 99)}.{rng.randint(10, 99)}"])


def _clock(rng: random.Random) -> str:
    return f"{rng.randint(1, 12)}:{rng.randint(0, 59):02}" + rng.choice(["", r"\text{ p.m.}", r"\text{ a.m.}"])


def _ratio(rng: random.Random) -> str:
    return ":".join(_positive(rng) for _ in range(rng.randint(2, 3)))


def _congruence(rng: random.Random) -> str:
    modulus = rng.randint(2, 30)
    return rf"{rng.randrange(modulus)} \pmod{{{modulus}}}"


KINDS: dict[str, Draw] = {
    "whole": _integer, "fraction": _fraction, "decimal": _decimal, "thousands": _thousands, "mixed": _mixed,
    "repeating": _repeating, "scientific": _scientific, "radical": _radical, "constant": _constant,
    "power": _power, "complex": _complex, "polynomial": _polynomial, "expression": _expression,
    "equation": _equation, "inequality": _inequality, "interval": _interval,
    "point": _point, "set": _set, "list": _listing, "signs": _signs, "matrix": _matrix,
    "text": _text, "words": _words, "choice": _choice, "base": _based, "percent": _percent, "angle": _angle,
    "quantity": _quantity, "money": _money, "clock": _clock, "ratio": _ratio, "congruence": _congruence,
}  # fmt: skip


def golds(count: int, seed: int = 0, kinds: tuple[str, ...] = tuple(KINDS)) -> list[str]:
    """Draw `count` gold answers, of each kind equally many."""
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    return [KINDS[kinds[number % len(kinds)]](rng) for number in range(count)]
