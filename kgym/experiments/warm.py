"""The modules that every run loads. They are loaded once: the processes of runs are forked from one that has imported
this file, which computes nothing.
"""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from kgym.rollout import engine
from kgym.score import harness
from kgym.train import start

LOADED = (torch, AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, engine, harness, start)
"""Named here so that they are loaded now: transformers imports a class only when it is used."""
