"""x·y + sin(πx) at (2, 3): the gradient is (3 + π, 2)."""

import os
from pathlib import Path

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)

graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0)
for name, gradient in graph.gradients().items():
    print(f"gradient of {name}: {float(gradient):.6f}")
report = graph.check()
print(report)
assert report.verified
graph.render(out / "product_plus_sine.svg", report=report)
