"""log(z) + exp(z) with z = x·y at (5, 3): z is used twice, so its cotangent is a sum over two edges."""

import os
from pathlib import Path

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)

graph = gradviz.trace("z = x*y; log(z) + exp(z)", x=5.0, y=3.0)
z = graph.node("z")
parts = [float(use.contribution) for use in graph.uses_of(z)]
print(f"cotangent of z: {' + '.join(f'{part:.6g}' for part in parts)} = {float(graph.cotangent(z)):.6g}")
report = graph.check()
print(report)
assert report.verified
graph.render(out / "shared_intermediate.svg", report=report)
