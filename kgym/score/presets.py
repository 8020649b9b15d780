"""Published protocols of evaluation: how often, how hot, how long and in which words others ask.

    kgym eval --bench math500 --preset r1

A preset fills in what the command leaves open, so an explicit option always wins. What it fills in is part of the request that a run
folder keeps and, but for the number of samples, of the comparability hash; its name is not: who sets the same values has the same hash.
"""

from dataclasses import dataclass
from typing import Any

from kgym.errors import UnknownName

BOXED = "{question}\nPlease reason step by step, and put your final answer within \\boxed{}."
"""The user's message as DeepSeek-R1 and Qwen3 recommend it in their model cards."""
ANSWER_LINE = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer (without quotes) "
    'where $Answer is the answer to the problem.\n\n{question}\n\nRemember to put your answer on its own line after "Answer:".'
)
"""The prompt in DAPO's data sets."""
SMALL = 100
"""Problems up to which a benchmark counts as small, and gets the larger number of samples."""


@dataclass(frozen=True)
class Preset:
    """A protocol. None leaves a value to the benchmark, the environment and kgym's defaults."""

    summary: str
    source: str
    samples: int
    """Answers for each problem of a small benchmark, such as AIME."""
    samples_large: int | None = None
    """The same for more than `SMALL` problems; None: as for a small one."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    prompt: str | None = None
    """Template of the user's message."""
    system: str | None = None
    verifier: str | None = None
    """For a prompt that asks for the answer in a form which the environment's own verifier does not read."""

    def options(self) -> dict[str, Any]:
        """Return the sampling and budget that it states, under the names of the options of `kgym eval`."""
        stated = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_tokens", "verifier")}
        return {name: value for name, value in stated.items() if value is not None}

    def env(self) -> dict[str, str]:
        """Return the options of the environment that it states."""
        return {name: value for name, value in (("prompt", self.prompt), ("system", self.system)) if value is not None}

    def samples_of(self, n_problems: int) -> int:
        """Return how many answers each of so many problems gets."""
        return self.samples if n_problems <= SMALL or self.samples_large is None else self.samples_large


PRESETS = {
    "r1": Preset(
        summary="DeepSeek-R1: 64 samples (4 of a large set), temperature 0.6, top-p 0.95, 32768 tokens",
        source="arXiv:2501.12948, evaluation setup: k of 4 to 64 by the size of the set; which size gets which is our reading",
        samples=64,
        samples_large=4,
        temperature=0.6,
        top_p=0.95,
        max_tokens=32_768,
        prompt=BOXED,
    ),
    "qwen3": Preset(
        summary="Qwen3, thinking: 64 samples (1 of a large set), temperature 0.6, top-p 0.95, top-k 20, 38912 tokens",
        source="arXiv:2505.09388, section 4.6: 64 samples and 38912 tokens are stated for AIME; 1 sample of other sets is our reading",
        samples=64,
        samples_large=1,
        temperature=0.6,
        top_p=0.95,
        top_k=20,
        max_tokens=38_912,
        prompt=BOXED,
    ),
    "dapo": Preset(
        summary="DAPO: 32 samples, temperature 1.0, top-p 0.7, 20480 tokens, the answer on a line of its own",
        source="arXiv:2503.14476, section 4.1, and the evaluation script of its repository",
        samples=32,
        temperature=1.0,
        top_p=0.7,
        max_tokens=20_480,
        prompt=ANSWER_LINE,
        verifier="math",
    ),
    "k1.5": Preset(
        summary="Kimi k1.5, short-CoT: mean of 8 runs; temperature, budget and prompt are not published and stay kgym's",
        source="arXiv:2501.12599, section 3.4: AIME 2024 averaged over 8 runs",
        samples=8,
    ),
}


def preset_of(name: str) -> Preset:
    """Return a preset. Raises UnknownName for one that does not exist."""
    if name not in PRESETS:
        raise UnknownName.near("preset", name, [*PRESETS, "list"])
    return PRESETS[name]
