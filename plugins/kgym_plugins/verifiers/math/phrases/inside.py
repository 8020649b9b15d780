"""Words that the grammar meets inside a formula: before conditions, beside numbers, and short words that are no products of letters."""

from kgym_plugins.verifiers.math.tables import name_list

CONNECTIVES = frozenset({"and", "or"})
BEFORE_CONDITION = frozenset({"if", "for", "when", "where", "whenever", "and"})
"""Before the condition of a case."""
OTHERWISE = frozenset({"otherwise", "else"})
SHORT_WORDS = frozenset(
    name_list(
        """
    no yes all any the not out of odd red dne one two six ten a an is are if for max min day new box way low top bad men sum set
    """
    )
)
"""Words of three letters or fewer that are not a product of variables."""
