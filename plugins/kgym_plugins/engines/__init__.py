"""The engines that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, EngineInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the engines that come with kgym."""
    yield EngineInfo(
        "transformers",
        "kgym_plugins.engines.transformers:TransformersEngine",
        "any Hugging Face causal language model, with torch alone, on a CPU or a GPU",
        exact=True,
    )
    yield EngineInfo(
        "vllm",
        "kgym_plugins.engines.vllm:VLLMEngine",
        "vLLM in its own process, and if necessary in its own virtual environment",
        adapters=True,
    )
    yield EngineInfo(
        "openai",
        "kgym_plugins.engines.openai:OpenAIEngine",
        "any server with OpenAI's chat completions API, for scoring",
        remote=True,
    )
    yield EngineInfo(
        "ray",
        "kgym_plugins.engines.ray:RayEngine",
        "replicas of another engine on the machines of a Ray cluster",
        needs=("ray",),
        extra="ray",
    )
