"""The columns of leaderboard files: names, order, units. `docs/leaderboard.md` shows these tables, and a test compares
them.

A board of results has one row for each `kgym eval --board`; a board of published figures quotes other reports with
protocol and source.
"""

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 3
"""Version of boards of results. It goes up with every change of a column; files of earlier versions are read, and
written again in this one.
"""


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: Literal["text", "int", "float"]
    summary: str
    since: int = 1
    """Version that added it."""


@dataclass(frozen=True)
class Schema:
    """The columns of a kind of board, in the order of the file."""

    name: str
    version: int
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Names of the columns: the header line."""
        return self.names_of(self.version)

    def names_of(self, version: int) -> list[str]:
        """Return the header line of files of that version."""
        return [column.name for column in self.columns if column.since <= version]


RESULTS = Schema(
    "results",
    SCHEMA_VERSION,
    (
        Column("schema_version", "int", "version of these columns"),
        Column("date", "text", "day on which the evaluation ended (UTC, YYYY-MM-DD)"),
        Column("model", "text", "model as it was named on the command line, or by --label"),
        Column("benchmark", "text", "name of the benchmark, or ENV:SPLIT"),
        Column("env_id", "text", "environment with its version"),
        Column("split", "text", "split of the environment"),
        Column("accuracy", "float", "avg@k, 0 to 1: mean over problems of the mean score of their scored completions"),
        Column("stderr", "float", "standard error of the accuracy, clustered by problem"),
        Column(
            "interval_low", "float", "lower end of the 95 % interval of the accuracy, for problems like these", since=2
        ),
        Column("interval_high", "float", "its upper end", since=2),
        Column("n_problems", "int", "problems asked"),
        Column("samples_per_problem", "int", "k, the completions sampled for each problem"),
        Column("pass_at_k", "text", "unbiased pass@k as a JSON object, for the powers of two up to k, and k"),
        Column("pass_at_k_stderr", "text", "their standard errors, clustered by problem, as a JSON object", since=3),
        Column(
            "g_pass_at_k", "text", "G-Pass@k by tau, and mG-Pass@k as `mean`, as a JSON object; {} for k = 1", since=2
        ),
        Column("g_pass_at_k_stderr", "text", "their standard errors, clustered by problem, as a JSON object", since=3),
        Column(
            "maj_at_k",
            "float",
            "score of the most frequent of k extracted answers; equal answers vote together; empty for k = 1",
            since=2,
        ),
        Column("maj_at_k_stderr", "float", "its standard error, clustered by problem", since=3),
        Column("finished_accuracy", "float", "mean score of the completions that no budget cut short", since=2),
        Column("accuracy_if_cut_wrong", "float", "accuracy if every truncated completion were wrong", since=2),
        Column("accuracy_if_cut_right", "float", "accuracy if every truncated completion were right", since=2),
        Column("truncated_frac", "float", "share of completions that a budget cut short"),
        Column(
            "unscored_frac", "float", "share of completions that could not be judged; they are left out of the accuracy"
        ),
        Column("no_answer_frac", "float", "share of completions in which the verifier found no answer"),
        Column("tokens_mean", "float", "mean length of a completion in tokens, end token included"),
        Column("tokens_median", "float", "median length", since=2),
        Column("tokens_p95", "float", "length in tokens that 95 % of the completions do not exceed", since=2),
        Column("tokens_per_solved", "float", "tokens of all completions, divided by the sum of their scores", since=2),
        Column("temperature", "float", "sampling temperature; 0 is greedy"),
        Column("top_p", "float", "nucleus; 1 is off"),
        Column("top_k", "int", "0 is off"),
        Column("max_tokens", "int", "token budget of a completion"),
        Column("truncated_rule", "text", "how a truncated completion is scored: zero, score or mask"),
        Column("verifier", "text", "name of the verifier"),
        Column("data_sha256", "text", "fingerprint of the problems, or of what generates them"),
        Column(
            "comparability",
            "text",
            "sha256 of everything that a score depends on, except the model; rows with different hashes cannot be "
            "compared",
        ),
        Column("engine", "text", "name of the rollout engine"),
        Column("kgym_version", "text", "version of kgym, or name and version of the harness that measured"),
        Column("seed", "int", "seed of the sampling"),
        Column("run", "text", "run folder that contains every completion"),
        Column("note", "text", "free text, from --note"),
    ),
)

PUBLISHED = Schema(
    "published",
    2,
    (
        Column("schema_version", "int", "version of these columns"),
        Column("model", "text", "name of the model as its report gives it"),
        Column("benchmark", "text", "aime24, aime25, hmmt_feb25, hmmt_nov25 or math500"),
        Column("n_problems", "int", "problems of the benchmark", since=2),
        Column("metric", "text", "what the figure is: pass@1, avg@64, cons@64, EM, accuracy"),
        Column("figure", "float", "in points, 0 to 100, as printed"),
        Column(
            "spread",
            "float",
            "standard deviation over seeds in points, if the source prints one; it does not cover the choice of "
            "problems",
        ),
        Column("protocol", "text", "samples, temperature, top-p, token budget, as far as stated"),
        Column("source", "text", "report and table"),
        Column("url", "text", "address of the source; of several, with `; ` between them", since=2),
        Column("date", "text", "date of the source, as exact as known: YYYY, YYYY-MM or YYYY-MM-DD", since=2),
        Column("note", "text", "what a reader has to be careful about"),
    ),
)

SCHEMAS = (RESULTS, PUBLISHED)
