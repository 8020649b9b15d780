"""What is wrong with a run, read from its metrics alone: reported at the step, and by `kgym runs show` from
metrics.jsonl.

The thresholds are those of docs/metrics.md. A cause hides its consequences: completions that are cut off cannot be
correct, and a policy that an update destroyed finds every problem too hard.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

UNSCORED_FRAC = 0.01
TRUNCATED_FRAC = 0.1
NO_ANSWER_FRAC = 0.5
FALSE_ACCEPTS = 0.2
"""Highest share of wrong completions that a verifier may accept."""
ENGINE_GAP_NATS = 0.05
"""Mean difference of the log-probabilities of engine and trainer; bfloat16 stays below it, weights that are one
update old may not.
"""
KL_NATS = 0.05
FATAL_KL_NATS = 1.0
"""KL of an update, in nats a token, after which a policy has lost what it knew."""
GRAD_NORMS = 100.0
"""Gradient norm, in units of `train.max_grad_norm`."""
ENTROPY_NATS = 0.001
MOSTLY = 0.5
"""Share of the completions above which one trouble explains the others."""
GOOD_FRAC = 0.2
"""Share of correct completions that a policy does not lose by chance."""
GONE_STEPS = 3
"""Steps without a hint after which it is given again."""

LOWER_LR = "start again with a smaller train.lr"


@dataclass(frozen=True)
class Hint:
    """Something that is wrong, and what to do about it."""

    key: str
    """Its kind: hints of the same key are the same hint with other figures."""
    finding: str
    remedy: str

    def __str__(self) -> str:
        """Both in one line."""
        return f"{self.finding}; {self.remedy}"


@dataclass(frozen=True)
class Finding:
    """A hint and the steps at which it held."""

    hint: Hint
    """The hint, with the figures of its first step."""
    first: int
    last: int


class Diagnosis:
    """Follows a run step by step."""

    def __init__(self, *, max_grad_norm: float) -> None:
        self._max_grad_norm = max_grad_norm
        self._exploded: int | None = None
        self._best = 0.0
        self._least_cut = 1.0
        self._lost_steps = 0
        self._last_seen: dict[str, int] = {}

    def see(self, metrics: Mapping[str, float | None], step: int) -> list[Hint]:
        """Return what is wrong at a step, the likeliest cause first. Steps come in order."""
        line = {key: value for key, value in metrics.items() if value is not None and math.isfinite(value)}
        if "episode/truncated_frac" not in line:  # a validation
            return []
        right = line.get("episode/correct_frac", 0.0)
        self._lost_steps = self._lost_steps + 1 if right == 0.0 else 0
        updates = list(self._updates(line))
        collapsed = line.get("policy/entropy_nats", 1.0) < ENTROPY_NATS
        cut = line["episode/truncated_frac"]
        lost = self._lost_steps > 1 or (self._lost_steps == 1 and self._least_cut < TRUNCATED_FRAC and cut >= MOSTLY)
        broken = (self._exploded is not None and right <= self._best / 4) or (lost and self._best >= GOOD_FRAC)
        if self._exploded is None and any(
            hint.key == "gradient" or line["policy/kl_nats"] > FATAL_KL_NATS for hint in updates
        ):
            self._exploded = step
        self._best = max(self._best, right)
        self._least_cut = min(self._least_cut, cut)
        hints = [*_unscored(line), *_audit(line), *_engine(line)]
        if broken:
            hints.append(self._broken(line, right))
        elif collapsed:
            hints.append(_collapsed(line))
        else:
            hints += _answers(line)
        return hints + updates

    def new(self, metrics: Mapping[str, float | None], step: int) -> list[Hint]:
        """Return the hints of a step that were not given yet, or not for some steps."""
        fresh = []
        for hint in self.see(metrics, step):
            if step - self._last_seen.get(hint.key, -math.inf) > GONE_STEPS:
                fresh.append(hint)
            self._last_seen[hint.key] = step
        return fresh

    def _updates(self, line: Mapping[str, float]) -> Iterator[Hint]:
        """Look at the sizes of the update that ends a step."""
        if (kl := line.get("policy/kl_nats", 0.0)) > KL_NATS:
            yield Hint(
                "kl",
                f"the update moved the policy by {kl:,.2f} nats a token (policy/kl_nats; above {KL_NATS:g} is too "
                "much)",
                f"{LOWER_LR}, or fewer inner steps",
            )
        if (norm := line.get("optim/grad_norm", 0.0)) > GRAD_NORMS * self._max_grad_norm:
            yield Hint(
                "gradient",
                f"the gradient explodes: its norm is {norm:,.0f}, and train.max_grad_norm={self._max_grad_norm:g}",
                f"{LOWER_LR}, and look at policy/engine_gap_nats",
            )

    def _broken(self, line: Mapping[str, float], right: float) -> Hint:
        since = (
            f"since the update of step {self._exploded}"
            if self._exploded is not None
            else f"where {self._best:.0%} were"
        )
        entropy = line.get("policy/entropy_nats")
        shown = "" if entropy is None else f" (entropy {entropy:.3f} nats)"
        return Hint(
            "broken",
            f"{right:.0%} of the completions are correct {since}: training has destroyed the policy{shown}",
            LOWER_LR,
        )


def diagnose(lines: Iterable[Mapping[str, float]], *, max_grad_norm: float) -> list[Finding]:
    """Return what was wrong with a run, from the lines of its metrics.jsonl, in the order in which it began."""
    diagnosis = Diagnosis(max_grad_norm=max_grad_norm)
    spells: dict[str, list[Finding]] = {}
    for line in lines:
        step = int(line["step"])
        for hint in diagnosis.see(line, step):
            spell = spells.setdefault(hint.key, [])
            if spell and step - spell[-1].last <= GONE_STEPS:
                spell[-1] = replace(spell[-1], last=step)
            else:
                spell.append(Finding(hint, step, step))
    return sorted((finding for spell in spells.values() for finding in spell), key=lambda finding: finding.first)


def _unscored(line: Mapping[str, float]) -> Iterator[Hint]:
    if (unscored := line.get("verdict/unscored_frac", 0.0)) > UNSCORED_FRAC:
        yield Hint(
            "unscored",
            f"{unscored:.1%} of the completions could not be judged and are left out",
            "see the column status of the newest file in episodes/ for the reasons",
        )


def _audit(line: Mapping[str, float]) -> Iterator[Hint]:
    if (accepted := line.get("audit/false_accept_frac", 0.0)) > FALSE_ACCEPTS:
        yield Hint(
            "audit",
            f"the verifier accepts {accepted:.0%} of the completions that the audit does not find correct, which the "
            "policy learns from",
            "look at such texts in episodes/ (audit_status), and use a stricter threshold or another judge",
        )


def _engine(line: Mapping[str, float]) -> Iterator[Hint]:
    if (gap := line.get("policy/engine_gap_nats", 0.0)) > ENGINE_GAP_NATS:
        yield Hint(
            "engine",
            f"the log-probabilities of engine and trainer differ by {gap:.2g} nats a token on average "
            "(policy/engine_gap_nats)",
            "the engine has stale weights, another precision or another temperature than the trainer; fix the engine",
        )


def _collapsed(line: Mapping[str, float]) -> Hint:
    return Hint(
        "entropy",
        f"the entropy is {line['policy/entropy_nats']:.4f} nats: all attempts at a problem are the same, and "
        "exploration has ended",
        f"{LOWER_LR}, or start from another model",
    )


def _answers(line: Mapping[str, float]) -> Iterator[Hint]:
    """Look at the completions of a step, and at whether there was anything to learn from them."""
    cut, right = line["episode/truncated_frac"], line.get("episode/correct_frac", 0.0)
    no_update = "optim/grad_norm" not in line
    stays = "nothing to learn from, the policy stays as it is: " if no_update else ""
    nothing = no_update or line.get("group/informative_frac") == 0.0
    explains = cut >= MOSTLY and right < 1.0
    if nothing and right == 1.0:
        yield _same_rewards(line, right, stays)
    if cut > TRUNCATED_FRAC:
        longest = f" (the longest has {line['episode/tokens_max']:.0f} tokens)" if "episode/tokens_max" in line else ""
        yield Hint(
            "truncated",
            f"{stays if explains else ''}{cut:.0%} of the completions are cut off by the token budget{longest}",
            f"raise {_budget(line)}, or take a model that ends its completions",
        )
    if explains or right == 1.0:
        return
    missing = line.get("verdict/no_answer_frac", 0.0)
    if missing > NO_ANSWER_FRAC:
        yield Hint(
            "no answer",
            f"{stays}the verifier finds no answer in {missing:.0%} of the completions",
            "see the texts in episodes/: the prompt, the chat template or the verifier does not suit the model",
        )
    elif line.get("verdict/unscored_frac", 0.0) < MOSTLY and nothing:
        yield _same_rewards(line, right, stays)


def _budget(line: Mapping[str, float]) -> str:
    """Return the key of the token budget; in a run with several environments, the keys of those whose completions it
    cuts off.
    """
    shares = {
        key.split("/")[1]: value
        for key, value in line.items()
        if key.startswith("env/") and key.endswith("/truncated_frac")
    }
    if "rollout/max_tokens" in line:
        return "rollout.max_tokens"
    cut = [f"envs.{label}.max_tokens" for label, share in shares.items() if share > TRUNCATED_FRAC]
    return " or ".join(cut) or "env.max_tokens"


def _difficulty(line: Mapping[str, float]) -> str:
    """Return the key of the difficulty, for a run with one environment or with several."""
    return "envs.LABEL.difficulty" if any(key.startswith("env/") for key in line) else "env.difficulty"


def _same_rewards(line: Mapping[str, float], right: float, stays: str) -> Hint:
    if 0.0 < right < 1.0:
        easier = "take harder problems" if right > MOSTLY else "take easier problems, or a larger rollout.group_size"
        finding = f"no group has both correct and wrong completions, with {right:.1%} of all completions correct"
        return Hint("same in groups", f"{stays}{finding}", easier)
    reward = f", {line['reward/mean']:g}" if "reward/mean" in line else ""
    finding = f"every completion got the same reward{reward}, so the policy can learn nothing from them"
    if right:
        return Hint(
            "all right", f"{stays}{finding}", f"take harder problems ({_difficulty(line)}, if the environment has it)"
        )
    return Hint(
        "all wrong",
        f"{stays}{finding}",
        f"take easier problems ({_difficulty(line)}, if the environment has it), or another model",
    )
