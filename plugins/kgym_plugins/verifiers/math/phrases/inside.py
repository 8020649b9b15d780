"""Words that the grammar meets inside a formula: before conditions, beside numbers, and short words that are not
products of letters.
"""

from kgym_plugins.verifiers.math.tables import name_list

CONNECTIVES = {
    "and": "and", "und": "and", "和": "and", "与": "and", "и": "and",
    "or": "or", "oder": "or", "或": "or", "或者": "or", "または": "or", "или": "or", "hoặc": "or", "또는": "or",
}  # fmt: skip
"""Words between items, and what they mean."""
BEFORE_CONDITION = frozenset({"if", "for", "when", "where", "whenever", "and"})
"""Before the condition of a case."""
OTHERWISE = frozenset({"otherwise", "else"})
PARITY = {"even": 0, "odd": 1}
AROUND_PARITY = BEFORE_CONDITION | {"is", "an", "number", "integer", "all", "any", "every", ","}
"""Words of the condition of a case in which a letter is even or odd: `if n is even`, `for odd n`."""
SHORT_WORDS = frozenset(
    name_list(
        """
    no yes all any the not out of odd red dne one two six ten a an per is are if for
    max min day new box way low top bad men sum set
    """
    )
)
"""Words of three letters or fewer that are not a product of variables."""
