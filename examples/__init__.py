"""Worked examples: each file is a script of its own, as a user would write it, and writes its picture into `out/`.

What it explains it calls `graph`, so that `python -m examples` can write a deck and a derivation of each.
"""
