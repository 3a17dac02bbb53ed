"""`python -m bmk`: the command, where its script is not on the path."""

from bmk.cli import main

main()
