"""From a resolved model to its tokenizer and its weights: the one place that calls the loaders of transformers.

    load_config -> load_tokenizer -> load_weights    each raises ConfigError, naming folder, reason and remedy

Three things are refused here, before a model is used: its own code, which never runs; weights that are not finite; and
a tokenizer with tokens that the embedding has no row for.
"""

import contextlib
import json
import logging
import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from kgym.errors import ConfigError
from kgym.models.adapters import merge_adapter
from kgym.models.names import CONFIG, HUB_ID, adapters_of, two_readings
from kgym.models.weights import local

log = logging.getLogger(__name__)

TOKENIZER = "tokenizer_config.json"


def load_config(folder: str) -> PreTrainedConfig:
    """Return the configuration of a model. Raises ConfigError if it cannot be read or asks for code from elsewhere."""
    folder, _ = adapters_of(folder)
    with _refusing("the configuration of a model", folder):
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, **_where(folder))
    for part in (config, config.get_text_config()):
        attention = getattr(part, "_attn_implementation", None)
        if isinstance(attention, str) and "/" in attention:  # transformers would download and run it
            raise ConfigError(
                f"{folder}/{CONFIG} asks for the attention kernel {attention}, code that kgym never runs; remove it "
                "there"
            )
    return config


def load_generation_config(folder: str) -> GenerationConfig | None:
    """Return the sampling settings of a model; None if it has none. Raises ConfigError if it cannot be read."""
    folder, _ = adapters_of(folder)
    try:
        config: GenerationConfig = GenerationConfig.from_pretrained(folder, trust_remote_code=False, **_where(folder))
    except OSError:  # most folders have none
        return None
    return config


def load_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model; an adapter's own, if it has one.

    Raises ConfigError if it has none that can be loaded.
    """
    whole, adapters = adapters_of(folder)
    own = [str(adapter) for adapter in adapters if (adapter / TOKENIZER).is_file()]
    folder = own[-1] if own else whole
    with _refusing("a tokenizer", folder):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, **_where(folder)
        )
    return tokenizer


def load_weights(
    kind: Any, folder: str, *, what: str, dtype: torch.dtype, device: str | torch.device, **labels: int
) -> tuple[PreTrainedModel, list[str]]:
    """Return a model of a class such as `AutoModelForCausalLM`, in evaluation mode, and the names of the weights it
    lacks.

    Missing weights are set to 0; the caller decides whether they may be missing. `what` names such a model in messages.
    The adapter of an adapter's folder is merged into its base model. Raises ConfigError if it cannot be loaded, or if a
    weight is not finite.
    """
    whole, adapters = adapters_of(folder)
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would warn of missing weights, which are either expected or refused
    try:
        with _refusing(what, whole):
            model, report = kind.from_pretrained(
                whole, dtype=dtype, output_loading_info=True, trust_remote_code=False, **_where(whole), **labels
            )
            model = model.to(device).eval()
    finally:
        transformers_logging.set_verbosity(level)
    missing = sorted(report["missing_keys"])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in missing:
                weight.zero_()
    for adapter in adapters:
        merge_adapter(model, adapter)
    if (name := broken_weight(model)) is not None:
        wider = "" if dtype == torch.float32 else ", or load it in float32 in case they are too large for this type"
        raise ConfigError(
            f"{folder}: the weights {name} are not finite in {str(dtype).removeprefix('torch.')}; use another "
            f"checkpoint of it{wider}"
        )
    return model, missing


def load_language_model(
    folder: str, *, dtype: torch.dtype, device: str | torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal language model with its tokenizer. Raises ConfigError if the folder does not contain both,
    complete.
    """
    load_config(folder)
    tokenizer = load_tokenizer(folder)
    model, missing = load_weights(
        AutoModelForCausalLM, folder, what="a causal language model", dtype=dtype, device=device
    )
    if missing:
        raise ConfigError(
            f"{folder} is not a complete causal language model: it has no weights {missing[0]}; name another folder"
        )
    check_vocabulary(folder, tokenizer, model.get_input_embeddings().weight.shape[0])
    return model, tokenizer


def check_same_tokens(folder: str, other: str) -> None:
    """Raise ConfigError if the models do not have the same tokens."""
    if load_tokenizer(folder).get_vocab() != load_tokenizer(other).get_vocab():
        raise ConfigError(f"{other} and {folder} have different tokenizers: the same token would mean two things")


def blank_model(config: PreTrainedConfig, folder: str) -> PreTrainedModel:
    """Return a causal language model of a configuration, with arbitrary weights; it is made on torch's default device,
    so without memory on `meta`. Raises ConfigError, naming `folder`, if there is no such architecture.
    """
    with _refusing("a causal language model", folder):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return model.eval()


@torch.no_grad()
def own_memory(model: nn.Module) -> None:
    """Copy the weights out of the file that they are mapped from into memory that torch allocates.

    The rounding of matrix products may depend on how their operands are aligned in memory, which differs between a file
    and a run: a resumed run would not have the same numbers.
    """
    for weight in model.parameters():
        weight.data = weight.data.clone()


