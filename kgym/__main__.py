"""`python -m kgym` is `kgym`."""

import sys

from kgym.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
