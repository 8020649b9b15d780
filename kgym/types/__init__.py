"""The records and protocols that every part of kgym uses. Read this first.

How data flow, with the record on each arrow:

    Sampler --index--> ProblemSource --Problem--> EpisodePool --GenerateRequest--> Engine --Segment--> EpisodePool
            --VerifyItem--> Verifier --Verdict, reward--> Episode --Group--> Shaper --rewards--> PackedBatch
            --advantages--> Algorithm --LossOutput--> optimizer

The modules, in the order in which they import each other. Every name is imported from here: `from kgym.types import
Episode`.

    problems       Problem, ProblemSource, Message
    segments       GenerateRequest, Segment, Observation
    engines        Engine, BlockingEngine, Weights
    capabilities   what engines may offer in addition
    verdicts       VerifyItem, Verdict, Verifier
    episodes       Episode, Group, Shaper
    batches        PackedBatch, Totals
    algorithms     UpdatePlan, Algorithm, LossOutput
    samplers       Sampler
    outputs        Tracker, Exporter, Bridge

Dimension key of the tensors:  T tokens of the pack (prompts and completions)   E episodes   V vocabulary

Four log-probabilities, each with its own name; natural logs, of the sampled token, at the sampling temperature:

    logprobs          of the trainer, now
    old_logprobs      of the trainer, at the start of the batch
    engine_logprobs   as the engine reported them while sampling
    ref_logprobs      of the frozen reference
"""

from kgym.types.algorithms import Algorithm, CriticAlgorithm, LossOutput, UpdatePlan
from kgym.types.batches import PackedBatch, Totals
from kgym.types.capabilities import (
    AdapterOptions,
    ChecksModel,
    CountsUse,
    EngineMemory,
    HeldTensor,
    JudgesItself,
    MeasuresPrompts,
    PlansMemory,
    RendersReplies,
    Replicated,
    SamplingWork,
    ShowsWeights,
    Suitability,
    Surroundings,
    TellsMissing,
    TemplateOptions,
)
from kgym.types.engines import BlockingEngine, Engine, Weights
from kgym.types.episodes import Episode, Group, Shaper
from kgym.types.outputs import Bridge, EnvExport, Exporter, Tracker
from kgym.types.problems import Chat, Message, Problem, ProblemSource
from kgym.types.samplers import ReportsChoice, Sampler
from kgym.types.segments import FinishReason, GenerateRequest, Observation, Piece, Reply, Sampling, Segment
from kgym.types.verdicts import LoadedVerifier, Status, Verdict, Verifier, VerifyItem

__all__ = [
    "AdapterOptions",
    "Algorithm",
    "BlockingEngine",
    "Bridge",
    "Chat",
    "ChecksModel",
    "CountsUse",
    "CriticAlgorithm",
    "Engine",
    "EngineMemory",
    "EnvExport",
    "Episode",
    "Exporter",
    "FinishReason",
    "GenerateRequest",
    "Group",
    "HeldTensor",
    "JudgesItself",
    "LoadedVerifier",
    "LossOutput",
    "MeasuresPrompts",
    "Message",
    "Observation",
    "PackedBatch",
    "Piece",
    "PlansMemory",
    "Problem",
    "ProblemSource",
    "RendersReplies",
    "Replicated",
    "Reply",
    "ReportsChoice",
    "Sampler",
    "Sampling",
    "SamplingWork",
    "Segment",
    "Shaper",
    "ShowsWeights",
    "Status",
    "Suitability",
    "Surroundings",
    "TellsMissing",
    "TemplateOptions",
    "Totals",
    "Tracker",
    "UpdatePlan",
    "Verdict",
    "Verifier",
    "VerifyItem",
    "Weights",
]
