"""Broken training steps as people write them, each with a healthy twin: `gradviz diagnose examples/bugs/NAME.py:broken`.

A file has `FINDING`, the kind that `broken()` must produce, and `healthy()`, which must produce none.
"""
