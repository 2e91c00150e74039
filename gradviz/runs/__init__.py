"""Training runs: `watch` records steps of a loop, `load_run` reads them, and a `Run` tells how they went.

    watch.py      `watch`: the file of a loop, from its header to its end
      stepping.py when a step begins and ends
      step.py     one step while it is recorded
      forward.py  one forward pass: which nodes lie in which calls, dead units, NaN
      flow.py     the backward passes through it: what flows back through calls of modules
      listening.py, loss.py  what `backward()` is called on -> the functions between it and the model
      tally.py    backward passes whose gradients were cleared again
      weights.py, units.py   what updates do to parameters; units that are dead for several steps
      decay.py    gradients that are scaled down in place of being cleared
      plain.py    which tensors may be read
    notes.py      what is written down
    file.py       notes <-> lines of JSON in a file: the format
    run.py        `Run`, `load_run`, `merge`
      series.py   how numbers moved from step to step
      findings.py what went wrong, on which rank: absent.py, broken.py, clearing.py, progress.py,
                  updates.py, moves.py, outsiders.py, losses.py, layers.py
      text.py     the report for the terminal
      page.py     the report as a page, with plots: curves.py, heat.py, svg.py
"""

from gradviz.runs.run import Run, load_run, merge
from gradviz.runs.watch import Watcher, watch

__all__ = ["Run", "Watcher", "load_run", "merge", "watch"]
