"""Units of measurement: dimension and size.

The rules (documented in docs/verifier.md): a unit that one side leaves out is forgiven; two units must have the same
dimension, and are converted; a counted thing ("12 apples") is not a unit, and is forgiven too, unless both sides name a
thing and the things differ.
"""

from dataclasses import dataclass
from fractions import Fraction

from kgym_plugins.verifiers.math.tables import name_list

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """A product of powers of base dimensions, with its size in base units; angles are in degrees."""

    dimension: Dimension
    size: Fraction = Fraction(1)
    offset: bool = False
    """A temperature scale with its own zero: not convertible."""

    def __str__(self) -> str:
        """Its dimension, with its size: `1/100*length`.

        >>> str(UNITS["cm"]), str(UNITS["mph"]), str(NO_UNIT)
        ('1/100*length', '1397/3125*length*time^-1', '')
        """
        name = "*".join(f"{base}^{power}" if power != 1 else base for base, power in self.dimension)
        return f"{self.size}*{name}" if name and self.size != 1 else name

    def times(self, other: "Unit", power: int = 1) -> "Unit":
        """Return self * other ** power."""
        exponents = dict(self.dimension)
        for name, exponent in other.dimension:
            exponents[name] = exponents.get(name, 0) + exponent * power
        dimension = tuple(
            sorted((name, e) for name, e in exponents.items() if e)
        )  # a kelvin in J/K is a difference: it has no zero
        return Unit(
            dimension,
            self.size * other.size**power,
            (self.offset or other.offset) and sum(abs(e) for _, e in dimension) == 1,
        )


NO_UNIT = Unit(())
ANGLE: Dimension = (("angle", 1),)
MINUTE_OF_ARC, SECOND_OF_ARC = Unit(ANGLE, Fraction(1, 60)), Unit(ANGLE, Fraction(1, 3600))

_TABLE: dict[tuple[str, int], dict[str, int | Fraction]] = {
    ("length", 1): {
        "m meter meters metre metres": 1, "cm centimeter centimeters centimetre centimetres": Fraction(1, 100),
        "mm millimeter millimeters millimetre millimetres": Fraction(1, 1000),
        "km kilometer kilometers kilometre kilometres kms": 1000,
        "in inch inches": Fraction(254, 10000), "ft foot feet": Fraction(3048, 10000),
        "yd yard yards yds": Fraction(9144, 10000), "mi mile miles": Fraction(1609344, 1000),
        "nm nanometer nanometers": Fraction(1, 10**9), "dm decimeter decimeters": Fraction(1, 10),
    },
    ("placeholder", 1): {"unit units": 1},
    ("time", 1): {
        "s sec secs second seconds": 1, "min mins minute minutes": 60, "h hr hrs hour hours": 3600, "day days": 86400,
        "week weeks wk wks": 604800,
        "ms millisecond milliseconds": Fraction(1, 1000),
    },
    ("months", 1): {
        "month months mo mos": 1, "year years yr yrs": 12, "decade decades": 120, "century centuries": 1200,
    },
    ("mass", 1): {
        "g gram grams": 1, "kg kilogram kilograms kgs": 1000, "mg milligram milligrams": Fraction(1, 1000),
        "lb lbs pound pounds": Fraction(45359237, 100000),
        "oz ounce ounces": Fraction(45359237, 1600000), "ton tons": Fraction(90718474, 100), "tonne tonnes": 10**6,
    },
    ("volume", 1): {
        "l liter liters litre litres": Fraction(1, 1000),
        "ml milliliter milliliters millilitre millilitres": Fraction(1, 10**6),
        "cc": Fraction(1, 10**6),
        "gal gallon gallons": Fraction(3785411784, 10**12), "quart quarts qt qts": Fraction(946352946, 10**12),
        "pint pints pt pts": Fraction(473176473, 10**12),
        "cup cups": Fraction(2365882365, 10**13),
    },
    ("angle", 1): {"degree degrees deg degs": 1},
    ("radian", 1): {"rad rads radian radians": 1},
    ("dollar", 1): {"dollar dollars usd bucks": 1, "cent cents": Fraction(1, 100)},
    ("euro", 1): {"euro euros eur": 1},
    ("sterling", 1): {"sterling gbp": 1},
    ("yen", 1): {"yen jpy": 1},
    ("rupee", 1): {"rupee rupees rs inr": 1},
    ("force", 1): {"newton newtons": 1},
    ("energy", 1): {"j joule joules": 1, "kj kilojoule kilojoules": 1000, "calorie calories": Fraction(4184, 1000)},
    ("power", 1): {"w watt watts": 1, "kw kilowatt kilowatts": 1000},
    ("frequency", 1): {"hz hertz": 1},
    ("current", 1): {"amp amps ampere amperes": 1},
    ("voltage", 1): {"v volt volts": 1},
    ("resistance", 1): {"ohm ohms": 1},
    ("pressure", 1): {"pa pascal pascals": 1, "atm": 101325},
    ("amount", 1): {"mol mole moles": 1},
    ("turn", 1): {"rev revs revolution revolutions": 1},
    ("information", 1): {"bit bits": 1, "byte bytes": 8},
}  # fmt: skip
UNITS: dict[str, Unit] = {
    name: Unit((dimension,), Fraction(size))
    for dimension, group in _TABLE.items()
    for names, size in group.items()
    for name in names.split()
}
UNITS["mph"] = UNITS["mile"].times(UNITS["hour"], -1)
UNITS["kph"] = UNITS["kmh"] = UNITS["km"].times(UNITS["hour"], -1)
UNITS["rpm"] = UNITS["rev"].times(UNITS["minute"], -1)
UNITS["bpm"] = NO_UNIT.times(UNITS["minute"], -1)
UNITS["acre"] = UNITS["acres"] = Unit((("length", 2),), Fraction(40468564224, 10**7))
UNITS["hectare"] = UNITS["hectares"] = UNITS["ha"] = Unit((("length", 2),), Fraction(10000))
UNITS["celsius"] = Unit((("celsius", 1),), offset=True)
UNITS["fahrenheit"] = Unit((("fahrenheit", 1),), offset=True)
UNITS["kelvin"] = UNITS["kelvins"] = Unit((("kelvin", 1),), offset=True)


