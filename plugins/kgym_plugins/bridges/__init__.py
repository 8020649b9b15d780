"""The bridges that come with kgym: environments as files of other frameworks."""

from collections.abc import Iterator

from kgym.hookspecs import BridgeInfo, Component, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the bridges that come with kgym."""
    yield BridgeInfo(
        name="hf", target="kgym_plugins.bridges.hf:HfBridge", summary="a Hugging Face data set: JSON lines and a card"
    )
    yield BridgeInfo(
        name="trl", target="kgym_plugins.bridges.trl:TrlBridge", summary="a data set for TRL and its reward function"
    )
    yield BridgeInfo(
        name="verl",
        target="kgym_plugins.bridges.verl:VerlBridge",
        summary="Parquet files and a custom reward function for verl",
    )
    yield BridgeInfo(
        name="lm-eval",
        target="kgym_plugins.bridges.lm_eval:LmEvalBridge",
        summary="a task of lm-evaluation-harness for each split",
    )
    yield BridgeInfo(
        name="inspect",
        target="kgym_plugins.bridges.inspect:InspectBridge",
        summary="a task of inspect-ai with kgym's scorer",
    )
