"""Gold answers that are records: JSON that names the item, row or episode by which a verifier judges.

@dataclass(frozen=True)
class Record(GoldRecord, env="mine:NAME"):
name: str
seed: int

gold = str(Record("chess", seed=7))
Record.read(gold).seed
"""

import json
from dataclasses import asdict
from typing import Any, ClassVar, Self

from pydantic import TypeAdapter, ValidationError

from kgym.errors import DataError


class GoldRecord:
    """Base of a frozen dataclass of plain values; `env` names the environments in messages."""

    _env: ClassVar[str]

    def __init_subclass__(cls, *, env: str) -> None:
        cls._env = env

    def __str__(self) -> str:
        """Return the gold answer."""
        values: Any = self  # a dataclass
        return json.dumps(asdict(values), ensure_ascii=False)

    @classmethod
    def read(cls, gold: str) -> Self:
        """Read a gold answer back. Raises DataError if it is not such a record."""
        try:
            return TypeAdapter(cls).validate_json(gold)
        except ValidationError as error:
            raise DataError(f"not a gold answer of an environment {cls._env}: {gold[:80]!r}") from error
