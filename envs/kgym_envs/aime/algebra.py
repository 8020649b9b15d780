"""Algebra: linear equations, systems of them, symmetric functions of roots, values of polynomials."""

import random

from kgym.envs.generated import Draft, Family
from kgym_envs.aime.working import draft, modulo_1000, product, span, total


def linear(rng: random.Random, level: int) -> Draft | None:
    """One unknown: ax+b=c, x on both sides from level 3, brackets from level 5, two of them from level 7, both from
    level 9.
    """
    x = rng.randint(2, (20, 60, 60, 120, 120, 300, 300, 600, 600, 999)[level - 1])
    high = span(level, 9, 20)
    params: tuple[int, ...]
    b, e = rng.randint(1, 20 + 20 * level), rng.randint(1, 20 + 20 * level)
    if level < 3:
        a = rng.randint(2, high)
        c = a * x + b
        equation, params = f"{a}x+{b}={c}", (a, b, c)
        steps, many, value = [f"{a}x={c}-{b}={c - b}"], a, c - b
    elif level < 5:
        c = rng.randint(2, high)
        a = c + rng.randint(2, high)
        e = a * x + b - c * x
        equation, params = f"{a}x+{b}={c}x+{e}", (a, b, c, e)
        many, value = a - c, e - b
        steps = [f"{a}-{c}={many}", f"{many}x={e}-{b}={value}"]
    elif level < 7:
        c = rng.randint(2, high)
        a = c + rng.randint(2, high)
        e = a * (x + b) - c * x
        equation, params = f"{a}(x+{b})={c}x+{e}", (a, b, c, e)
        many, value = a - c, e - a * b
        steps = [*product(a, b), f"{a}-{c}={many}", f"{many}x={e}-{a * b}={value}"]
    else:
        a, c, d = (rng.randint(2, high) for _ in range(3))
        many, inside = a + c, a * b + c * e
        steps = [*product(a, b), *product(c, e), total([a * b, c * e]), f"{a}+{c}={many}"]
        if level < 9:
            f = many * x + inside
            equation, params = f"{a}(x+{b})+{c}(x+{e})={f}", (a, b, c, e, f)
        else:
            if d >= many:
                return None
            f = (many - d) * x + inside
            equation, params = f"{a}(x+{b})+{c}(x+{e})={d}x+{f}", (a, b, c, e, d, f)
            steps.append(f"{many}-{d}={many - d}")
            many -= d
        value = f - inside
        steps.append(f"{many}x={f}-{inside}={value}")
    if value < 0:
        return None
    question = rng.choice((f"Solve ${equation}$ for x.", f"Find x if {equation}.", f"What is x when {equation}?"))
    return draft(params, question, x, [*steps, f"x={value}/{many}={x}"])


def system(rng: random.Random, level: int) -> Draft | None:
    """Two unknowns: by adding, by substitution from level 3, by elimination from level 5; three unknowns from level
    8.
    """
    high = (99, 499, 30, 60, 20, 50, 200, 30, 100, 300)[level - 1]
    x, y, z = (rng.randint(1, high) for _ in range(3))
    params: tuple[int, ...]
    if level < 3:
        x, y = max(x, y), min(x, y)
        equations, wanted, answer, params = [f"x+y={x + y}", f"x-y={x - y}"], "x", x, (x + y, x - y)
        steps = [f"2x={x + y}+{x - y}={2 * x}", f"x={2 * x}/2={x}"]
    elif level < 5:
        a = rng.randint(2, 4 + level)
        b = a + rng.randint(2, 4 + level)
        s, t = x + y, a * x + b * y
        equations, wanted, answer, params = [f"x+y={s}", f"{a}x+{b}y={t}"], "y", y, (s, a, b, t)
        steps = [*product(a, s), f"{b}-{a}={b - a}", f"{b - a}y={t}-{a * s}={t - a * s}", f"y={t - a * s}/{b - a}={y}"]
    elif level < 8:
        a, b, c, d = (rng.randint(2, 4 + level) for _ in range(4))
        s, t, det = a * x + b * y, c * x + d * y, a * d - b * c
        if det < 2:
            return None
        equations, wanted, answer, params = [f"{a}x+{b}y={s}", f"{c}x+{d}y={t}"], "x+y", x + y, (a, b, s, c, d, t)
        steps = [*product(d, s), *product(b, t), f"{d * s}-{b * t}={det * x}"]
        steps += [*product(a, d), *product(b, c), f"{a * d}-{b * c}={det}", f"x={det * x}/{det}={x}"]
        steps += [*product(a, x), f"{b}y={s}-{a * x}={b * y}", f"y={b * y}/{b}={y}", total([x, y])]
    else:
        a, b, c = (rng.randint(2, level) for _ in range(3))
        p, q, r = a * x + b * y, b * y + c * z, a * x + c * z
        equations, wanted = [f"{a}x+{b}y={p}", f"{b}y+{c}z={q}", f"{a}x+{c}z={r}"], "x+y+z"
        answer, params = x + y + z, (a, b, c, p, q, r)
        half = (p + q + r) // 2
        steps = [total([p, q, r]), f"{2 * half}/2={half}"]
        for many, name, value, other in ((a, "x", x, q), (b, "y", y, r), (c, "z", z, p)):
            steps.append(f"{many}{name}={half}-{other}={many * value}, {name}={many * value}/{many}={value}")
        steps.append(total([x, y, z]))
    listed = ", ".join(equations[:-1]) + " and " + equations[-1]
    question = rng.choice(
        (f"If {listed}, find {wanted}.", f"Find ${wanted}$, given {listed}.", f"Let {listed}. What is {wanted}?")
    )
    return draft(params, question, answer, steps)


