"""The benchmarks that come with kgym, and the published protocols for asking them."""

from collections.abc import Iterator

from kgym.hookspecs import BenchmarkInfo, Component, ExperimentInfo, PresetInfo, hookimpl

kgym_api = 1

BOXED = "{question}\nPlease reason step by step, and put your final answer within \\boxed{}."
"""The user's message as the model cards of DeepSeek-R1 and Qwen3 recommend it."""
ANSWER_LINE = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) "
    "where $Answer is the answer to the problem.\n\n{question}\n\nRemember to put your answer on its own line after "
    '"Answer:".'
)
"""The prompt in DAPO's data sets."""


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the benchmarks and experiments that come with kgym, and the protocols by which others have evaluated."""
    yield BenchmarkInfo(
        name="aime-style",
        env="aime",
        split="validation",
        problems=500,
        samples=4,
        summary="500 generated AIME-style problems, never used for training",
    )
    for year in (2024, 2025, 2026):
        yield BenchmarkInfo(
            name=f"aime{year % 100}",
            env="aime",
            split=str(year),
            samples=16,
            summary=f"AIME {year}, both halves, from data that you add",
        )
    for month, name in (("feb", "February"), ("nov", "November")):
        yield BenchmarkInfo(
            name=f"hmmt_{month}25",
            env="math500",
            split=f"hmmt_{month}25",
            samples=16,
            summary=f"HMMT, {name} 2025, from data that you add",
        )
    yield BenchmarkInfo(
        name="math500-style",
        env="math500",
        split="validation",
        problems=510,
        samples=4,
        summary="510 generated problems in the manner of MATH, two of each family and level, never used for training",
    )
    yield BenchmarkInfo(
        name="math500", env="math500", split="test", samples=4, summary="MATH-500, from data that you add"
    )
    yield BenchmarkInfo(
        name="gsm8k-style",
        env="gsm8k",
        split="validation",
        problems=520,
        samples=4,
        summary="520 generated word problems, 13 of each family and level, never used for training",
    )
    yield BenchmarkInfo(
        name="gsm8k", env="gsm8k", split="test", summary="the 1,319 test problems of GSM8K, from data that you add"
    )
    yield ExperimentInfo("k15", "kgym_plugins.benchmarks.experiments:k15", "the claims of Kimi k1.5, at a small scale")
    yield PresetInfo(
        name="r1",
        summary="DeepSeek-R1: 64 samples (4 of a large set), temperature 0.6, top-p 0.95, 32768 tokens",
        source="arXiv:2501.12948, evaluation setup: 4 to 64 samples by the size of the set; which size gets which is "
        "our reading",
        samples=64,
        samples_large=4,
        temperature=0.6,
        top_p=0.95,
        max_tokens=32_768,
        prompt=BOXED,
    )
    yield PresetInfo(
        name="qwen3",
        summary="Qwen3, thinking: 64 samples (1 of a large set), temperature 0.6, top-p 0.95, top-k 20, 38912 tokens",
        source="arXiv:2505.09388: 64 samples and 38912 tokens are stated for AIME; elsewhere the report has 32768 "
        "tokens (--max-tokens 32768) and no number of samples: 1 of larger sets is our reading",
        samples=64,
        samples_large=1,
        temperature=0.6,
        top_p=0.95,
        top_k=20,
        max_tokens=38_912,
        prompt=BOXED,
    )
    yield PresetInfo(
        name="dapo",
        summary="DAPO: 32 samples, temperature 1.0, top-p 0.7, 20480 tokens, the answer on a separate line",
        source="arXiv:2503.14476, page 8 and table 1, and the evaluation script of its repository",
        samples=32,
        temperature=1.0,
        top_p=0.7,
        max_tokens=20_480,
        prompt=ANSWER_LINE,
        verifier="math",
    )
    yield PresetInfo(
        name="k1.5",
        summary="Kimi k1.5, short-CoT: mean of 8 runs; temperature, budget and prompt are not published and stay "
        "kgym's",
        source="arXiv:2501.12599, page 13: AIME 2024 averaged over 8 runs",
        samples=8,
    )
