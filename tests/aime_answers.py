"""Answers of the generated families by other routes than the generators': from the text alone, by enumeration where
that is feasible.
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, pairwise, product
from math import comb, lcm, prod

import sympy

OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: Fraction,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
FUNCTIONS: dict[str, Callable] = {"floor": lambda q: q.__floor__(), "lcm": lcm, "max": max, "min": min, "C": comb}
WORDS = {"one": 1, "two": 2, "three": 3}


def value(text: str, **names: int) -> Fraction | int:
    """Evaluate sums, products, powers, remainders and a few functions; raises ValueError for anything else."""

    def walk(node: ast.expr) -> Fraction | int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](walk(left), walk(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -walk(operand)
            case ast.Call(func=ast.Name(id=name), args=args) if name in FUNCTIONS:
                return FUNCTIONS[name](*map(walk, args))
        raise ValueError(f"not arithmetic: {text}")

    text = re.sub(r"(?<![a-zA-Z])(\d+)(?=[(a-zA-Z])", r"\1*", text.replace("^", "**"))
    text = re.sub(r"^(.*) \*?mod (.*)$", r"(\1)%(\2)", text)
    try:
        return walk(ast.parse(text, mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"not arithmetic: {text}") from error


def integers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def one(pattern: str, text: str) -> int:
    """The number that some group of the only match of the pattern holds."""
    (match,) = re.finditer(pattern, text)
    (found,) = (int(group) for group in match.groups() if group)
    return found


def points(text: str) -> list[tuple[int, ...]]:
    return [tuple(integers(inside)) for inside in re.findall(r"\((\d+(?:,\d+)+)\)", text)]


def halves(fraction: Fraction) -> int:
    return fraction.numerator + fraction.denominator


def common_divisor(q: str) -> int:
    numbers = integers(q)
    return max(d for d in range(1, min(numbers) + 1) if all(n % d == 0 for n in numbers))


def power(q: str) -> int:
    base, exponent, modulus = integers(q)
    return base**exponent % modulus


def divisors(q: str) -> int:
    numbers = integers(q)
    if len(numbers) >= 4:
        powers = zip(numbers[::2], numbers[1::2], strict=True)
        return len({prod(choice) for choice in product(*([p**i for i in range(e + 1)] for p, e in powers))})
    return int(sympy.divisor_count(numbers[0] ** (numbers[1] if len(numbers) == 2 else 1)))


def choices(q: str) -> int:
    ways = 0
    for alternative in q.split(", or "):
        kinds = [(WORDS[word], int(n)) for word, n in re.findall(r"(one|two|three) of (\d+)", alternative)]
        ways += sum(1 for _ in product(*(combinations(range(n), take) for take, n in kinds)))
    return ways


def paths(q: str) -> int:
    start, end, *special = points(q)
    through = special[0] if "through" in q else None
    avoiding = special[-1] if "avoiding" in q else None
    ways = {start: 1}
    for x in range(start[0], end[0] + 1):
        for y in range(start[1], end[1] + 1):
            here = ways.get((x - 1, y), 0) + ways.get((x, y - 1), 0) + ((x, y) == start)
            beside = (
                through is not None and (x - through[0]) * (y - through[1]) < 0
            )  # above left or below right of it: missed it
            ways[x, y] = 0 if (x, y) == avoiding or beside else here
    return ways[end]


def multiples(q: str) -> int:
    numbers = integers(q)
    limit = max(numbers)
    divisors = [n for n in numbers if n not in (1, limit)]
    return sum(("either" in q) != any(n % d == 0 for d in divisors) for n in range(1, limit + 1))


def urn(q: str) -> int:
    red, blue, green = (one(rf"(\d+) {colour}", q) for colour in ("red", "blue", "green"))
    drawn = one(r"Draw (\d)", re.sub("one|two|three", lambda m: str(WORDS[m[0]]), q, count=1)) if "Draw" in q else 0
    wanted = {
        "red": ["red"],
        "both red": ["red"] * 2,
        "all red": ["red"] * 3,
        "one red, one blue": ["blue", "red"],
        "one of each colour": ["blue", "green", "red"],
    }[re.search(r"P\((.*?)\)", q)[1]]  # type: ignore[index]
    balls = ["red"] * red + ["blue"] * blue + ["green"] * green
    draws = [sorted(draw) for draw in combinations(balls, drawn)]
    return halves(Fraction(draws.count(wanted), len(draws)))


def spinners(q: str) -> int:
    sizes = [int(size) for size in re.findall(r"1-(\d+)", q)]
    relation, goal = re.search(r"sum (is|is at most|is at least) (\d+)", q).groups()  # type: ignore[union-attr]
    holds = {"is": operator.eq, "is at most": operator.le, "is at least": operator.ge}[relation]
    sums = [sum(spins) for spins in product(*(range(1, size + 1) for size in sizes))]
    return halves(Fraction(sum(holds(s, int(goal)) for s in sums), len(sums)))


def linear(q: str) -> Fraction:
    left, right = re.search(r"([\d+x()-]*\dx?|[\d+x()-]*\))=([\dx+]+)", q).groups()  # type: ignore[union-attr]
    at_0, at_1 = (value(left, x=x) - value(right, x=x) for x in (0, 1))
    return Fraction(at_0, at_0 - at_1)


def system(q: str) -> Fraction:
    rows, constants = [], []
    for equation, constant in re.findall(r"((?:[+-]?\d*[xyz]){2})=(\d+)", q):
        terms = {name: int(f"{sign}{many or 1}") for sign, many, name in re.findall(r"([+-]?)(\d*)([xyz])", equation)}
        rows.append(terms)
        constants.append(int(constant))
    names = sorted(set().union(*rows))
    solution = sympy.Matrix([[row.get(name, 0) for name in names] for row in rows]).LUsolve(sympy.Matrix(constants))
    wanted = re.search(r"(?:find|Find|What is) \$?([xyz+]+)", q)[1].split("+")  # type: ignore[index]
    return sum(Fraction(int(v.p), int(v.q)) for name, v in zip(names, solution, strict=True) if name in wanted)


def roots(q: str) -> int:
    """By the companion matrix: traces of its powers are the power sums of the roots."""
    cubic = re.search(r"x\^3-(\d+)x\^2\+(\d+)x-(\d+)", q)
    if cubic:
        s, p, r = map(int, cubic.groups())
        companion = sympy.Matrix([[0, 0, r], [1, 0, -p], [0, 1, s]])
    else:
        s, p = map(int, re.search(r"x\^2-(\d+)x\+(\d+)", q).groups())  # type: ignore[union-attr]
        companion = sympy.Matrix([[0, -p], [1, s]])
    shift = re.search(r"\(r\+(\d+)\)\(t\+\1\)", q)
    if shift:
        return int((companion + int(shift[1]) * sympy.eye(2)).det())
    exponent = int(re.search(r"r\^(\d)\+t\^\1", q)[1])  # type: ignore[index]
    power_sum = int((companion**exponent).trace())
    return power_sum % 1000 if "mod 1000" in q else power_sum


def polynomial(q: str) -> int:
    at = one(r"P\((\d+)\)", q)
    text = re.search(r"P\(x\)=([\dx^+-]+)", q)[1]  # type: ignore[index]
    result = value(text, x=at)
    assert isinstance(result, int)
    return result % 1000 if "mod 1000" in q else result


def arithmetic(q: str) -> Fraction:
    n = one(r"(?<!first )term (\d+)|first (\d+) terms", q)
    if "a_" in q:
        (i, at_i), (j, at_j) = ((int(i), int(at)) for i, at in re.findall(r"a_(\d+)=(\d+)", q))
        difference = Fraction(at_j - at_i, j - i)
        terms = [at_i + (k - i) * difference for k in range(1, n + 1)]
    else:
        first, difference = one(r"first term (\d+)", q), Fraction(one(r"difference (\d+)", q))
        terms = [Fraction(first)]
        while len(terms) < n:
            terms.append(terms[-1] + difference)
    result = sum(terms) if "sum" in q else terms[-1]
    return Fraction(result) % 1000 if "mod 1000" in q else Fraction(result)


def geometric(q: str) -> int:
    first, ratio = one(r"irst term (\d+)|Start with (\d+)", q), one(r"ratio (\d+)|multiply by (\d+)", q)
    n, modulus = one(r"(?<!irst )term (\d+)|sum of (\d+) terms", q), one(r"mod (\d+)", q)
    terms = [first * ratio**k for k in range(n)]
    return (sum(terms) if "sum" in q else terms[-1]) % modulus


def recurrence(q: str) -> int:
    """Without reducing on the way."""
    n = one(r"a_\{(\d+)\}", q)
    terms = [int(first) for _, first in re.findall(r"a_([12])=(\d+)", q)]
    p, rest = re.search(r"a_n=(\d*)a_\{n-1\}\+([\da_{}n-]+)", q).groups()  # type: ignore[union-attr]
    while len(terms) < n:
        before = int(rest.split("a")[0] or 1) * terms[-2] if "a" in rest else int(rest)
        terms.append(int(p or 1) * terms[-1] + before)
    modulus = re.search(r"mod (\d+)", q)
    return terms[-1] % int(modulus[1]) if modulus else terms[-1]


def distance(q: str) -> int:
    """By the law of cosines: |a-b|^2 = |a|^2 + |b|^2 - 2ab."""

    def dot(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        return sum(x * y for x, y in zip(a, b, strict=True))

    centre, *others = points(q)
    return sum(dot(centre, centre) + dot(p, p) - 2 * dot(centre, p) for p in others)


def on_segment(a: tuple[int, ...], b: tuple[int, ...]) -> set[tuple[int, int]]:
    """Lattice points of a segment, found by trying each column."""
    (x0, y0), (x1, y1) = sorted((a, b))
    if x0 == x1:
        return {(x0, y) for y in range(y0, y1 + 1)}
    return {
        (x, y0 + (y1 - y0) * (x - x0) // (x1 - x0)) for x in range(x0, x1 + 1) if (y1 - y0) * (x - x0) % (x1 - x0) == 0
    }


def lattice_of(ring: list[tuple[int, ...]]) -> tuple[int, int]:
    """Count lattice points strictly inside a convex polygon and on its sides, by trying all of its bounding box."""
    sides = list(pairwise([*ring, ring[0]]))
    rim = set().union(*(on_segment(a, b) for a, b in sides))
    inside = 0
    for x in range(min(p[0] for p in ring), max(p[0] for p in ring) + 1):
        for y in range(min(p[1] for p in ring), max(p[1] for p in ring) + 1):
            inside += (x, y) not in rim and all(
                (b[0] - a[0]) * (y - a[1]) > (b[1] - a[1]) * (x - a[0]) for a, b in sides
            )
    return inside, len(rim)


def area(q: str) -> Fraction:
    """By Pick's theorem, the lattice points being counted one by one."""
    inside, rim = lattice_of(points(q))
    return inside + Fraction(rim, 2) - 1


