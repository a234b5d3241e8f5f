"""`python -m hanok`."""

from hanok.cli import main

main()
