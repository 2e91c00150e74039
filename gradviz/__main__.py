"""`python -m gradviz` is the command `gradviz`."""

from gradviz.cli.command import main

main(prog_name="gradviz")
