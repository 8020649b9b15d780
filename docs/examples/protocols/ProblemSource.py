"""A source of problems: the squares. It is endless, so its size is None."""

from kgym.types import Problem


class Squares:
    """Follows `kgym.types.ProblemSource`: a pure function from an index to a problem."""

    size = None
    fingerprint = "squares-1"  # changes with the problems

    def __getitem__(self, index: int) -> Problem:
        return Problem(
            id=f"demo/squares/{index}",
            question=f"What is {index}*{index}?",
            gold=str(index * index),
        )


source = Squares()
assert source[12].gold == "144"
assert source[12] == source[12]
