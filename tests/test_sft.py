"""Supervised warm-up: what is learnt, from which examples, and that a run which was killed ends in the same weights."""

import json
import math
import shutil

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from kgym.cli.main import main
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, DataError
from kgym.models.names import resolve_model
from kgym.models.policy import Policy, load_policy
from kgym.runs.episodes import read_episodes
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.supervised_config import SFTConfig
from kgym.train import logprobs
from kgym.train.logprobs import token_logprobs
from kgym.train.policy import TrainedPolicy
from kgym.train.report import Reporter
from kgym.train.supervised.examples import (
    Example,
    Sampled,
    encoded,
    read_examples,
    sampled_examples,
    shortest,
    solved_examples,
)
from kgym.train.supervised.objective import supervised
from kgym.train.supervised.rows import encode_row, shuffled
from kgym.train.supervised.sft import SFT, add_likelihood
from kgym.train.supervised.sources import examples_of
from kgym.types import Message


@pytest.fixture
def policy(tiny_model):
    return load_policy(tiny_model, device="cpu")


def sums(n):
    """Examples of a task that a tiny model learns in seconds."""
    return Example((Message("user", f"{n % 7}+1"),), f"\\boxed{{{n % 7 + 1}}}")


# --- log-probabilities ------------------------------------------------------------------------------------------------


def test_token_logprobs_are_the_log_softmax_of_the_tokens_before(policy):
    input_ids = torch.tensor([[4, 20, 30, 2, 5], [4, 21, 5, 0, 0]])
    attention = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    logprobs, entropy = token_logprobs(policy.model, input_ids, attention, temperature=0.5, with_entropy=True)
    for row, length in ((0, 5), (1, 3)):
        with torch.no_grad():
            expected = (policy.model(input_ids=input_ids[row : row + 1, :length]).logits[0] / 0.5).log_softmax(-1)
        for t in range(1, length):
            assert logprobs[row, t].item() == pytest.approx(expected[t - 1, input_ids[row, t]].item(), abs=1e-5)
            assert entropy[row, t].item() == pytest.approx(
                -(expected[t - 1].exp() * expected[t - 1]).sum().item(), abs=1e-5
            )
        assert logprobs[row, [0, *range(length, 5)]].abs().max().item() == 0
        assert entropy[row, [0, *range(length, 5)]].abs().max().item() == 0
    assert logprobs.requires_grad
    assert not entropy.requires_grad


