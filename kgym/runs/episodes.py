"""Stored episodes: one row for each, the same columns wherever kgym stores them.

One row: {"problem_id": "aime/train/gcd/d2/17", "attempt": 3, "text": "...", "status": "correct", "reward": 1.0,
"token_ids": [...], ...}

The tokens of a row are those that were sampled: `read_episodes` makes the episodes of a file again, piece by piece.
`kgym.runs.answers` reads single columns of many files.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.files import reading, write_atomic
from kgym.types import Chat, Episode, Group, Message, Observation, Piece, Problem, Segment, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

TOKENS = ("prompt_ids", "token_ids", "engine_logprobs", "pieces")
"""Columns that summaries leave on the disk; every other one is small."""
TRACE = "trace"
"""Column that files of earlier versions lack."""


def write_episodes(
    path: Path,
    found: Sequence[Group] | Sequence[Episode],
    *,
    envs: Sequence[str] = (),
    step: int | None = None,
    begun: Mapping[str, int] | None = None,
    audits: Mapping[str, Verdict] | None = None,
) -> None:
    """Write episodes, or those of groups with their shaped rewards, as Parquet, completely or not at all.

    `envs` names the environment of each item of `found` if a run has several. `step` is the training step that they
    ended in, and `begun` has the steps that they began in, by `Episode.id`. Log-probabilities are stored with 32 bits.
    `audits` are the verdicts of a second verifier, also by `Episode.id`; they add the columns `audit_status` and
    `audit_reason` to the table.
    """
    write_table(path, episode_table(found, envs=envs, step=step, begun=begun, audits=audits))


def read_episodes(path: Path, *, remedy: str = "remove it") -> list[Episode]:
    """Return the episodes of a file, in order, as they were written. Episodes without a verdict are open, or not yet
    judged.

    Raises DataError, which names the file, if it is damaged or has no tokens, as files of earlier versions.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  (heavy)

    with reading(path, remedy=remedy), pq.ParquetFile(path) as file:
        there = file.schema_arrow.names
        missing = set(schema().names) - {*there, TRACE}
        if missing:
            raise ValueError(f"no column {min(missing)}")
        return [
            _episode(row) for row in file.read(columns=[name for name in schema().names if name in there]).to_pylist()
        ]


def episode_table(
    found: Sequence[Group] | Sequence[Episode],
    *,
    envs: Sequence[str] = (),
    step: int | None = None,
    begun: Mapping[str, int] | None = None,
    audits: Mapping[str, Verdict] | None = None,
) -> "pa.Table":
    """Return the table that `write_episodes` writes."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    known = begun or {}
    rows = [
        {
            **_row(episode, reward),
            **_second(episode, audits),
            "env": env,
            "step_begun": known.get(episode.id),
            "step_ended": step,
        }
        for episode, reward, env in _rewarded(found, envs or [""] * len(found))
    ]
    columns = schema()
    for name in AUDIT if audits is not None else ():
        columns = columns.append(pa.field(name, pa.string()))
    return pa.Table.from_pylist(rows, schema=columns)


AUDIT = ("audit_status", "audit_reason")
"""Columns of a run with an audit, null for completions that the audit did not judge."""


def _second(episode: Episode, audits: Mapping[str, Verdict] | None) -> dict[str, Any]:
    """Return the columns of the second verdict on an episode."""
    verdict = (audits or {}).get(episode.id)
    return {} if verdict is None else dict(zip(AUDIT, (verdict.label, verdict.reason), strict=True))


def write_table(path: Path, table: "pa.Table") -> None:
    """Write a table of `episode_table` as Parquet, completely or not at all."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def _rewarded(found: Sequence[Group] | Sequence[Episode], envs: Sequence[str]) -> Iterator[tuple[Episode, float, str]]:
    mixed: Sequence[Group | Episode] = list(found)
    for each, env in zip(mixed, envs, strict=True):
        if isinstance(each, Group):
            yield from ((episode, reward, env) for episode, reward in zip(each.episodes, each.rewards, strict=True))
        else:
            yield each, each.reward, env


def _row(episode: Episode, reward: float) -> dict[str, Any]:
    """Return the columns of an episode. `score` is None for an unscored verdict; `status` is `open` without a
    verdict.
    """
    problem, verdict = episode.problem, episode.verdict
    versions = [segment.version for segment in episode.segments]
    return {
        "problem_id": problem.id,
        "attempt": episode.attempt,
        "level": problem.level,
        "subject": problem.subject,
        "year": problem.year,
        "question": problem.question,
        "gold": problem.gold,
        "solution": problem.solution,
        "text": episode.text,
        "answer": verdict.answer if verdict is not None else None,
        "normal": verdict.normal if verdict is not None else None,
        "status": verdict.label if verdict is not None else OPEN,
        "reason": verdict.reason if verdict is not None else "",
        TRACE: verdict.trace if verdict is not None else "",
        "score": verdict.score if verdict is not None and verdict.scored else None,
        "partial": verdict.partial if verdict is not None else None,
        "reward": reward,
        "env_reward": episode.reward,
        "tokens": episode.n_tokens,
        "finish_reason": episode.finish_reason or "abort",
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "trainable": episode.trainable,
        "first_version": min(versions, default=0),
        "last_version": max(versions, default=0),
        "n_segments": len(versions),
        "verify_s": verdict.seconds if verdict is not None else 0.0,
        "seed": episode.seed,
        "prompt": [message._asdict() for message in episode.prompt],
        "prompt_ids": episode.prompt_ids,
        "token_ids": episode.token_ids,
        "engine_logprobs": episode.engine_logprobs,
        "pieces": [_piece_row(piece, episode.prompt_ids) for piece in episode.pieces],
    }


