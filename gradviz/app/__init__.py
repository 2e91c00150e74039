"""The Streamlit app: widgets in, calls of the library, pictures and tables out. No mathematics in here.

router.py       page configuration and the list of pages
expression.py   the expression page: text and values -> picture, files, check, explanation of what went wrong
tables.py       a check report as HTML tables
"""

from gradviz.app.router import main

__all__ = ["main"]
