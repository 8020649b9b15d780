"""Layouts of the forward pass: the same losses and gradients, each distinct token once, and micro-batches by what is
computed.
"""

import copy
import random
from dataclasses import replace

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.algorithms.batch import pack
from kgym.errors import ConfigError
from kgym.train import logprobs
from kgym.train.attention import LONG, kernels
from kgym.train.layout import arrange, microbatches
from kgym.train.scorer import Scorer, can_pack, checkpoint_layers

VOCABULARY = 61
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOWS = {
    "head_dim": 8,
    "sliding_window": 9,
    "query_pre_attn_scalar": 8,
    "layer_types": ["sliding_attention", "full_attention"],
}
MODELS = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "mistral": ("Mistral", {"sliding_window": 9}),
    "gemma2": ("Gemma2", {**WINDOWS, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3", WINDOWS),
    "cohere": ("Cohere", {"logit_scale": 0.5}),
}


def make(name):
    family, more = MODELS[name]
    config = getattr(transformers, f"{family}TextConfig" if family == "Gemma3" else f"{family}Config")(**SIZES, **more)
    torch.manual_seed(3)
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return make(request.param)


def random_pack(seed, *, groups=4, longest=50):
    """Groups of unequal sizes and lengths: completions of several turns, some masked whole, some equal, some prompts of
    one token.
    """
    rng = random.Random(seed)
    prompts, answers, masks, group_ids = [], [], [], []
    for group in range(groups):
        prompt = [rng.randrange(VOCABULARY) for _ in range(rng.choice([1, 3, longest]))]
        for _ in range(rng.choice([1, 2, 6])):
            if answers and group_ids[-1] == group and rng.random() < 0.3:
                answer = answers[-1][: rng.randint(1, len(answers[-1]))]  # begins as the one before it does
            else:
                answer = [rng.randrange(VOCABULARY) for _ in range(rng.choice([1, 4, longest]))]
            prompts.append(prompt)
            answers.append(answer)
            masks.append([rng.random() < 0.8 for _ in answer] if rng.random() < 0.9 else [False] * len(answer))
            group_ids.append(group)
    masks[0][-1] = True
    return pack(
        prompt_ids=prompts, token_ids=answers, token_mask=masks, rewards=[0.0] * len(answers), group_ids=group_ids
    )


def by_hand(model, batch, temperature):
    """Return log-probabilities and entropies by one plain forward pass an episode."""
    logprobs_T, entropy_T = torch.zeros(batch.n_tokens), torch.zeros(batch.n_tokens)
    for episode in range(batch.n_episodes):
        places = (batch.episode_ids == episode).nonzero().flatten()
        ids = batch.input_ids[places]
        found = (model(input_ids=ids[None]).logits[0, :-1] / temperature).log_softmax(-1)
        logprobs_T = logprobs_T.index_put((places[1:],), found[torch.arange(len(ids) - 1), ids[1:]])
        entropy_T[places[1:]] = -(found.exp() * found).sum(-1).detach()
    return torch.where(batch.mask, logprobs_T, 0.0), torch.where(batch.mask, entropy_T, 0.0)


def gradients(model, loss):
    return [
        found for found in torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) if found is not None
    ]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_every_layout_gives_the_same_losses_and_gradients(model, layout, checkpointing, monkeypatch):
    subject = copy.deepcopy(model)
    if checkpointing:
        checkpoint_layers(subject)
        monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 7 * VOCABULARY)
    scorer = Scorer(subject, layout)
    assert scorer.packed == (layout == "packed")
    assert scorer.chunked
    for seed in range(3):
        batch = random_pack(seed)
        weights_T = torch.randn(batch.n_tokens, generator=torch.Generator().manual_seed(seed))
        expected_T, expected_entropy_T = by_hand(model, batch, 0.7)
        found_T, entropy_T = scorer(batch, temperature=0.7, with_entropy=True)
        torch.testing.assert_close(found_T, expected_T, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(entropy_T, expected_entropy_T, atol=1e-5, rtol=1e-5)
        assert not entropy_T.requires_grad
        expected = gradients(model, (expected_T * weights_T).sum() / batch.totals.tokens)
        found = gradients(subject, (found_T * weights_T).sum() / batch.totals.tokens)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


LLAMA = make("llama")
SCORER = Scorer(copy.deepcopy(LLAMA), "packed")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 3), min_size=1, max_size=12),
            st.lists(
                st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=14), min_size=1, max_size=5
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 60),
    st.booleans(),
)
def test_random_packs_are_scored_as_single_episodes(groups, max_tokens, whole_groups):
    rows = [(prompt, answer, number) for number, (prompt, answers) in enumerate(groups) for answer in answers]
    batch = pack(
        prompt_ids=[prompt for prompt, _, _ in rows],
        token_ids=[[token for token, _ in answer] for _, answer, _ in rows],
        token_mask=[[trained for _, trained in answer] for _, answer, _ in rows],
        rewards=[0.0] * len(rows),
        group_ids=[number for _, _, number in rows],
    )
    with torch.no_grad():
        expected_T, _ = by_hand(LLAMA, batch, 1.0)
        found_T = torch.zeros(batch.n_tokens)
        for micro, places, _ in microbatches(batch, max_tokens, packed=True, whole_groups=whole_groups):
            assert torch.equal(micro.input_ids, batch.input_ids[places])
            assert micro.totals == batch.totals
            computed = arrange(micro, packed=True).inputs["input_ids"].numel()
            assert computed <= max_tokens or micro.n_episodes == 1 or whole_groups
            found_T[places] = SCORER(micro)[0]
    torch.testing.assert_close(found_T, expected_T, atol=2e-5, rtol=1e-5)


