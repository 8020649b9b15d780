"""The environments that come with kgym, one folder each."""

from collections.abc import Iterator

from kgym.hookspecs import Component, DatasetInfo, EnvFamilyInfo, EnvInfo, VerifierInfo, hookimpl

kgym_api = 1

GOLDS_OF_SUMS = tuple(
    f'{{"answer": "{answer}", "dataset": "chain_sum", "config": {{}}, "seed": 0, "size": 10, "index": {index}}}'
    for index, answer in enumerate(("-14282", "-4"))
)
"""Gold answers of the family `rg`, for the conformance checks."""


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the environments that come with kgym, and the data sets that users add for them."""
    yield EnvInfo(
        name="aime",
        version=1,
        target="kgym_envs.aime.task:Aime",
        summary="competition problems with an integer answer from 0 to 999",
    )
    yield EnvInfo(
        name="math500",
        target="kgym_envs.math500.task:Math500",
        summary="school mathematics with free-form answers in LaTeX",
    )
    yield EnvInfo(
        name="gsm8k", target="kgym_envs.gsm8k.task:Gsm8k", summary="grade-school word problems with an integer answer"
    )
    yield EnvInfo(
        name="arithmetic",
        target="kgym_envs.arithmetic:Arithmetic",
        summary="sums, differences and products; the smallest example",
    )
    yield EnvInfo(
        name="countdown",
        target="kgym_envs.countdown.task:Countdown",
        summary="make a target from given numbers; worked solutions are searches with dead ends",
    )
    yield EnvInfo(
        name="sudoku",
        target="kgym_envs.sudoku.task:Sudoku",
        summary="sudoku of four by four; worked solutions fill one cell after another",
    )
    yield EnvInfo(
        name="code",
        target="kgym_envs.code.task:CodeTask",
        summary="programming problems; programs run in a sandbox and pass hidden tests",
    )
    yield EnvInfo(
        name="calculator",
        target="kgym_envs.tools.calculator:Calculator",
        summary="problems of another environment, with a tool for exact arithmetic",
    )
    yield EnvInfo(
        name="python",
        target="kgym_envs.tools.interpreter:Python",
        summary="problems of another environment, with a tool that runs programs in a sandbox",
    )
    yield EnvInfo(
        name="mcp",
        target="kgym_envs.tools.server:McpServer",
        summary="problems of another environment, with the tools of a server of the Model Context Protocol",
    )
    yield EnvInfo(
        name="data", target="kgym_envs.data:Data", summary="the problems of any data set that you have added, by name"
    )
    yield EnvFamilyInfo(
        name="file",
        target="kgym_envs.data:Files",
        summary="problems in a file or folder (JSONL, JSON, CSV, Parquet); mine.jsonl and mine/ need no prefix",
        suffixes=(".jsonl", ".ndjson", ".json", ".csv", ".parquet", "/"),
        member="PATH",
    )
    yield EnvFamilyInfo(
        name="hf",
        target="kgym_envs.data:HubSets",
        summary="problems of a data set on the Hugging Face hub",
        member="OWNER/NAME",
    )
    yield EnvFamilyInfo(
        name="rg",
        target="kgym_envs.reasoning_gym.task:ReasoningGymFamily",
        summary="data sets of reasoning-gym, with their own scorers",
        needs=("reasoning_gym",),
        extra="rg",
    )
    yield VerifierInfo(
        name="reasoning_gym",
        target="kgym_envs.reasoning_gym.verifier:ReasoningGymVerifier",
        summary="an answer between <answer> and </answer>, judged by the scorer of its data set of reasoning-gym",
        needs=("reasoning_gym",),
        extra="rg",
        golds=GOLDS_OF_SUMS,
        answer="<answer>{gold}</answer>",
        numeric=False,
    )
    yield EnvFamilyInfo(
        name="verifiers",
        target="kgym_envs.verifiers.task:VerifiersFamily",
        summary="installed environments of the package verifiers, with their replies, tools and rubrics",
        needs=("verifiers",),
        extra="verifiers",
        member="ID",
    )
    yield VerifierInfo(
        name="verifiers",
        target="kgym_envs.verifiers.verifier:VerifiersRubric",
        summary="the rubric of an environment of the package verifiers",
        needs=("verifiers",),
        extra="verifiers",
        answer="{gold}",
        numeric=False,
    )
    yield EnvFamilyInfo(
        name="openenv",
        target="kgym_envs.openenv.task:OpenEnvFamily",
        summary="environments that a server of OpenEnv runs, with their rewards",
        needs=("openenv",),
        extra="openenv",
        member="URL",
    )
    yield VerifierInfo(
        name="openenv",
        target="kgym_envs.openenv.verifier:OpenEnvRewards",
        summary="the rewards of an episode on a server of OpenEnv, which is played again",
        needs=("openenv",),
        extra="openenv",
        numeric=False,
    )
    for year, repository in (
        (2024, "HuggingFaceH4/aime_2024"),
        (2025, "MathArena/aime_2025"),
        (2026, "MathArena/aime_2026"),
    ):
        yield DatasetInfo(
            name=f"aime{year % 100}",
            hub=(repository,),
            problems=30,
            year=year,
            max_answer=999,
            summary=f"AIME {year}, both halves",
        )
    for month, name in (("feb", "February"), ("nov", "November")):
        yield DatasetInfo(
            name=f"hmmt_{month}25",
            hub=(f"MathArena/hmmt_{month}_2025",),
            problems=30,
            year=2025,
            summary=f"HMMT, {name} 2025",
        )
    yield DatasetInfo(
        name="math500", hub=("HuggingFaceH4/MATH-500",), problems=500, summary="500 problems of the test split of MATH"
    )
    yield DatasetInfo(
        name="gsm8k", hub=("openai/gsm8k",), problems=1319, configs=("main",), summary="the test split of GSM8K"
    )
