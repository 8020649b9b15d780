"""Tables that are written as running text."""


def name_list(text: str) -> list[str]:
    """Split a table that is written as running text."""
    return text.split()
