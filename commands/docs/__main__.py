"""`python -m evotools.commands.docs [ROOT]`: write `man/` and `completions/` below ROOT (here)."""

import sys
from pathlib import Path


def main() -> None:
    """Write the files and name those that changed."""
    from evotools.commands.docs.generate import write

    for changed in write(Path(sys.argv[1] if len(sys.argv) > 1 else ".")):
        print(changed)  # noqa: T201


if __name__ == "__main__":
    main()
