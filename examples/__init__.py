"""Worked examples: each file is a script of its own, as a user would write it, and writes its picture into `out/`."""