OPEN = "open"
"""Status of an episode without a verdict."""


def _piece_row(piece: Piece, prompt_ids: Sequence[int]) -> dict[str, Any]:
    """Return where a piece ends. The text and tokens of a segment are in the columns of the episode, in order."""
    if isinstance(piece, Observation):
        return {"role": piece.message.role, "content": piece.message.content, "tokens": len(piece.token_ids)}
    return {
        "characters": len(piece),
        "tokens": len(piece.token_ids),
        "version": piece.version,
        "finish_reason": piece.finish_reason,
        "request_id": piece.request_id,
        "prompt_ids": None if piece.prompt_ids == prompt_ids else piece.prompt_ids,
    }


def turns_of(text: str, pieces: Sequence[Mapping[str, Any]] | None) -> tuple[Chat, str]:
    """Return the turns up to the last reply of the environment, that reply included, and the text of the policy after
    it, which the verifier judged: the whole text if there was no reply.

    >>> reply = {"role": "tool", "content": "no"}
    >>> turns_of("abcd", [{"role": None, "characters": 3}, reply, {"role": None, "characters": 1}])
    ((Message(role='assistant', content='abc'), Message(role='tool', content='no')), 'd')
    """
    found: list[Message] = []
    begin = end = 0
    for piece in [] if pieces is None else pieces:
        if piece["role"] is None:
            end += piece["characters"]
            continue
        if end > begin:
            found.append(Message("assistant", text[begin:end]))
        found.append(Message(piece["role"], piece["content"]))
        begin = end
    return tuple(found), text[begin:]


def _episode(row: Mapping[str, Any]) -> Episode:
    problem = Problem(
        id=row["problem_id"],
        question=row["question"],
        gold=row["gold"],
        level=row["level"],
        subject=row["subject"],
        solution=row["solution"],
        year=row["year"],
    )
    prompt: Chat = tuple(Message(**message) for message in row["prompt"])
    return Episode(
        problem=problem,
        attempt=row["attempt"],
        prompt=prompt,
        pieces=list(_pieces(row)),
        verdict=_verdict(row),
        reward=row["env_reward"],
        terminated=row["terminated"],
        truncated=row["truncated"],
        trainable=row["trainable"],
        seed=row["seed"],
    )


def _pieces(row: Mapping[str, Any]) -> Iterator[Piece]:
    text, token_ids, logprobs = row["text"], row["token_ids"], row["engine_logprobs"]
    pieces = row["pieces"]
    if sum(piece["tokens"] for piece in pieces) != len(token_ids) or len(logprobs) != len(token_ids):
        raise ValueError(
            f"attempt {row['attempt']} at {row['problem_id']} has {len(token_ids)} tokens, and its pieces have another "
            "number"
        )
    token = character = 0
    for piece in pieces:
        own = slice(token, token + piece["tokens"])
        token = own.stop
        if piece["role"] is not None:
            yield Observation(Message(piece["role"], piece["content"]), tuple(token_ids[own]))
            continue
        yield Segment(
            text[character : character + piece["characters"]],
            token_ids=token_ids[own],
            engine_logprobs=logprobs[own],
            prompt_ids=row["prompt_ids"] if piece["prompt_ids"] is None else piece["prompt_ids"],
            finish_reason=piece["finish_reason"],
            version=piece["version"],
            request_id=piece["request_id"],
        )
        character += piece["characters"]


def _verdict(row: Mapping[str, Any]) -> Verdict | None:
    if row["status"] == OPEN:
        return None
    return Verdict(
        status=row["status"].partition(":")[0],
        reason=row["reason"],
        answer=row["answer"],
        normal=row["normal"],
        seconds=row["verify_s"],
        partial=row["partial"],
        trace=row.get(TRACE) or "",
    )


def schema() -> "pa.Schema":
    """Return the columns with their types."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    text, number, whole, flag, tokens = pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.list_(pa.int32())
    piece = {
        "role": text,  # of an observation, as its content; null for what the policy sampled
        "content": text,
        "characters": pa.int32(),
        "tokens": pa.int32(),
        "version": whole,
        "finish_reason": text,
        "request_id": text,
        "prompt_ids": tokens,  # null if they are those of the episode
    }
    types = {
        "problem_id": text,
        "attempt": whole,
        "level": whole,
        "subject": text,
        "year": whole,
        "question": text,
        "gold": text,
        "solution": text,
        "env": text,
        "text": text,
        "answer": text,
        "normal": text,
        "status": text,
        "reason": text,
        TRACE: text,  # how the verifier came to its verdict; "" if it does not explain
        "score": number,
        "partial": number,
        "reward": number,  # after shaping
        "env_reward": number,  # before shaping
        "tokens": whole,
        "finish_reason": text,
        "terminated": flag,
        "truncated": flag,
        "trainable": flag,
        "first_version": whole,
        "last_version": whole,
        "n_segments": whole,
        "step_begun": whole,
        "step_ended": whole,
        "verify_s": number,
        "seed": whole,
        "prompt": pa.list_(pa.struct({"role": text, "content": text}.items())),
        "prompt_ids": tokens,
        "token_ids": tokens,  # everything after the prompt, observations included
        "engine_logprobs": pa.list_(pa.float32()),  # 0 for observations
        "pieces": pa.list_(pa.struct(piece.items())),
    }
    return pa.schema(types.items())
