"""The file that Streamlit runs; its arguments are what to open with: `x*y x=2 y=3`, or `train.py:step`."""

from __future__ import annotations

import sys

from gradviz.app.router import main

if __name__ == "__main__":
    main(sys.argv[1:])
