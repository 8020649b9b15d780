"""Options of an engine that takes a LoRA adapter alone, up to a rank."""

from pydantic import Field

from kgym.options import Options
from kgym.types import AdapterOptions


class AcmeOptions(Options):
    """Options of an engine."""

    adapter_rank: int = Field(0, ge=0)
    """Highest rank of an adapter that is handed over alone; 0: weights come merged."""


assert isinstance(AcmeOptions(adapter_rank=16), AdapterOptions)
