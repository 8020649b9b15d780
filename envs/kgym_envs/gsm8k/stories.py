"""The families of word problems: two arithmetic steps at level 1, about six at level 5."""

import random
from fractions import Fraction
from math import gcd

from kgym.envs.generated import Draft, Family
from kgym_envs.gsm8k.telling import GOODS, TREASURES, listed, people, story, total


def shopping(rng: random.Random, level: int) -> Draft | None:
    """What several goods cost; the change from level 2, a percentage off from level 4."""
    (name, they), kinds = people(rng, 1)[0], 2 if level < 3 else 3
    goods = rng.sample(GOODS, kinds)
    lines = [(rng.randint(2, 9), rng.randint(2, 6 + 3 * level)) for _ in range(kinds)]
    if len(set(lines)) < kinds:
        return None
    costs = [count * price for count, price in lines]
    bought = listed(
        [f"{count} {what} for {price} dollars each" for (count, price), what in zip(lines, goods, strict=True)]
    )
    steps = [f"{what}: {count}*{price}={count * price}" for (count, price), what in zip(lines, goods, strict=True)]
    steps.append(f"together: {total(costs)}")
    cost, off, extra = sum(costs), 0, ""
    if level > 3:
        off = rng.choice((10, 20, 25, 40, 50))
        if cost * off % 100:
            return None
        saved = cost * off // 100
        steps.append(f"off: {cost}*{off}/100={saved}, {cost}-{saved}={cost - saved}")
        cost -= saved
        extra = f" At the counter {they} shows a coupon for {off}% off the whole bill."
    params: list[str | int] = ["shopping", level > 1, off, *(part for line in sorted(lines) for part in line)]
    if level == 1:
        texts = (
            f"{name} buys {bought}. How many dollars does {they} spend?",
            f"At the market, {name} pays for {bought}. What is the total in dollars?",
            f"How much, in dollars, do {bought} cost {name} altogether?",
        )
        return story(params, rng.choice(texts), cost, *steps)
    note = next(note for note in (20, 50, 100, 200, 500, 1000) if note > cost)
    texts = (
        f"{name} buys {bought}.{extra} How much change does {they} get from {note} dollars?",
        f"{name} has {note} dollars and buys {bought}.{extra} How many dollars are left?",
        f"With {note} dollars in hand, {name} goes to a shop and takes {bought}.{extra} How many dollars does {they} "
        "bring home?",
    )
    return story([*params, note], rng.choice(texts), note - cost, *steps, f"left: {note}-{cost}={note - cost}")


def collection(rng: random.Random, level: int) -> Draft | None:
    """What happens to a collection, one event after another: two of them at level 1, six at level 5."""
    (name, they), (friend, _) = people(rng, 2)
    things = rng.choice(TREASURES)
    start = now = rng.randint(6, 20 + 10 * level)
    steps, told, params = [], [], []
    for _ in range(level + 1):
        kind = rng.choice(
            ("find", "give", "bags", "half", "double", "third") if level > 1 else ("find", "give", "bags")
        )
        a, b = rng.randint(3, 9 + 6 * level), rng.randint(2, 5)
        before = now
        if kind == "find":
            now += a
            told.append(f"{they} finds {a} more")
            steps.append(f"{before}+{a}={now}")
        elif kind == "give":
            now -= a
            told.append(f"{they} gives {a} of them to {friend}")
            steps.append(f"{before}-{a}={now}")
        elif kind == "bags":
            a = rng.randint(2, 12)
            now += a * b
            told.append(f"{they} buys {b} bags with {a} in each")
            steps.append(f"{b}*{a}={a * b}, {before}+{a * b}={now}")
        elif kind == "double":
            now *= 2
            told.append(f"{they} is given as many again as {they} has")
            steps.append(f"2*{before}={now}")
        else:
            part = {"half": 2, "third": 3}[kind]
            if now % part:
                return None
            now -= now // part
            told.append(f"{they} loses a {kind} of them")
            steps.append(f"{before}/{part}={before // part}, {before}-{before // part}={now}")
        params += [kind, *((a, b) if kind == "bags" else (a,) if kind in ("find", "give") else ())]
        if not 2 < now < 600:
            return None
    days = ["On Monday", "On Tuesday", "On Wednesday", "On Thursday", "On Friday", "On Saturday"]
    body = ". ".join(f"{day} {text}" for day, text in zip(days, told, strict=False))
    texts = (
        f"{name} has {start} {things}. {body}. How many {things} does {name} have now?",
        f"On Sunday, {name}'s collection holds {start} {things}. {body}. How many {things} does it hold in the end?",
        f"{name} collects {things} and begins the week with {start} of them. {body}. How many are there after that?",
    )
    return story(["collection", start, *params], rng.choice(texts), now, *steps)