def lattice(q: str) -> int:
    if "segment" in q:
        return len(on_segment(*points(q)))
    ring = points(q)
    if "inside" in q:
        return lattice_of(ring)[0]
    return len(set().union(*(on_segment(a, b) for a, b in pairwise([*ring, ring[0]]))))


ANSWERS: dict[str, Callable[[str], Fraction | int]] = {
    "gcd": common_divisor,
    "power": power,
    "divisors": divisors,
    "choices": choices,
    "paths": paths,
    "multiples": multiples,
    "urn": urn,
    "spinners": spinners,
    "linear": linear,
    "system": system,
    "roots": roots,
    "polynomial": polynomial,
    "arithmetic": arithmetic,
    "geometric": geometric,
    "recurrence": recurrence,
    "distance": distance,
    "area": area,
    "lattice": lattice,
}


def statements(solution: str) -> list[list[Fraction | int | None]]:
    """The sides of each statement `a=b=c` of a worked solution, None where a side has letters."""
    found = []
    for line in solution.split("\n")[:-1]:
        for statement in re.split(r", (?![^(]*\))", line.split(": ")[-1]):
            sides: list[Fraction | int | None] = []
            for side in statement.split("="):
                try:
                    sides.append(value(side))
                except ValueError:
                    sides.append(None)
            found.append(sides)
    return found
