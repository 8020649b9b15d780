"""The columns of leaderboard files: names, order, units. `docs/leaderboard.md` shows these tables, and a test compares them.

A board of results has one row for each `kgym eval --board`; a board of published figures quotes others with their protocol and source.
"""

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1
"""Goes up when a column is renamed, removed or changes its meaning."""


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: Literal["text", "int", "float"]
    summary: str


@dataclass(frozen=True)
class Schema:
    """The columns of a kind of board, in the order of the file."""

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The header line."""
        return [column.name for column in self.columns]


RESULTS = Schema(
    "results",
    (
        Column("schema_version", "int", "version of these columns"),
        Column("date", "text", "day on which the evaluation ended, UTC, YYYY-MM-DD"),
        Column("model", "text", "as it was named on the command line, or --label"),
        Column("benchmark", "text", "name of the benchmark, or ENV:SPLIT"),
        Column("env_id", "text", "environment with its version"),
        Column("split", "text", "split of the environment"),
        Column("accuracy", "float", "avg@k, 0 to 1: mean over problems of the mean score of their scored answers"),
        Column("stderr", "float", "standard error of the accuracy, clustered by problem"),
        Column("n_problems", "int", "problems asked"),
        Column("samples_per_problem", "int", "k, the answers asked for each problem"),
        Column("pass_at_k", "text", "unbiased pass@k as a JSON object, for the powers of two up to k, and k"),
        Column("truncated_frac", "float", "share of answers that a budget cut short, over all answers"),
        Column("unscored_frac", "float", "share of answers that could not be judged, over all answers; they are masked from the accuracy"),
        Column("no_answer_frac", "float", "share of answers in which the verifier found nothing to judge, over all answers"),
        Column("tokens_mean", "float", "mean length of an answer in tokens, end token included"),
        Column("temperature", "float", "sampling temperature; 0 is greedy"),
        Column("top_p", "float", "nucleus; 1 is off"),
        Column("top_k", "int", "0 is off"),
        Column("max_tokens", "int", "token budget of an answer"),
        Column("truncated_rule", "text", "what an answer cut short is worth: zero, score or mask"),
        Column("verifier", "text", "name of the verifier"),
        Column("data_sha256", "text", "fingerprint of the problems, or of what generates them"),
        Column(
            "comparability", "text", "sha256 of all that a score depends on besides the model; rows with different ones cannot be compared"
        ),
        Column("engine", "text", "name of the rollout engine"),
        Column("kgym_version", "text", "version of kgym"),
        Column("seed", "int", "seed of the sampling"),
        Column("run", "text", "run folder that holds every answer"),
        Column("note", "text", "free text, from --note"),
    ),
)

PUBLISHED = Schema(
    "published",
    (
        Column("schema_version", "int", "version of these columns"),
        Column("model", "text", "name of the model as its report has it"),
        Column("benchmark", "text", "aime24, aime25 or math500"),
        Column("metric", "text", "what the figure is: pass@1, cons@64, EM"),
        Column("figure", "float", "in points, 0 to 100, as printed"),
        Column("spread", "float", "standard deviation over seeds in points, where one is printed"),
        Column("protocol", "text", "samples, temperature, top-p, token budget, as far as stated"),
        Column("source", "text", "report and table"),
        Column("note", "text", "what to be careful about"),
    ),
)

SCHEMAS = (RESULTS, PUBLISHED)
