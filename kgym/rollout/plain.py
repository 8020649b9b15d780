"""Episodes as plain values, for checkpoints: everything but the prompt, which is made anew from the problem."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kgym.types import Episode, Message, Observation, Piece, Problem, Segment, Verdict

_SEGMENT = ("token_ids", "engine_logprobs", "prompt_ids", "finish_reason", "version", "request_id")
_EPISODE = ("attempt", "reward", "terminated", "truncated", "trainable", "seed")


def to_plain(episode: Episode) -> dict[str, Any]:
    """Return an episode as lists, tables, texts and numbers."""
    return {
        "problem": asdict(episode.problem),
        "pieces": [_piece(piece) for piece in episode.pieces],
        "verdict": None if episode.verdict is None else asdict(episode.verdict),
    } | {name: getattr(episode, name) for name in _EPISODE}


def of_plain(values: Mapping[str, Any]) -> Episode:
    """Undo `to_plain`."""
    return Episode(
        problem=Problem(**values["problem"]),
        prompt=(),
        pieces=[_of_piece(piece) for piece in values["pieces"]],
        verdict=None if values["verdict"] is None else Verdict(**values["verdict"]),
        **{name: values[name] for name in _EPISODE},
    )


def _piece(piece: Piece) -> dict[str, Any]:
    if isinstance(piece, Segment):
        return {"text": str(piece)} | {name: getattr(piece, name) for name in _SEGMENT}
    return {"role": piece.message.role, "content": piece.message.content, "token_ids": piece.token_ids}


def _of_piece(values: Mapping[str, Any]) -> Piece:
    if "text" in values:
        return Segment(values["text"], **{name: values[name] for name in _SEGMENT})
    return Observation(Message(values["role"], values["content"]), tuple(values["token_ids"]))
