"""`python -m evotools`."""

from evotools.cli import main

if __name__ == "__main__":
    main()
