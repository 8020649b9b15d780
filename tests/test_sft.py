"""Supervised warm-up: what is learnt, from which examples, and that a run which was killed ends in the same weights."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from kgym.cli.main import main
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, DataError
from kgym.models.names import resolve_model
from kgym.models.policy import Policy, load_policy
from kgym.runs.episodes import read_episodes
from kgym.train import logprobs
from kgym.train.logprobs import token_logprobs
from kgym.train.optim import make_optimizer
from kgym.train.supervised.fit import encode_row, microbatches, shuffled, train_step
from kgym.train.supervised.sft import Example, SFTOptions, backward, encoded, finetune, read_examples, sampled_examples, solved_examples
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
            assert entropy[row, t].item() == pytest.approx(-(expected[t - 1].exp() * expected[t - 1]).sum().item(), abs=1e-5)
        assert logprobs[row, [0, *range(length, 5)]].abs().max().item() == 0
        assert entropy[row, [0, *range(length, 5)]].abs().max().item() == 0
    assert logprobs.requires_grad
    assert not entropy.requires_grad


def test_chunks_change_neither_values_nor_gradients(policy, monkeypatch):
    torch.manual_seed(1)
    input_ids, attention = torch.randint(6, 100, (3, 11)), torch.ones(3, 11, dtype=torch.long)

    def values():
        logprobs, entropy = token_logprobs(policy.model, input_ids, attention, temperature=0.8, with_entropy=True)
        gradient = torch.autograd.grad((logprobs * torch.arange(11)).sum(), policy.model.get_input_embeddings().weight)[0]
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


def test_only_the_completion_and_its_end_are_learnt(policy):
    prompt_ids, completion_ids = encode_row(policy, *sums(3))
    tokenizer = policy.tokenizer
    assert tokenizer.decode(prompt_ids) == "<|user|>3+1<|end|><|assistant|>"
    assert tokenizer.decode(completion_ids) == "\\boxed{4}<|end|>"
    ids = torch.tensor([prompt_ids + completion_ids])
    with torch.no_grad():
        logprobs = policy.model(input_ids=ids).logits[0].log_softmax(-1)
    start = len(prompt_ids)
    expected = -sum(logprobs[start + i - 1, token].item() for i, token in enumerate(completion_ids)) / len(completion_ids)
    optimizer = make_optimizer(policy.model, lr=0.0, weight_decay=0.0, betas=(0.9, 0.98))
    metrics = train_step(policy, optimizer, lambda policy: backward(policy, [sums(3)], 4096), SFTOptions())
    assert metrics["loss_nats"] == pytest.approx(expected, abs=1e-5)
    assert metrics["grad_norm"] > 0
    assert metrics["tokens"] == ids.numel()


def test_microbatches_change_the_loss_and_the_step_by_rounding_only(tiny_model):
    batch = [Example((Message("user", "x" * (i % 5)),), "y" * (1 + 3 * i)) for i in range(9)]
    results = []
    for tokens in (1, 60, 100_000):
        policy = load_policy(tiny_model, device="cpu")
        optimizer = torch.optim.SGD(policy.model.parameters(), lr=1.0)
        metrics = train_step(policy, optimizer, lambda policy, tokens=tokens: backward(policy, batch, tokens), SFTOptions())
        results.append((*metrics.values(), policy.model.get_input_embeddings().weight.sum().item()))
    assert results[1] == pytest.approx(results[0], rel=1e-4)
    assert results[2] == pytest.approx(results[0], rel=1e-4)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=30), st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_microbatches_hold_every_row_once_and_stay_within_their_tokens(lengths, tokens):
    rows = [([i] * prompt, [i] * completion) for i, (prompt, completion) in enumerate(lengths)]
    parts = list(microbatches(rows, tokens, lambda row: [row]))
    assert sorted(row for part in parts for row in part) == sorted(rows)
    for part in parts:
        assert len(part) == 1 or len(part) * max(len(p) + len(c) for p, c in part) <= tokens


def test_an_example_that_does_not_fit_is_refused_by_name(policy):
    with pytest.raises(DataError, match=r"context 256.*'long question"):
        encode_row(policy, (Message("user", "long question" + "x" * 230),), "y" * 20)


def test_an_example_that_does_not_fit_is_left_out_counted_and_named_once(policy, caplog):
    good = [Example((Message("user", "2+3"),), "5"), Example((Message("user", "1+1"),), "the answer is 2")]
    long = Example((Message("user", "far too long" + "x" * 300),), "y")

    def gradient(batch):
        policy.model.zero_grad()
        metrics = backward(policy, batch, 10_000)
        return metrics, policy.model.get_input_embeddings().weight.grad.clone()

    alone, wanted = gradient(good)
    for _ in range(2):
        metrics, found = gradient([good[0], long, good[1]])
        assert torch.equal(found, wanted)
        assert metrics == alone | {"data/too_long": 1}
    assert [record.getMessage() for record in caplog.records if "far too long" in record.getMessage()] == [
        "an example has 317 tokens and the model's context 256: 'far too long" + "x" * 68 + "'; it is left out of its batch"
    ]


def test_a_run_whose_examples_never_fit_ends_with_the_reason(tiny_model, tmp_path):
    long = Example((Message("user", "no room " + "x" * 300),), "y")
    with pytest.raises(DataError, match=r"no example of 3 steps fits into the model's context"):
        finetune(tiny_model, lambda n: long, tmp_path / "out", SFTOptions(steps=5, batch_size=2), data="d", device="cpu")
    summary = finetune(
        tiny_model,
        lambda n: long if n == 0 else Example((Message("user", "2+3"),), "5"),
        tmp_path / "out",
        SFTOptions(steps=5, batch_size=1),
        data="other",
        device="cpu",
    )
    assert summary["steps"] == 5


# --- examples ---------------------------------------------------------------------------------------------------------


def test_passes_over_a_file_are_shuffled_whole_and_the_same_for_a_seed():
    nth = shuffled("abcdefgh", seed=1)
    passes = ["".join(nth(n) for n in range(start, start + 8)) for start in (0, 8, 16)]
    assert all(sorted(one) == list("abcdefgh") for one in passes)
    assert len(set(passes)) == 3
    assert nth(3) == passes[0][3]  # whatever was asked before
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


# --- runs -------------------------------------------------------------------------------------------------------------

QUICK = SFTOptions(steps=60, batch_size=16, lr=1e-2, warmup_steps=5, save_every=20)


def weights(path):
    return AutoModelForCausalLM.from_pretrained(path).state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_model_learns_its_examples_and_is_written_whole(tmp_path, tiny_model):
    losses = []
    options = QUICK.model_copy(update={"steps": 250})
    summary = finetune(tiny_model, sums, tmp_path / "out", options, data="sums", report=lambda metrics: losses.append(metrics["loss_nats"]))
    assert losses[0] > 2.0
    assert losses[-1] < 0.05
    assert summary["loss_nats"] == losses[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    policy = load_policy(tmp_path / "out", device="cpu")
    prompt_ids, completion_ids = encode_row(policy, *sums(4))
    generated = policy.model.generate(
        torch.tensor([prompt_ids]), attention_mask=torch.ones(1, len(prompt_ids)), max_new_tokens=20, do_sample=False
    )
    assert generated[0, len(prompt_ids) :].tolist() == completion_ids
    with pytest.raises(ConfigError, match="exists already"):
        finetune(tiny_model, sums, tmp_path / "out", QUICK, data="sums")


class Killed(Exception):
    pass


def test_a_run_that_was_cut_off_ends_in_the_same_weights(tmp_path, tiny_model):
    finetune(tiny_model, sums, tmp_path / "straight", QUICK, data="sums")

    def die(metrics):
        if metrics["step"] == 33:
            raise Killed

    with pytest.raises(Killed):
        finetune(tiny_model, sums, tmp_path / "cut", QUICK, data="sums", report=die)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(ConfigError, match="--resume"):
        finetune(tiny_model, sums, tmp_path / "cut", QUICK, data="sums")
    with pytest.raises(ConfigError, match="since it began data was sums and is others"):
        finetune(tiny_model, sums, tmp_path / "cut", QUICK, data="others", resume=True)
    steps = []
    finetune(tiny_model, sums, tmp_path / "cut", QUICK, data="sums", resume=True, report=lambda metrics: steps.append(metrics["step"]))
    assert steps == list(range(21, 61))
    assert equal(weights(tmp_path / "straight"), weights(tmp_path / "cut"))


# --- kgym sft ---------------------------------------------------------------------------------------------------------


def sft(model, out, *more):
    arguments = ("--model", model, "--out", out, "--batch", 8, "--lr", 1e-3, "--set", "sft.save_every=5", "sft.warmup_steps=2", *more)
    return ["sft", *map(str, arguments)]


def test_the_command_trains_on_an_environment(tmp_path, tiny_model, capsys):
    assert main([*sft(tiny_model, tmp_path / "out", "--env", "arithmetic", "--steps", 6), "--set", "env.difficulty=2", "--json"]) == 0
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert summary["steps"] == 6
    assert math.isfinite(summary["loss_nats"])
    assert "step 6/6" in output.err
    assert "sft.warmup_steps" not in output.err
    assert not equal(weights(tiny_model), weights(tmp_path / "out"))


def test_a_warm_up_that_outlasts_the_run_is_pointed_out(tmp_path, tiny_model, capsys):
    assert main([*sft(tiny_model, tmp_path / "out", "--env", "arithmetic", "--steps", 3), "--set", "sft.warmup_steps=50"]) == 0
    assert "sft.warmup_steps=50: the run has 3 steps and ends before this does" in capsys.readouterr().out


def test_the_command_trains_on_a_file(tmp_path, tiny_model, capsys):
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"question": f"{n}+1", "solution": f"\\boxed{{{n + 1}}}"}) + "\n" for n in range(5)))
    assert main(sft(tiny_model, tmp_path / "out", "--data", data, "--steps", 3)) == 0
    assert f"model       {tmp_path / 'out'}" in capsys.readouterr().out
    assert isinstance(load_policy(tmp_path / "out"), Policy)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--env", "airthmetic"], "did you mean 'arithmetic'"),
        (["--data", "absent.jsonl"], "absent.jsonl"),
        (["--env", "arithmetic", "--steps", "0"], "steps"),
        (["--env", "arithmetic", "--set", "sft.warmup=3"], "warmup"),
        (["--env", "arithmetic", "--set", "train.lr=3"], "env. or sft."),
        (["--env", "arithmetic", "--data", "x.jsonl"], "not allowed"),
        ([], "--env"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(tmp_path, tiny_model, capsys, more, said):
    assert main(sft(tiny_model, tmp_path / "out", *more)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_killed_command_resumes_to_the_same_weights(tmp_path, tiny_model):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def command(out, *more):
        return [sys.executable, "-m", "kgym.cli.main", *sft(tiny_model, out, "--env", "arithmetic", "--steps", 40, *more)]

    cut, straight = tmp_path / "cut", tmp_path / "straight"
    process = subprocess.Popen(command(cut), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cut.partial").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not cut.exists()
    subprocess.run(command(cut, "--resume"), env=environment, check=True, capture_output=True)
    subprocess.run(command(straight), env=environment, check=True, capture_output=True)
    assert equal(weights(cut), weights(straight))


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
    assert main(["sft", "--episodes", str(scored), "--out", str(tmp_path / "out"), "--steps", "2", "--batch", "4", "--json"]) == 0
    assert (tmp_path / "out" / "model.safetensors").exists()
    capsys.readouterr()


def test_stored_completions_that_cannot_be_learnt_are_refused_in_one_line(scored, tmp_path, capsys):
    old, none = tmp_path / "old", tmp_path / "none"
    for run in (old, none):
        shutil.copytree(scored, run)
    (part,) = (old / "samples").glob("*.parquet")
    frame = pd.read_parquet(part)
    frame.drop(columns=["prompt_ids", "token_ids", "engine_logprobs", "pieces"]).to_parquet(part)
    (part,) = (none / "samples").glob("*.parquet")
    pq.write_table(pq.read_table(part).filter(pc.field("status") != "correct"), part)
    for run, words in ((old, "earlier version"), (none, "no correct completion"), (tmp_path / "x", "no stored completions")):
        assert main(["sft", "--episodes", str(run), "--out", str(tmp_path / "out"), "--steps", "1"]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_tokens_of_another_tokenizer_are_refused(scored):
    (one, *_) = sampled_examples(scored)
    policy = load_policy(resolve_model("nano"), device="cpu")
    with pytest.raises(ConfigError, match="another tokenizer"):
        encoded(policy, one._replace(token_ids=[number + 1 for number in one.token_ids]))