def of_arc(large: Unit, small: Unit) -> Unit:
    """Minutes and seconds after degrees are those of an angle."""
    if (
        large.dimension == ANGLE
        and large.size >= small.size / 3600
        and small.dimension == (("time", 1),)
        and small.size in (1, 60)
    ):
        return Unit(ANGLE, small.size / 3600)
    return small


for _volume, _size in [(name, unit.size) for name, unit in UNITS.items() if unit.dimension == (("volume", 1),)]:
    UNITS[_volume] = Unit((("length", 3),), _size)
UNITS["mpg"] = UNITS["mile"].times(UNITS["gallon"], -1)


def _product(**powers: int) -> Unit:
    unit = NO_UNIT
    for name, power in powers.items():
        unit = unit.times(UNITS[name], power)
    return unit


_NEWTON, _WATT = _product(kg=1, m=1, s=-2), _product(kg=1, m=2, s=-3)
_VOLT = _WATT.times(UNITS["amp"], -1)
_DERIVED = {
    "force": _NEWTON,
    "energy": _NEWTON.times(UNITS["m"]),
    "power": _WATT,
    "pressure": _NEWTON.times(UNITS["m"], -2),
    "voltage": _VOLT,
    "resistance": _VOLT.times(UNITS["amp"], -1),
    "frequency": _product(s=-1),
}
"""Kinds of units that are products of others: a newton per square metre is a pascal."""
for _name, _unit in list(UNITS.items()):
    if _unit.dimension and _unit.dimension[0][0] in _DERIVED:
        _of = _DERIVED[_unit.dimension[0][0]]
        UNITS[_name] = Unit(_of.dimension, _unit.size * _of.size)

_SYMBOLS: dict[str, tuple[Unit, str]] = {
    "N": (_NEWTON, "kMm"), "J": (UNITS["joule"], "kMGm"), "W": (_WATT, "kMGmn"), "V": (_VOLT, "kMmn"),
    "Pa": (UNITS["pascal"], "kMG"),
    "Hz": (UNITS["hertz"], "kMG"), "L": (UNITS["liter"], "m"), "K": (UNITS["kelvin"], "mn"), "A": (UNITS["amp"], "kmn"),
    "eV": (Unit(UNITS["joule"].dimension, UNITS["joule"].size * Fraction(1602176634, 10**28)), "kMG"),
    "C": (_product(amp=1, s=1), "mn"), "F": (_product(amp=1, s=1).times(_VOLT, -1), "mnp"),
    "T": (_product(kg=1, amp=-1, s=-2), "m"),
    "H": (_VOLT.times(UNITS["s"]).times(UNITS["amp"], -1), "m"),
    "Nm": (UNITS["joule"], "k"), "Wh": (_WATT.times(UNITS["h"]), "kMG"), "mol": (UNITS["mol"], "km"),
}  # fmt: skip
_PREFIXES = {
    "G": Fraction(10**9),
    "M": Fraction(10**6),
    "k": Fraction(1000),
    "m": Fraction(1, 1000),
    "n": Fraction(1, 10**9),
}
_PREFIXES["p"] = Fraction(1, 10**12)
SYMBOLS: dict[str, Unit] = {name: unit for name, (unit, _) in _SYMBOLS.items()} | {
    prefix + name: Unit(unit.dimension, unit.size * _PREFIXES[prefix])
    for name, (unit, prefixes) in _SYMBOLS.items()
    for prefix in prefixes
}
"""Signs of units in which capitals matter: mW is not MW. One letter alone is a unit only after a number or beside
another unit.
"""
OFTEN_LETTERS = frozenset("ACFHT")
"""Signs of units that are often letters of something else."""


def unit_named(word: str) -> Unit | None:
    """Return the unit of a name or sign, None for other words.

    >>> str(unit_named("mW")) == str(unit_named("MW")), unit_named("apples")
    (False, None)
    """
    if word in SYMBOLS:
        return SYMBOLS[word]
    small = word.casefold()
    return UNITS.get(small) or (UNITS.get(small.rstrip(".")) if len(small) > 2 else None)


TEXT_ONLY = frozenset(["j", "w", "v", "pa", "h", "l", "g"])
"""Letters that are units only where the text says so: elsewhere they are variables."""
POWER_WORDS = {"square": 2, "squared": 2, "sq": 2, "cubic": 3, "cubed": 3, "cu": 3}
ORDINALS = frozenset({"th", "st", "nd", "rd"})
FILLER = frozenset(name_list("of the a an in total approximately about exactly long wide tall away old per"))
"""Words after a number that change nothing."""
NO_NOUNS = frozenset(
    name_list(
        """
    is are was were be not isn't isnt no nor never wrong incorrect false right correct
    if when unless until without minus plus times
    maybe perhaps possibly probably otherwise except but than versus vs some any most least
    """
    )
)
"""Words after a number that say something about it, and are nothing that is counted."""
AFTER_NOUNS = frozenset(name_list("to for that which who with on from left remaining"))
"""Words that begin a remark on what is counted: 36 ways to arrange the books."""
PER = frozenset({"per", "each", "every"})