@torch.no_grad()
def broken_weight(model: nn.Module, dtype: torch.dtype = torch.float32) -> str | None:
    """Return the name of a parameter with a NaN or an infinity in it, or with a number that `dtype` does not reach;
    None if there is none. Of parameters that are cut over ranks, this rank's parts are checked.

    Reads every weight once, without a copy (0.05 s for 100 million on one core), and waits for the device once.
    """
    names, extremes = [], []
    for name, parameter in model.named_parameters():
        weight = local(parameter)
        if (
            weight.numel() and weight.is_floating_point() and weight.element_size() > 1
        ):  # torch does not compute minima and maxima of float8
            names.append(name)
            extremes.append(torch.stack(torch.aminmax(weight)).to(dtype).float())  # NaN if there is one
    if not names:
        return None
    broken = (~torch.stack(extremes).isfinite()).any(dim=1).nonzero().flatten().tolist()
    return names[broken[0]] if broken else None


def check_vocabulary(folder: str, tokenizer: PreTrainedTokenizerBase, n_rows: int) -> None:
    """Raise ConfigError if the tokenizer writes tokens that the embedding, of `n_rows`, has no row for.

    Special tokens that are in no prompt may lack a row: some models share the tokenizer of one that also reads images.
    """
    beyond = {number: text for text, number in tokenizer.get_vocab().items() if number >= n_rows}
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    written = {tokenizer.eos_token_id, *_of_a_prompt(tokenizer)} if beyond else set()
    harmful = [number for number in beyond if number not in special or number in written]
    if harmful:
        raise ConfigError(
            f"{folder}: the tokenizer has {max(beyond) + 1} tokens and the model's embedding {n_rows} rows, "
            f"none for {beyond[min(harmful)]!r}; call model.resize_token_embeddings(len(tokenizer)) and save the "
            "model, or use the tokenizer that it was trained with"
        )


def _of_a_prompt(tokenizer: PreTrainedTokenizerBase) -> Sequence[int]:
    """Return the ids of a short conversation; none if it cannot be rendered, which is reported when prompts are
    rendered.
    """
    try:
        ids: list[int] = tokenizer.apply_chat_template(
            [{"role": "user", "content": "1"}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
    except Exception as error:  # a template is a program and may raise any error
        log.debug("the chat template cannot be rendered: %s", error)
        return ()
    return ids


# --- errors of loaders ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _refusing(what: str, folder: str) -> Iterator[None]:
    """Raise ConfigError, with the name of the folder, instead of the errors that loaders raise about its content."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # transformers, tokenizers, safetensors and pickle have a dozen types for a damaged file
        raise ConfigError(
            f"cannot load {what} from {folder}: {_reason(error, folder)}{two_readings(folder)}"
        ) from error


def _reason(error: Exception, folder: str) -> str:
    """Say in one line what was wrong, without the advice of loaders to run code or to unpickle."""
    text = str(error)
    if "trust_remote_code" in text:
        return (
            f"it needs its own code{_own_code(folder)}, which kgym never runs; "
            "use a model whose architecture transformers contains, or a version of this one without code"
        )
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return (
            "its weights are a pickle with more than tensors in it, which could run code; convert them to safetensors"
        )
    return text.strip().split("\n")[0] or type(error).__name__


def _own_code(folder: str) -> str:
    """Return the code that the files of a folder name, ` (modeling_x.X)`; "" where they name none."""
    found = []
    for file in (CONFIG, TOKENIZER):
        with contextlib.suppress(OSError, ValueError):
            content = json.loads((Path(folder) / file).read_text(encoding="utf-8"))
            named = content.get("auto_map") if isinstance(content, dict) else None
            found += [str(value) for value in named.values()] if isinstance(named, dict) else []
    return f" ({', '.join(dict.fromkeys(found))})" if found else ""


# --- models on the hub ------------------------------------------------------------------------------------------------


def _where(folder: str) -> dict[str, bool]:
    """Return the arguments that tell loaders where to look. Raises ConfigError for a model that does not exist."""
    if Path(folder).is_dir():
        return {"local_files_only": True}
    if not HUB_ID.fullmatch(folder):
        raise ConfigError(f"the model folder {folder} does not exist")
    return {"local_files_only": not _can_be_downloaded(folder)}


@lru_cache(maxsize=32)
def _can_be_downloaded(name: str) -> bool:
    """Ask the hub for a model once, without the retries of its library, which take half a minute for each file.

    False if the hub cannot be reached and the model was downloaded before. Raises ConfigError if it cannot be
    downloaded.
    """
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache  # noqa: PLC0415

    try:
        get_hf_file_metadata(hf_hub_url(name, CONFIG))
    except errors.GatedRepoError as error:
        raise ConfigError(f"{name} is gated: accept its terms on the hub page, then run `hf auth login`") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ConfigError(
            f"neither a folder {name} nor a model of this name on the hub exists; check the spelling, "
            "or run `hf auth login` if it is private"
        ) from error
    except errors.EntryNotFoundError as error:
        raise ConfigError(
            f"{name} is on the hub and has no {CONFIG}, so it is not a complete model; download an adapter and name "
            "its "
            "folder"
        ) from error
    except Exception as error:  # anything that the network and its libraries raise
        if not isinstance(try_to_load_from_cache(name, CONFIG), str):
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise ConfigError(f"cannot download the model {name}: {reason}{two_readings(name)}") from error
        log.warning("the hub cannot be reached; using %s as it was downloaded before", name)
        return False
    return True
