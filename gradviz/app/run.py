"""The file that Streamlit runs; its arguments are math text and values, as in `x*y x=2 y=3`, to open with."""

from __future__ import annotations

import sys

from gradviz.app.router import main

if __name__ == "__main__":
    main(sys.argv[1:])
