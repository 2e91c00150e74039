"""tanh(ln(1 + z·2x / sin y)): one output, a chain of functions, and a division that sends its gradient two ways."""

import os
from pathlib import Path

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)

graph = gradviz.trace("tanh(ln(1 + z*2x/sin y))", x=1.0, y=2.0, z=3.0)
report = graph.check()
print(report)
assert report.verified
graph.render(out / "chain_of_functions.svg", report=report)
