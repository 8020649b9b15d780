"""Bounds that are checked before any work is done.

A response may be as long as it likes: finding the answer in it is linear. What is then taken as the answer is small or
refused.
"""

ANSWER_CHARS = 4000
"""Of an answer. The longest gold answer in MATH has about 150."""
TOKENS = 1500
DEPTH = 60
"""Of nested groups; the parser recurses about five Python frames for each."""
TREE_DEPTH = 150
"""Of a syntax tree: a chain of quotients or of factorials is deep without brackets."""
DIGITS = 2000
"""Of one number."""
EXACT_BITS = 14000
"""Of a numerator or denominator in exact arithmetic; what would be larger is computed in floating point. Python refuses
to write integers of more than 4300 digits, which is 14284 bits.
"""
EXPONENT_BITS = 256
"""Of the binary exponent of a floating-point number: 2 ** (2 ** 256) is refused before it is computed."""
FACTORIAL = 10**9
EXACT_FACTORIAL = 1000
PRODUCT_TERMS = 64
"""Alternatives that a sign such as ± may stand for."""
SYMBOLIC_NODES = 60
"""Of a difference that is given to symbolic simplification."""


class LimitError(ValueError):
    """The text asks for more work than any honest answer."""


class SyntaxProblem(ValueError):
    """The text does not follow the grammar; it is compared as text then."""
