"""Runs in the sandbox: runs generator.py, which prints an input, with seeded random numbers.

python3 generate.py NUMBER SEED        NUMBER is also its first argument
"""

import random
import runpy
import sys

if __name__ == "__main__":
    number, seed = sys.argv[1:]
    sys.argv = ["generator.py", number]
    random.seed(int(seed))
    runpy.run_path("generator.py", run_name="__main__")
