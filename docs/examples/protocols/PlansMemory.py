"""An engine that takes part in the plan of a run's memory."""

from typing import Any

from kgym.types import EngineMemory, PlansMemory, SamplingWork


class Acme:
    """The part of an engine's class that plans."""

    @classmethod
    def memory(cls, options: Any, model_folder: str, work: SamplingWork) -> EngineMemory:
        """Return the bytes that it takes."""
        bytes_per_token = 1024
        return EngineMemory(
            device="cpu",
            held={"weights": 4_000_000},
            sampling={"keys and values": work.rows * work.tokens * bytes_per_token},
        )


assert isinstance(Acme, PlansMemory)
work = SamplingWork(rows=8, prompts=1, prompt_tokens=20, tokens=100)
assert Acme.memory(None, "", work).sampling == {"keys and values": 819_200}
