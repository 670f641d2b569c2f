"""python -m rlx: the command line."""

from rlx.cli import main

main()
