"""Help, manual pages and completions, all made from the commands' option declarations and the project's tables.

`python -m evotools.commands.docs` (or `make docs`) writes `man/` and `completions/`.
"""
