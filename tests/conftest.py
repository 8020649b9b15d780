"""Settings of all tests: hypothesis without a deadline and torch on one thread, since the machines that run them are
shared and small.
"""

import logging
import os

import pytest
from hypothesis import settings

from kgym import registry as registry_module
from skips import pytest_addoption, pytest_configure  # noqa: F401  (hooks)

# One thread for each process, those that tests start too: tests run in parallel, and threads of torch that share a core
# wait for each other by spinning, which made a suite of minutes take 45 beside four busy processes.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing in the tests comes from a hub
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # as in the command line; read when the library is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own is 15: its processes would wait for those of other tests

settings.register_profile("kgym", deadline=None)
settings.load_profile("kgym")


LONGEST = (
    "test_several_ranks.py",
    "test_train_algorithms.py",
    "test_plugins_new.py",
    "test_ray_ranks.py",
    "test_ray.py",
    "test_vllm.py",
    "test_docs_commands.py",
)
"""Files whose tests take minutes. They are begun first, so that no process is left with one of them at the end."""


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(autouse=True)
def _log_levels():
    """A command that an earlier test or a fixture has run in this process, with -q for instance, decides nothing for
    this test.
    """
    for name, level in ((None, logging.WARNING), ("kgym", logging.NOTSET), ("kgym.tracebacks", logging.NOTSET)):
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def _plugins_of_the_test():
    """The plugins that a test loads with `-p` or `configure` are not loaded in the next one, nor in its processes."""
    before = os.environ.get(registry_module.INHERITED)
    yield
    if os.environ.get(registry_module.INHERITED) == before:
        return
    if before is None:
        del os.environ[registry_module.INHERITED]
    else:
        os.environ[registry_module.INHERITED] = before
    registry_module._current = None


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A model folder with nano's tokenizer and random weights, small enough to be trained in a test."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from kgym.models.names import resolve_model

    path = tmp_path_factory.mktemp("model")
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("nano"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
