"""``python -m pipeline``: the command line, without its being installed on the PATH."""

from pipeline.cli import main

main()
