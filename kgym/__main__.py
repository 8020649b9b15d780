"""`python -m kgym` is `kgym`."""

from kgym.cli.main import main
from kgym.world import end

if __name__ == "__main__":
    end(main())
