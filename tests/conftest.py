"""Settings of all tests: hypothesis without a deadline, since the machines that run them are shared and small."""

import os

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing in the tests comes from a hub
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # as the command line has it; read when the library is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

settings.register_profile("kgym", deadline=None)
settings.load_profile("kgym")