def roots(rng: random.Random, level: int) -> Draft | None:
    """Symmetric functions of the roots of a quadratic, of a cubic from level 7, by Vieta's formulas."""
    params: tuple[int, ...]
    if level < 7:
        s = rng.randint(*((5, 30), (10, 60), (5, 31), (8, 40), (6, 25), (20, 60))[level - 1])
        p = rng.randint(1, s * s // 4)
        polynomial, names = f"x^2-{s}x+{p}", "r and t"
        steps = [f"r+t={s}, rt={p}"]
    else:
        s = rng.randint(5, 3 * level)
        q, p = rng.randint(1, s * s // 3), rng.randint(1, 10 * level)
        polynomial, names = f"x^3-{s}x^2+{q}x-{p}", "r, t and u"
        steps = [f"r+t+u={s}, rt+tu+ur={q}, rtu={p}"]
    if level < 3:
        k = rng.randint(1, 3 * level)
        steps += [*product(k, s), f"{k}*{k}={k * k}", total([p, k * s, k * k])]
        wanted, answer, params = f"(r+{k})(t+{k})", p + k * s + k * k, (k, s, p)
    elif level < 5:
        answer = s * s - 2 * p
        steps += [*product(s, s), f"2*{p}={2 * p}", f"{s * s}-{2 * p}={answer}"]
        wanted, params = "r^2+t^2", (s, p)
    elif level < 7:
        value = s * s - 3 * p
        steps += [
            *product(s, s),
            f"3*{p}={3 * p}",
            f"{s * s}-{3 * p}={value}",
            *product(s, value),
            *modulo_1000(s * value),
        ]
        wanted, answer, params = "r^3+t^3", s * value, (s, p)
    elif level < 9:
        answer = s * s - 2 * q
        steps += [*product(s, s), f"2*{q}={2 * q}", f"{s * s}-{2 * q}={answer}"]
        wanted, params = "r^2+t^2+u^2", (s, q, p)
    else:
        value = s * s - 3 * q
        steps += [*product(s, s), f"3*{q}={3 * q}", f"{s * s}-{3 * q}={value}", *product(s, value)]
        steps += [f"3*{p}={3 * p}", total([s * value, 3 * p]), *modulo_1000(s * value + 3 * p)]
        wanted, answer, params = "r^3+t^3+u^3", s * value + 3 * p, (s, q, p)
    if level in (5, 6, 9, 10):
        if answer < 0:
            return None
        wanted, answer = f"{wanted} mod 1000", answer % 1000
    question = rng.choice(
        (
            f"Let {names} be the roots of ${polynomial}$. Find ${wanted}$.",
            f"{polynomial}=0 has roots {names}. What is {wanted}?",
            f"Find {wanted}, where {names} are the roots of {polynomial}.",
        )
    )
    return draft((wanted, *params), question, answer, steps)


def value_at(rng: random.Random, level: int) -> Draft | None:
    """Value of a polynomial by Horner's rule; minus signs from level 3, degree 3 to 5 from level 4, modulo 1000 from
    level 5.
    """
    degree = 2 if level < 4 else 3 if level < 7 else 4 if level < 9 else 5
    high = 8 if level == 1 else 20 + 5 * level
    x = rng.randint(2, (9, 12, 15, 9, 15, 25, 25, 40, 50, 99)[level - 1])
    leading = rng.randint(1, 3 if level == 1 else 9)
    rest = [rng.randint(1, high) * (rng.choice((1, -1)) if level >= 3 else 1) for _ in range(degree)]
    polynomial, value, steps = "" if leading == 1 else f"{leading}", leading, []
    for power, coefficient in zip(range(degree, -1, -1), [leading, *rest], strict=True):
        if power < degree:
            lines = product(value, x)
            lines.append(f"{value * x}{coefficient:+d}={value * x + coefficient}")
            value = value * x + coefficient
            if value < 0:
                return None
            if level >= 5:
                lines += modulo_1000(value)
                value %= 1000
            steps += [", ".join(lines)]
            polynomial += f"{coefficient:+d}"
        polynomial += "" if power == 0 else "x" if power == 1 else f"x^{power}"
    wanted = f"P({x})" + (" mod 1000" if level >= 5 else "")
    question = rng.choice(
        (
            f"Let $P(x)={polynomial}$. Find ${wanted}$.",
            f"If P(x)={polynomial}, what is {wanted}?",
            f"Find {wanted} for P(x)={polynomial}.",
        )
    )
    return draft((level >= 5, x, leading, *rest), question, value, steps)


FAMILIES = (
    Family("linear", "algebra", linear),
    Family("system", "algebra", system),
    Family("roots", "algebra", roots),
    Family("polynomial", "algebra", value_at),
)