def wages(rng: random.Random, level: int) -> Draft | None:
    """Pay by the hour; tips at level 2, overtime at level 3, saving for something from level 4."""
    (name, they), rate, days, hours = people(rng, 1)[0], rng.randint(8, 24), rng.randint(3, 6), rng.randint(3, 8)
    pay = rate * hours * days
    steps = [f"hours: {hours}*{days}={hours * days}", f"pay: {hours * days}*{rate}={pay}"]
    told = f"{name} earns {rate} dollars an hour and works {hours} hours a day on {days} days of the week"
    params: list[str | int] = ["wages", level, rate, days, hours]
    if level == 2:
        tips = rng.randint(5, 60)
        told += f", and gets {tips} dollars in tips on top"
        steps.append(f"with tips: {pay}+{tips}={pay + tips}")
        pay, params = pay + tips, [*params, tips]
    elif level > 2:
        more = 2 * rng.randint(1, 5)
        extra = more * rate * 3 // 2
        told += f". For {more} hours at the weekend, {they} is paid one and a half times as much"
        steps += [f"weekend: {more}*{rate}*3/2={extra}", f"a week: {pay}+{extra}={pay + extra}"]
        pay, params = pay + extra, [*params, more]
    if level < 4:
        texts = (
            f"{told}. How many dollars does {name} earn in that week?",
            f"{told}. What are the week's earnings, in dollars?",
            f"{told}. Find the number of dollars that {name} takes home that week.",
        )
        return story(params, rng.choice(texts), pay, *steps)
    if level == 5:
        rent = rng.randint(pay // 3, 2 * pay // 3)
        told += f". Every week, {rent} dollars go on rent and food"
        steps.append(f"kept: {pay}-{rent}={pay - rent}")
        pay, params = pay - rent, [*params, rent]
    weeks = rng.randint(3, 12)
    price = pay * weeks - rng.randint(0, pay - 1)
    if price % pay == 0:
        steps.append(f"weeks: {price}/{pay}={weeks}")
    else:
        steps.append(f"weeks: {weeks - 1}*{pay}={(weeks - 1) * pay} is less, {weeks}*{pay}={weeks * pay} is enough")
    texts = (
        f"{told}. Every week is like this one. After how many whole weeks can {they} pay for a boat that costs {price} "
        "dollars?",
        f"{told}. A boat costs {price} dollars. How many such weeks does {name} have to work for it?",
        f"{told}. How many weeks like this does it take {name} until a boat for {price} dollars can be paid?",
    )
    return story([*params, price], rng.choice(texts), weeks, *steps)


def journey(rng: random.Random, level: int) -> Draft | None:
    """Ways, speeds and hours: a sum, the hours that are left, an average, a meeting, a meeting with a head start."""
    (name, they), (other, _) = people(rng, 2)
    v, w = rng.randint(9, 40 + 10 * level), rng.randint(9, 40 + 10 * level)
    t, u = rng.randint(2, 6), rng.randint(2, 6)
    if v == w:
        return None
    if level == 1:
        texts = (
            f"{name} drives {t} hours at {v} km an hour and then {u} hours at {w} km an hour. How many km is that in "
            "all?",
            f"A bus goes at {v} km an hour for {t} hours, and at {w} km an hour for the next {u} hours. How far does "
            "it go, in km?",
            f"How many km does {name} travel in {t} hours at {v} km an hour followed by {u} hours at {w} km an hour?",
        )
        steps = [f"first: {t}*{v}={t * v}", f"then: {u}*{w}={u * w}", f"together: {t * v}+{u * w}={t * v + u * w}"]
        params = [*sorted([(t, v), (u, w)])]
        return story(["sum", *(part for pair in params for part in pair)], rng.choice(texts), t * v + u * w, *steps)
    if level == 2:
        way = t * v + u * w
        texts = (
            f"{name} has {way} km to go. After {t} hours at {v} km an hour, {they} does the rest at {w}. How many more "
            "hours does it take?",
            f"A train runs {way} km: {t} hours at {v} km an hour, then at {w} km an hour. How many hours does it run "
            "at that speed?",
            f"Of {way} km, the first {t} hours are driven at {v} km an hour, the others at {w} km an hour. How many "
            "hours are the others?",
        )
        steps = [f"first: {t}*{v}={t * v}", f"left: {way}-{t * v}={u * w}", f"hours: {u * w}/{w}={u}"]
        return story(["rest", way, t, v, w], rng.choice(texts), u, *steps)
    if level == 3:
        if (t * v + u * w) % (t + u):
            return None
        mean = (t * v + u * w) // (t + u)
        texts = (
            f"{name} drives {t} hours at {v} km an hour and then {u} hours at {w} km an hour. What is the average "
            "speed in km an hour?",
            f"A bus goes at {v} km an hour for {t} hours, and at {w} km an hour for the next {u} hours. Find its mean "
            "speed in km an hour.",
            f"What is the mean speed, in km an hour, over {t} hours at {v} km an hour followed by {u} hours at {w} km "
            "an hour?",
        )
        steps = [
            f"first: {t}*{v}={t * v}",
            f"then: {u}*{w}={u * w}",
            f"way: {t * v}+{u * w}={t * v + u * w}",
            f"hours: {t}+{u}={t + u}",
        ]
        steps.append(f"average: {t * v + u * w}/{t + u}={mean}")
        return story(
            ["mean", *(part for pair in sorted([(t, v), (u, w)]) for part in pair)], rng.choice(texts), mean, *steps
        )
    ahead = u if level == 5 else 0
    way = v * (t + ahead) + w * t
    began = f"{other} starts {ahead} hours after {name}." if ahead else "They start at the same time."
    speeds = f"{name} at {v} and {other} at {w} km an hour"
    texts = (
        f"{name} and {other} live {way} km apart and ride to each other, {speeds}. {began} How many hours has {other} "
        "gone when they meet?",
        f"At the ends of a road of {way} km two people set out, {speeds}. {began} How many hours does {other} ride "
        "until they meet?",
        f"From A to B it is {way} km. {name} goes to B, {other} to A, {speeds}. {began} How many hours does {other} "
        "ride before they meet?",
    )
    steps = [f"head start: {v}*{ahead}={v * ahead}, {way}-{v * ahead}={way - v * ahead}"] if ahead else []
    steps += [f"an hour: {v}+{w}={v + w}", f"hours: {way - v * ahead}/{v + w}={t}"]
    return story(
        ["meet", way, v, w, ahead] if ahead else ["meet", way, *sorted((v, w)), 0], rng.choice(texts), t, *steps
    )


def ages(rng: random.Random, level: int) -> Draft | None:
    """How old people are, from how their ages compare."""
    (one, _), (two, _), (three, _) = people(rng, 3)
    young, times, apart, later = (
        rng.randint(4, 15 + 3 * level),
        rng.randint(2, 5),
        rng.randint(2, 30),
        rng.randint(2, 20),
    )
    if level == 1:
        answer = 2 * young + apart
        told = f"{one} is {young} years old. {two} is {apart} years older"
        asks = (
            "How old are they together?",
            "What is the sum of their ages?",
            "How many years old are both of them taken together?",
        )
        steps = [f"{two}: {young}+{apart}={young + apart}", f"together: {young}+{young + apart}={answer}"]
        return story(["sum", young, apart], f"{told}. {rng.choice(asks)}", answer, *steps)
    if level == 2:
        old = times * young
        answer = old + later
        told = f"{one} is {young} years old, and {two} is {times} times as old"
        asks = (
            f"How old will {two} be in {later} years?",
            f"What will be {two}'s age {later} years from now?",
            f"In {later} years, how old is {two}?",
        )
        return story(
            ["later", young, times, later],
            f"{told}. {rng.choice(asks)}",
            answer,
            f"{times}*{young}={old}",
            f"{old}+{later}={answer}",
        )
    if level == 3:
        whole = (times + 1) * young
        told = f"{two} is {times} times as old as {one}, and together they are {whole} years old"
        asks = (f"How old is {two}?", f"What is {two}'s age?", f"How many years old is {two} now?")
        steps = [
            f"parts: {times}+1={times + 1}",
            f"{one}: {whole}/{times + 1}={young}",
            f"{two}: {times}*{young}={times * young}",
        ]
        return story(["parts", times, whole], f"{told}. {rng.choice(asks)}", times * young, *steps)
    if level == 4:
        if times * (young + later) - later <= young:
            return None
        apart = (times - 1) * (young + later)
        told = (
            f"{two} is {apart} years older than {one}. In {later} years, {two} will be {times} times as old as "
            f"{one} will be then"
        )
        asks = (f"How old is {one} now?", f"What is {one}'s age today?", f"How many years old is {one} at present?")
        then = young + later
        steps = [f"then: {times}-1={times - 1}, {apart}/{times - 1}={then}", f"now: {then}-{later}={young}"]
        return story(["then", apart, later, times], f"{told}. {rng.choice(asks)}", young, *steps)
    whole = young + times * young + times * young + apart
    told = (
        f"{two} is {times} times as old as {one}, {three} is {apart} years older than {two}, and all three "
        f"together are {whole} years old"
    )
    asks = (f"How old is {three}?", f"What is {three}'s age?", f"Find the age of {three} in years.")
    steps = [f"without the {apart}: {whole}-{apart}={whole - apart}", f"parts: 1+{times}+{times}={1 + 2 * times}"]
    steps += [f"{one}: {whole - apart}/{1 + 2 * times}={young}", f"{two}: {times}*{young}={times * young}"]
    steps.append(f"{three}: {times * young}+{apart}={times * young + apart}")
    return story(["three", times, apart, whole], f"{told}. {rng.choice(asks)}", times * young + apart, *steps)


def packing(rng: random.Random, level: int) -> Draft | None:
    """Things in boxes: those left over, the boxes that are needed, what they cost, what they earn."""
    rows, each, size = rng.randint(4, 12 + 4 * level), rng.randint(5, 20), rng.randint(4, 12)
    what = rng.choice(("eggs", "oranges", "bottles", "bulbs", "jars"))
    made, steps = rows * each, [f"all: {rows}*{each}={rows * each}"]
    told = f"{rows} crates with {each} {what} each arrive"
    params: list[str | int] = ["packing", level, rows, each, size]
    if level > 3:
        broken = rng.randint(2, made // 5)
        told += f", but {broken} of the {what} are broken and thrown away"
        steps.append(f"good: {made}-{broken}={made - broken}")
        made, params = made - broken, [*params, broken]
    full, rest = divmod(made, size)
    if rest == 0:
        return None
    steps.append(f"{full}*{size}={full * size}, {made}-{full * size}={rest}")
    told += f". The {what} are packed into boxes of {size}"
    if level == 1:
        asks = (
            f"How many {what} are left when no more box can be filled?",
            f"How many {what} do not fit into full boxes?",
            f"After filling as many boxes as possible, how many {what} remain?",
        )
        return story(params, f"{told}. {rng.choice(asks)}", rest, *steps)
    steps.append(f"boxes: {full}+1={full + 1}")
    if level == 2:
        asks = (
            f"How many boxes are needed for all the {what}?",
            "How many boxes does it take, if the last one need not be full?",
            f"Every one of the {what} has to go into a box. How many boxes are used?",
        )
        return story(params, f"{told}, the last of which need not be full. {rng.choice(asks)}", full + 1, *steps)
    price = rng.randint(2, 9)
    if level < 5:
        asks = (
            f"An empty box costs {price} dollars. What do the boxes for all of them cost, in dollars?",
            f"How many dollars are spent on boxes, at {price} dollars a box?",
            f"At {price} dollars for an empty box, how many dollars do the boxes cost?",
        )
        steps.append(f"cost: {full + 1}*{price}={(full + 1) * price}")
        return story(
            [*params, price],
            f"{told}, the last of which need not be full. {rng.choice(asks)}",
            (full + 1) * price,
            *steps,
        )
    for_full = price + rng.randint(5, 20)
    told += (
        f". An empty box costs {price} dollars, and only full boxes are bought and sold on, for {for_full} dollars each"
    )
    asks = (
        "How many dollars of profit do the boxes make?",
        "What is the profit on the boxes, in dollars?",
        "By how many dollars does the income from the boxes exceed their cost?",
    )
    gain = for_full - price
    steps[-1:] = [f"for a box: {for_full}-{price}={gain}", f"profit: {full}*{gain}={full * gain}"]
    return story([*params, price, for_full], f"{told}. {rng.choice(asks)}", full * gain, *steps)


def shares(rng: random.Random, level: int) -> Draft | None:
    """Percentages and fractions of a whole and of what is left of it; from the rest to the whole at level 5."""
    whole, percent = (
        20 * rng.randint(2, 10 + 10 * level),
        rng.choice((10, 15, 20, 25, 30, 35, 40, 45, 60, 65, 70, 75, 80)),
    )
    below = rng.randint(3, 8)
    above = rng.randint(1, below - 1)
    if gcd(above, below) > 1:
        return None
    place, who = rng.choice((("school", "pupils"), ("library", "books"), ("harbour", "boats"), ("garden", "trees")))
    first = whole * percent // 100
    rest = whole - first
    steps = [f"{whole}*{percent}/100={first}", f"{whole}-{first}={rest}"]
    told = f"Of the {whole} {who} of a {place}, {percent}% are new"
    params: list[str | int] = ["shares", level, whole, percent]
    if level == 1:
        asks = (
            f"How many {who} are not new?",
            f"How many of the {who} are old ones?",
            f"What is the number of {who} that are not new?",
        )
        return story(params, f"{told}. {rng.choice(asks)}", rest, *steps)
    if rest % below:
        return None
    marked, params = rest // below * above, [*params, above, below]
    steps.append(f"{rest}*{above}/{below}={marked}")
    told += f". Of the others, {above}/{below} have been counted"
    if level == 2:
        asks = (
            f"How many {who} are not new and have been counted?",
            f"How many of the old {who} have been counted?",
            f"What is the number of the other {who} that have been counted?",
        )
        return story(params, f"{told}. {rng.choice(asks)}", marked, *steps)
    left = rest - marked
    steps.append(f"{rest}-{marked}={left}")
    if level == 3:
        asks = (
            f"How many {who} are not new and have yet to be counted?",
            f"How many of the old {who} have not been counted?",
            f"What is the number of the other {who} that have not been counted?",
        )
        return story(params, f"{told}. {rng.choice(asks)}", left, *steps)
    if level == 4:
        days = rng.randint(2, 9)
        if left % days:
            return None
        asks = (
            f"The rest of the old {who} are counted in {days} days, the same number every day. How many is that a day?",
            f"How many {who} a day have to be counted if the rest of the old ones is to take {days} days, the same "
            "number every day?",
            f"The remaining old {who} are to be counted in {days} equal days. What is each day's number?",
        )
        return story(
            [*params, days], f"{told}. {rng.choice(asks)}", left // days, *steps, f"{left}/{days}={left // days}"
        )
    told = (
        f"In a {place}, {percent}% of the {who} are new. Of the others, {above}/{below} have been counted, and "
        f"{left} have not"
    )
    asks = (
        f"How many {who} are there in all?",
        f"What is the number of all the {who}?",
        f"How many {who} are there, new and old together?",
    )
    steps = [
        f"{below}-{above}={below - above}, {left}*{below}/{below - above}={rest}",
        f"100-{percent}={100 - percent}",
    ]
    steps.append(f"{rest}*100/{100 - percent}={whole}")
    return story(["whole", percent, above, below, left], f"{told}. {rng.choice(asks)}", whole, *steps)


def ratio(rng: random.Random, level: int) -> Draft | None:
    """Recipes and mixtures: in proportion, by a ratio and its sum or difference, with three parts, with something
    added.
    """
    a, b, c = (rng.randint(1, 4 + level) for _ in range(3))
    unit = rng.randint(2, 10 + 5 * level)
    one, two, three = rng.choice(
        (("nuts", "dates", "figs"), ("oats", "beans", "peas"), ("raisins", "almonds", "seeds"))
    )
    if a == b or gcd(a, b) > 1:
        return None
    if level == 1:
        people_, more, grams = a + 1, b + 4, unit * (a + 1) * 5
        if people_ == more:
            return None
        answer = grams // people_ * more
        texts = (
            f"A soup for {people_} people takes {grams} grams of beans. How many grams does it take for {more} people?",
            f"For {people_} guests, a cook needs {grams} grams of rice. How many grams are needed for {more} guests?",
            f"If {people_} loaves take {grams} grams of flour, how many grams do {more} loaves take?",
        )
        steps = [f"for one: {grams}/{people_}={grams // people_}", f"{grams // people_}*{more}={answer}"]
        return story(["proportion", people_, grams, more], rng.choice(texts), answer, *steps)
    kind = f"In a mixture, {one} and {two} are in the ratio {a}:{b}"
    if level == 2:
        whole = (a + b) * unit
        asks = (
            f"How many grams of {one} are in {whole} grams of it?",
            f"How many grams of {whole} grams of it are {one}?",
            f"For {whole} grams of it, how many grams of {one} are taken?",
        )
        steps = [f"parts: {a}+{b}={a + b}", f"a part: {whole}/{a + b}={unit}", f"{a}*{unit}={a * unit}"]
        return story(["sum", a, b, whole], f"{kind}. {rng.choice(asks)}", a * unit, *steps)
    if level == 3:
        apart, larger, smaller = abs(a - b) * unit, (one if a > b else two), (two if a > b else one)
        asks = (
            "How many grams is the whole mixture?",
            "What does all of it weigh, in grams?",
            "How many grams are there in all?",
        )
        steps = [f"parts apart: {max(a, b)}-{min(a, b)}={abs(a - b)}", f"a part: {apart}/{abs(a - b)}={unit}"]
        steps += [f"parts: {a}+{b}={a + b}", f"all: {a + b}*{unit}={(a + b) * unit}"]
        told = f"{kind}, with {apart} grams more of {larger} than of {smaller}"
        return story(["difference", *sorted((a, b)), apart], f"{told}. {rng.choice(asks)}", (a + b) * unit, *steps)
    if gcd(a, b, c) > 1:
        return None
    whole = (a + b + c) * unit
    told = f"In a mixture of {whole} grams, {one}, {two} and {three} are in the ratio {a}:{b}:{c}"
    steps = [f"parts: {total([a, b, c])}", f"a part: {whole}/{a + b + c}={unit}", f"{three}: {c}*{unit}={c * unit}"]
    if level == 4:
        price = rng.randint(2, 9)
        asks = (
            f"A gram of {three} costs {price} cents. What do all of it in the mixture cost, in cents?",
            f"At {price} cents a gram, how many cents do the {three} in it cost?",
            f"How many cents are the {three} in it worth at {price} cents a gram?",
        )
        steps.append(f"cost: {c * unit}*{price}={c * unit * price}")
        return story(
            ["three", *sorted((a, b)), c, whole, price], f"{told}. {rng.choice(asks)}", c * unit * price, *steps
        )
    share = Fraction(c * unit, whole)
    wanted = rng.choice([n for n in (2, 3, 4) if Fraction(1, n) > share] or [0])
    if not wanted:
        return None
    # (c u + x) / (whole + x) = 1 / wanted
    above = whole - wanted * c * unit
    if above % (wanted - 1):
        return None
    added = above // (wanted - 1)
    part = {2: "half", 3: "a third", 4: "a quarter"}[wanted]
    asks = (
        f"How many grams of {three} have to be added until they are {part} of the whole?",
        f"By adding {three} alone, they are brought to {part} of the whole. How many grams are added?",
        f"How many more grams of {three} make them {part} of it all?",
    )
    others = whole - c * unit
    steps += [f"others: {whole}-{c * unit}={others}", f"needed: {others}/{wanted - 1}={others // (wanted - 1)}"]
    steps.append(f"added: {others // (wanted - 1)}-{c * unit}={added}")
    return story(["added", *sorted((a, b)), c, whole, wanted], f"{told}. {rng.choice(asks)}", added, *steps)


FAMILIES = tuple(
    Family(make.__name__, "word problems", make)
    for make in (shopping, collection, wages, journey, ages, packing, shares, ratio)
)