def test_chunks_change_neither_values_nor_gradients(policy, monkeypatch):
    torch.manual_seed(1)
    input_ids, attention = torch.randint(6, 100, (3, 11)), torch.ones(3, 11, dtype=torch.long)

    def values():
        logprobs, entropy = token_logprobs(policy.model, input_ids, attention, temperature=0.8, with_entropy=True)
        gradient = torch.autograd.grad((logprobs * torch.arange(11)).sum(), policy.model.get_input_embeddings().weight)[
            0
        ]
        return logprobs, entropy, gradient

    whole = values()
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 5 * policy.model.config.vocab_size)
    for one, other in zip(whole, values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_padding_in_front_is_refused(policy):
    with pytest.raises(ValueError, match="right"):
        token_logprobs(policy.model, torch.ones(1, 3, dtype=torch.long), torch.tensor([[0, 1, 1]]))


def test_what_is_no_model_is_refused(tmp_path, tiny_model):
    with pytest.raises(ConfigError, match="cannot load"):
        load_policy(tmp_path)
    with pytest.raises(ConfigError, match="float64"):
        load_policy(tiny_model, dtype="float64")


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_only_the_completion_and_its_end_are_learnt(tiny_model):
    policy = TrainedPolicy.load(str(tiny_model), SFTConfig().train)
    prompt_ids, completion_ids = encode_row(policy.bare, *sums(3))
    tokenizer = policy.tokenizer
    assert tokenizer.decode(prompt_ids) == "<|user|>3+1<|end|><|assistant|>"
    assert tokenizer.decode(completion_ids) == "\\boxed{4}<|end|>"
    ids = torch.tensor([prompt_ids + completion_ids])
    with torch.no_grad():
        logprobs = policy.bare.model(input_ids=ids).logits[0].log_softmax(-1)
    start = len(prompt_ids)
    expected = -sum(logprobs[start + i - 1, token].item() for i, token in enumerate(completion_ids)) / len(
        completion_ids
    )
    metrics = add_likelihood(policy, [sums(3)])
    assert metrics["train/loss_nats"] == pytest.approx(expected, abs=1e-5)
    assert metrics["data/tokens"] == ids.numel()
    assert policy.clip(1.0) > 0


def test_microbatches_change_the_loss_and_the_gradient_by_rounding_only(tiny_model):
    batch = [Example((Message("user", "x" * (i % 5)),), "y" * (1 + 3 * i)) for i in range(9)]
    results = []
    for tokens in (1, 60, 100_000):
        policy = TrainedPolicy.load(str(tiny_model), SFTConfig(train={"microbatch_tokens": tokens}).train)
        metrics = add_likelihood(policy, batch)
        results.append(
            (*metrics.values(), policy.clip(1e9), policy.bare.model.get_input_embeddings().weight.grad.sum().item())
        )
    assert results[1] == pytest.approx(results[0], rel=1e-4, abs=1e-6)
    assert results[2] == pytest.approx(results[0], rel=1e-4, abs=1e-6)


def test_an_example_that_does_not_fit_is_refused_by_name(policy):
    with pytest.raises(DataError, match=r"context 256.*'long question"):
        encode_row(policy, (Message("user", "long question" + "x" * 230),), "y" * 20)


def test_an_example_that_does_not_fit_is_left_out_counted_and_named_once(tiny_model, caplog):
    policy = TrainedPolicy.load(str(tiny_model), SFTConfig(train={"microbatch_tokens": 10_000}).train)
    good = [Example((Message("user", "2+3"),), "5"), Example((Message("user", "1+1"),), "the answer is 2")]
    long = Example((Message("user", "far too long" + "x" * 300),), "y")

    def gradient(batch):
        policy.zero_grad()
        metrics = add_likelihood(policy, batch)
        return metrics, policy.bare.model.get_input_embeddings().weight.grad.clone()

    alone, wanted = gradient(good)
    for _ in range(2):
        metrics, found = gradient([good[0], long, good[1]])
        assert torch.equal(found, wanted)
        assert metrics == alone | {"data/too_long": 1}
    assert [record.getMessage() for record in caplog.records if "far too long" in record.getMessage()] == [
        "an example has 317 tokens and the model's context 256: 'far too long"
        + "x" * 68
        + "'; it is left out of its batch"
    ]


def test_a_run_whose_examples_never_fit_ends_with_the_reason(tiny_model, tmp_path):
    long = Example((Message("user", "no room " + "x" * 300),), "y")
    with pytest.raises(DataError, match=r"no example of 3 steps fits into the model's context"):
        learn(tiny_model, lambda n: long, tmp_path / "none", steps=5, batch=2)
    summary = learn(
        tiny_model,
        lambda n: long if n == 0 else Example((Message("user", "2+3"),), "5"),
        tmp_path / "some",
        steps=5,
        batch=1,
    )
    assert summary["steps"] == 5
    first, *others = read_metrics(tmp_path / "some" / "metrics.jsonl")
    assert first["data/too_long"] == 1
    assert not any("data/too_long" in line for line in others)


def test_the_learning_rate_of_a_run_rises_stays_and_falls(tiny_model, tmp_path):
    learn(tiny_model, sums, tmp_path / "run", steps=10, batch=1, lr=1e-3, warmup_steps=0.2, decay_frac=0.4)
    lrs = [line["optim/lr"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert lrs == pytest.approx([1e-3 * share for share in (0.5, 1, 1, 1, 1, 1, 0.775, 0.55, 0.325, 0.1)])


# --- examples ---------------------------------------------------------------------------------------------------------


def test_passes_over_a_file_are_shuffled_whole_and_the_same_for_a_seed():
    nth = shuffled("abcdefgh", seed=1)
    passes = ["".join(nth(n) for n in range(start, start + 8)) for start in (0, 8, 16)]
    assert all(sorted(one) == list("abcdefgh") for one in passes)
    assert len(set(passes)) == 3
    assert nth(3) == passes[0][3]  # for any question before
    assert "".join(map(shuffled("abcdefgh", seed=2), range(8))) not in passes


def test_examples_of_an_environment_are_its_worked_solutions():
    setup = EnvSpec("arithmetic", "train", {"difficulty": 2}).setup()
    examples = [solved_examples(setup, seed=0)(n) for n in range(50)]
    assert len({example.prompt for example in examples}) > 45
    assert all("\\boxed{" in example.solution for example in examples)
    assert examples == [solved_examples(setup, seed=0)(n) for n in range(50)]
    assert examples != [solved_examples(setup, seed=1)(n) for n in range(50)]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '{"question": "a"}',
        '{"question": "", "solution": "b"}',
        '{"question": 1, "solution": "b"}',
        '{"question": "a", "prompt": "a", "solution": "b"}',
        r'{"question": "a", "solution": "b\ud83d"}',
        '{"question": 1' + "0" * 5000 + ', "solution": "b"}',
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, line):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "q", "solution": "s"}\n\n' + line + "\n")
    with pytest.raises(DataError, match="line 3"):
        read_examples(file)


def test_rows_of_a_file(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "q", "solution": "s"}\n{"prompt": "p", "solution": "t", "more": 1}\n')
    assert read_examples(file) == [Example((Message("user", "q"),), "s"), Example((Message("user", "p"),), "t")]
    file.write_text("\n")
    with pytest.raises(DataError, match="empty"):
        read_examples(file)


def test_a_row_may_hold_other_ends_of_lines(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "q\u2028r\x85", "solution": "s"}\r\n')
    assert read_examples(file) == [Example((Message("user", "q\u2028r\x85"),), "s")]


# --- runs -------------------------------------------------------------------------------------------------------------


def learn(model, examples, run, *, batch=16, reporter=None, facts=None, **train):
    """Fine-tune on the user's own examples."""
    config = SFTConfig(
        model=str(model),
        train={"steps": 60, "lr": 1e-2, "warmup_steps": 5, "save_every": 20, **train},
        sft={"batch_size": batch},
    )
    return supervised(config, RunFolder(run), reporter, part=lambda config: SFT(config, examples, facts)).run()


def weights(path):
    return AutoModelForCausalLM.from_pretrained(path).state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def figures(run):
    """The metrics of a run, without those of the clock."""
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if not key.startswith(CLOCK)} for line in lines]


