"""The Streamlit app: widgets in, calls of the library, pictures and tables out. No mathematics in here.

run.py         what Streamlit runs
router.py      the page that is chosen
expression.py  the expression page
inputs.py      its text box and the fields of its variables; examples.py the gallery
tracing.py     text and values -> a graph with its check, within bounds, kept for a while
model.py       the model page: gallery, target of the command line, saved traces
work.py        tracing, checking and diagnosing them in the background
kept.py        what all visitors share, bounded by its size in memory
link.py        the state of a page <-> its address
shown.py       a graph and the choices of a visitor -> its picture
explorer.py    canvas, choices, and what is beside them; exploring.py what one visitor selected and opened
canvas/        a view and its SVG -> the canvas in the browser
glance/        what the canvas knows of what is selected, until the server has told all
inspector.py   what is selected on it -> all that is known of it; numbers.py tensors as HTML
events.py      what is told by the components above and below
lists.py       modules and findings; rows/ lists and trees in the browser
exports.py     what is on the canvas -> files
panels.py      what stands below: steps, derivation, check, differences, graphs of the function; one at a time
stepper/       the player of frames in the page
plots.py       curves and surfaces as charts, differences as a table
tables.py      a check report as HTML tables
sentences.py   what was refused, as a sentence
"""

from gradviz.app.router import main

__all__ = ["main"]