def test_what_a_group_shares_is_computed_once():
    batch = pack(
        prompt_ids=[[5, 6, 7]] * 3 + [[8, 9]],
        token_ids=[[10, 11, 2], [10, 12, 2], [13, 2], [14, 2]],
        rewards=[0.0] * 4,
        group_ids=[0, 0, 0, 1],
    )
    packed, padded = (arrange(batch, packed=packed).inputs for packed in (True, False))
    # the last token of a completion predicts nothing; the second completion begins as the first does
    assert packed["input_ids"].tolist() == [[5, 6, 7, 10, 11, 12, 13, 8, 9, 14]]
    assert packed["position_ids"].tolist() == [[0, 1, 2, 3, 4, 4, 3, 0, 1, 2]]
    assert padded["input_ids"].tolist() == [[5, 6, 7, 10, 11], [5, 6, 7, 10, 12], [5, 6, 7, 13, 0], [8, 9, 14, 0, 0]]


def test_equal_tokens_of_other_groups_are_not_shared():
    batch = pack(prompt_ids=[[5, 6]] * 2, token_ids=[[7, 2]] * 2, rewards=[0.0] * 2, group_ids=[0, 1])
    assert arrange(batch, packed=True).inputs["input_ids"].tolist() == [[5, 6, 7, 5, 6, 7]]


def test_a_group_stays_together_where_it_fits():
    batch = random_pack(1, groups=6)
    for micro, _, _ in microbatches(batch, 400, packed=True):
        for group in set(micro.group_ids.tolist()):
            trained = [
                e
                for e in range(batch.n_episodes)
                if batch.group_ids[e] == group and batch.mask[batch.episode_ids == e].any()
            ]
            assert int((micro.group_ids == group).sum()) == len(trained)


def test_nothing_to_train_is_refused():
    batch = random_pack(0)
    with pytest.raises(ValueError, match="no trained token"):
        arrange(replace(batch, mask=torch.zeros_like(batch.mask)), packed=True)


# --- what a model can do ----------------------------------------------------------------------------------------------