def test_a_model_learns_its_examples_and_the_run_folder_is_a_model(tmp_path, tiny_model):
    run = tmp_path / "run"
    summary = learn(tiny_model, sums, run, steps=250)
    losses = [line["train/loss_nats"] for line in read_metrics(run / "metrics.jsonl")]
    assert losses[0] > 2.0
    assert losses[-1] < 0.05
    assert summary["train/loss_nats"] == losses[-1]
    assert resolve_model(str(run)) == summary["checkpoint"]
    policy = load_policy(resolve_model(str(run)), device="cpu")
    prompt_ids, completion_ids = encode_row(policy, *sums(4))
    generated = policy.model.generate(
        torch.tensor([prompt_ids]), attention_mask=torch.ones(1, len(prompt_ids)), max_new_tokens=20, do_sample=False
    )
    assert generated[0, len(prompt_ids) :].tolist() == completion_ids


class Killed(Exception):
    pass


class DiesAt(Reporter):
    def __init__(self, step):
        self.at = step

    def step(self, step, steps, metrics):
        if step == self.at:
            raise Killed


def test_a_run_that_was_cut_off_ends_in_the_same_weights_and_metrics(tmp_path, tiny_model):
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    learn(tiny_model, sums, straight)
    with pytest.raises(Killed):
        learn(tiny_model, sums, cut, reporter=DiesAt(33), facts={"fingerprints": {"data": "sums"}})
    assert not (cut / "summary.json").exists()
    with pytest.raises(ConfigError, match=r"fingerprints.data was sums and is others: put the old file back"):
        learn(tiny_model, sums, cut, facts={"fingerprints": {"data": "others"}})
    learn(tiny_model, sums, cut, facts={"fingerprints": {"data": "sums"}})
    assert figures(cut) == figures(straight)
    assert [line["step"] for line in figures(cut)] == list(range(1, 61))
    assert equal(weights(resolve_model(str(straight))), weights(resolve_model(str(cut))))


