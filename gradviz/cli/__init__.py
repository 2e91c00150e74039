"""The command line: `command.py` is `gradviz` itself, and every subcommand has a file of its own: `trace.py`, `check.py`,
`compare.py`, `explain.py`, `diagnose.py`, `slides.py`, `app.py`, `ops.py`; `merge` and `report` share `runs.py`.

What they share: `targets.py` (the argument TARGET and its options), `picture_options.py` (what is on a picture),
`listing.py` (a graph as tables for the terminal), `reports.py` (what is printed of a check, and the exit code).
"""