def test_a_model_that_attends_otherwise_is_padded():
    config = transformers.GptOssConfig(**SIZES, head_dim=8, num_local_experts=4, num_experts_per_tok=2)
    config.rope_parameters = {"rope_type": "default", "rope_theta": 1e4}
    model = transformers.GptOssForCausalLM(config).eval()
    own = model.config._attn_implementation
    scorer = Scorer(model)
    assert not scorer.packed
    assert model.config._attn_implementation == own
    batch = random_pack(2)
    torch.testing.assert_close(scorer(batch)[0], by_hand(model, batch, 1.0)[0], atol=1e-5, rtol=1e-5)
    with pytest.raises(
        ConfigError, match=r"GptOssForCausalLM cannot be packed \(its attention has s_aux\); set train.layout=padded"
    ):
        Scorer(model, "packed")


def test_a_model_without_attention_is_padded():
    config = transformers.MambaConfig(vocab_size=VOCABULARY, hidden_size=16, state_size=4, num_hidden_layers=1)
    assert not can_pack(transformers.MambaForCausalLM(config).eval(), "auto")


def test_layers_that_hide_their_window_are_not_packed():
    model = make("mistral")
    for layer in model.model.layers:
        layer.self_attn.config = copy.deepcopy(layer.self_attn.config)
        layer.self_attn.config.sliding_window = None
    model.config.sliding_window = 300  # beyond the probe, whose numbers agree
    assert not can_pack(model, "auto")


def test_a_head_that_is_not_known_gives_the_models_own_logits():
    model = make("llama")
    model.lm_head.register_forward_hook(lambda module, inputs, output: output)
    whole = copy.deepcopy(model)
    forward = model.forward
    model.forward = lambda *args, **kwargs: _doubled(forward(*args, **kwargs))
    scorer = Scorer(model)
    assert scorer.packed
    assert not scorer.chunked
    batch = random_pack(3)
    found_T, entropy_T = scorer(batch, temperature=2.0, with_entropy=True)  # twice the logits at twice the temperature
    expected_T, expected_entropy_T = by_hand(whole, batch, 1.0)
    torch.testing.assert_close(found_T, expected_T, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropy_T, expected_entropy_T, atol=1e-5, rtol=1e-5)


def _doubled(output):
    output.logits = 2 * output.logits
    return output


def test_a_packed_model_attends_to_rows_of_others_as_before(model):
    """Anyone who calls the model itself, with a padded batch, gets what it gave."""
    subject = copy.deepcopy(model)
    assert can_pack(subject, "packed")
    ids = torch.randint(3, VOCABULARY, (2, 20))
    mask = torch.ones_like(ids)
    mask[0, :7] = 0
    with torch.no_grad():
        expected, found = (each(input_ids=ids, attention_mask=mask).logits for each in (model, subject))
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-5)


def test_the_configuration_that_is_saved_names_no_attention_of_ours(tmp_path):
    model = make("llama")
    assert can_pack(model, "packed")
    model.save_pretrained(tmp_path)
    assert "kgym" not in (tmp_path / "config.json").read_text()


def test_gradient_checkpointing_that_cannot_be_is_refused_if_it_was_asked_for():
    plain = torch.nn.Linear(2, 2)
    checkpoint_layers(plain)
    with pytest.raises(ConfigError, match=r"train\.gradient_checkpointing=true: Linear has no layers"):
        checkpoint_layers(plain, asked=True)


def test_cudnn_makes_no_plans_for_short_rows_on_a_gpu():
    before = torch.backends.cuda.cudnn_sdp_enabled()
    with kernels(LONG - 1, torch.device("cuda")):
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.flash_sdp_enabled()
    for n_keys, device in ((LONG, "cuda"), (8, "cpu")):
        with kernels(n_keys, torch.device(device)):
            assert torch.backends.cuda.cudnn_sdp_enabled() == before
    assert torch.backends.cuda.cudnn_sdp_enabled() == before