# --- kgym sft ---------------------------------------------------------------------------------------------------------


def sft(model, run, *more):
    arguments = (
        "--model",
        model,
        "--run",
        run,
        "--batch",
        8,
        "--lr",
        1e-3,
        "--set",
        "train.save_every=5",
        "train.warmup_steps=2",
        *more,
    )
    return ["sft", *map(str, arguments)]


def test_the_command_trains_on_an_environment(tmp_path, tiny_model, capsys):
    words = ["--env", "arithmetic", "--steps", 6, "--out", tmp_path / "out"]
    assert main([*sft(tiny_model, tmp_path / "run", *words), "--set", "env.difficulty=2", "--json"]) == 0
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert summary["steps"] == 6
    assert math.isfinite(summary["train/loss_nats"])
    assert "step 6/6" in output.err
    assert "train.warmup_steps" not in output.err
    assert not equal(weights(tiny_model), weights(tmp_path / "out"))
    assert equal(weights(summary["checkpoint"]), weights(tmp_path / "out"))
    assert not (tmp_path / "out" / "trainer.pt").exists()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["kind"] == "sft"
    assert manifest["config"]["env"]["options"]["difficulty"] == 2
    assert manifest["config"]["env"]["options"]["truncated"] == "zero"  # every default is written down
    assert manifest["env"]["data_sha256"]


def test_an_out_folder_that_exists_is_refused_at_the_start(tmp_path, tiny_model, capsys):
    (tmp_path / "out").mkdir()
    assert (
        main([*sft(tiny_model, tmp_path / "run", "--env", "arithmetic", "--steps", 1, "--out", tmp_path / "out")]) == 2
    )
    assert "exists already; choose another folder with --out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_warm_up_that_outlasts_the_run_is_pointed_out(tmp_path, tiny_model, capsys):
    assert (
        main(
            [*sft(tiny_model, tmp_path / "run", "--env", "arithmetic", "--steps", 3), "--set", "train.warmup_steps=50"]
        )
        == 0
    )
    assert "train.warmup_steps=50: the run has 3 steps and ends before this does" in capsys.readouterr().out


