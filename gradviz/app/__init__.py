"""The Streamlit app: widgets in, calls of the library, pictures and tables out. No mathematics in here.

run.py         what Streamlit runs
router.py       page configuration and the list of pages
expression.py   the expression page
inputs.py       its text box and the fields of its variables; examples.py the gallery
link.py         its state <-> the address of the page
tracing.py      text and values -> graph, check and pictures, within bounds, kept for a while
canvas/         a view and its SVG -> the canvas in the browser
inspector.py    what is selected on it -> all that is known of it; numbers.py tensors as HTML
panels.py       what stands below: steps, derivation, check, differences, graphs of the function; one at a time
stepper/        the player of frames in the page
plots.py        curves and surfaces as charts, differences as a table
tables.py       a check report as HTML tables
sentences.py    what was refused, as a sentence
"""

from gradviz.app.router import main

__all__ = ["main"]