def test_the_command_trains_on_a_file(tmp_path, tiny_model, capsys):
    data = tmp_path / "rows.jsonl"
    data.write_text(
        "".join(json.dumps({"question": f"{n}+1", "solution": f"\\boxed{{{n + 1}}}"}) + "\n" for n in range(5))
    )
    assert main(sft(tiny_model, tmp_path / "run", "--data", data, "--steps", 3)) == 0
    assert f"checkpoint  {tmp_path / 'run' / 'checkpoints' / 'step-3'}" in capsys.readouterr().out
    assert isinstance(load_policy(resolve_model(str(tmp_path / "run"))), Policy)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--env", "airthmetic"], "did you mean 'arithmetic'"),
        (["--data", "absent.jsonl"], "absent.jsonl"),
        (["--env", "arithmetic", "--steps", "0"], "train.steps=0"),
        (["--env", "arithmetic", "--set", "train.warmup=3"], "that is 'train.warmup_steps' here"),
        (["--env", "arithmetic", "--set", "sft.lr=3"], "no key named 'sft.lr'; that is 'train.lr' here"),
        (["--env", "arithmetic", "--set", "sft.seed=3"], "no key named 'sft.seed'; that is 'seed' here"),
        (["--env", "arithmetic", "--set", "algo.tau=3"], "no key named 'algo"),
        (["--env", "arithmetic", "--set", "train.train_batch_size=3"], "that is 'sft.batch_size' here"),
        (["--env", "arithmetic", "--set", "verifier=math"], "verifier"),
        (["--env", "arithmetic", "--data", "x.jsonl"], "env and data are both set"),
        ([], "name an environment (--env)"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(tmp_path, tiny_model, capsys, more, said):
    assert main(sft(tiny_model, tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_file_and_the_command_line_say_the_same(tmp_path, tiny_model, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = sft(tiny_model, "one", "--env", "arithmetic", "--steps", 2)
    assert main([*asked, "--show-config"]) == 0
    text = capsys.readouterr().out
    assert "batch_size = 8  # --batch" in text
    assert not (tmp_path / "one").exists()
    (tmp_path / "run.toml").write_text(text)
    assert main(asked) == 0
    assert main(["sft", "--config", "run.toml", "--run", "two"]) == 0
    configs = [json.loads((tmp_path / name / "manifest.json").read_text())["config"] for name in ("one", "two")]
    assert configs[0] == configs[1]
    assert figures(tmp_path / "one") == figures(tmp_path / "two")
    assert main(["sft", "--config", "run.toml", "--run", "two", "--resume"]) == 0
    assert main(["sft", "--config", "run.toml", "--run", "two", "--resume", "--seed", "1"]) == 2
    assert "seed differs from it" in capsys.readouterr().err


# --- completions that a run has stored --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """An evaluation of nano, which has some completions right."""
    run = tmp_path_factory.mktemp("scored") / "run"
    what = ["--bench", "aime:validation", "--problems", "8", "--samples", "3", "--run", str(run)]
    assert main(["eval", "--model", "nano", *what, "--json"]) == 0
    return run


def test_stored_completions_are_learnt_by_the_tokens_that_were_sampled(scored, tmp_path, capsys):
    found = sampled_examples(scored)
    (part,) = (scored / "samples").glob("*.parquet")
    episodes = [episode for episode in read_episodes(part) if episode.verdict.status == "correct"]
    assert {one.text for one in found} == {episode.text for episode in episodes}
    tokens = {(episode.problem.id, episode.text): episode for episode in episodes}
    policy = load_policy(resolve_model("nano"), device="cpu")
    for one in found:
        episode = tokens[one.problem_id, one.text]
        assert encoded(policy, one) == (list(episode.prompt_ids), list(episode.token_ids))
    words = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--steps", "2", "--batch", "4", "--json"]
    assert main(["sft", "--episodes", str(scored), *words]) == 0
    assert (tmp_path / "out" / "model.safetensors").exists()
    capsys.readouterr()


def test_of_each_problem_the_shortest_right_completion_can_be_learnt(scored, tmp_path, capsys):
    def sampled(problem, *tokens):
        return Sampled(problem, [1], list(tokens), "text")

    some = [sampled("a", 5, 6, 7), sampled("b", 5), sampled("a", 8, 9), sampled("a", 3, 4), sampled("b", 6)]
    assert shortest(some) == [some[2], some[1]]
    chosen = shortest(sampled_examples(scored))
    config = SFTConfig(episodes=str(scored), sft={"select": "shortest"})
    examples, facts = examples_of(config)
    assert {examples(n).text for n in range(len(chosen))} == {one.text for one in chosen}
    assert set(facts["fingerprints"]) == {"episodes"}
    words = ["--set", "sft.select=shortest", "--run", str(tmp_path / "run"), "--steps", "1"]
    assert main(["sft", "--env", "aime", *words]) == 2
    assert "name a run that has them with --episodes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_stored_completions_that_cannot_be_learnt_are_refused_in_one_line(scored, tmp_path, capsys):
    old, none = tmp_path / "old", tmp_path / "none"
    for run in (old, none):
        shutil.copytree(scored, run)
    (part,) = (old / "samples").glob("*.parquet")
    frame = pd.read_parquet(part)
    frame.drop(columns=["prompt_ids", "token_ids", "engine_logprobs", "pieces"]).to_parquet(part)
    (part,) = (none / "samples").glob("*.parquet")
    pq.write_table(pq.read_table(part).filter(pc.field("status") != "correct"), part)
    for run, words in (
        (old, "earlier version"),
        (none, "no correct completion"),
        (tmp_path / "x", "no stored completions"),
    ):
        assert main(["sft", "--episodes", str(run), "--run", str(tmp_path / "run"), "--steps", "1"]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_tokens_of_another_tokenizer_are_refused(scored):
    (one, *_) = sampled_examples(scored)
    policy = load_policy(resolve_model("nano"), device="cpu")
    with pytest.raises(ConfigError, match="another tokenizer"):
        encoded(policy, one._replace(token_ids=[number + 1 for number in one.token_ids]))
