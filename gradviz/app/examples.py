"""The gallery of the expression page: title -> text and the values of its variables, as a visitor would type them."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "x·y + sin(πx)": ("x*y + sin(pi*x)", {"x": "2", "y": "3"}),
    "tanh(ln(1 + z·2x / sin y))": ("tanh(ln(1 + z*2x/sin y))", {"x": "1", "y": "2", "z": "3"}),
    "(y − tanh(wx + b))²": ("(y - tanh(wx+b))^2", {"w": "0.5", "x": "2", "b": "-0.25", "y": "1"}),
    "log(z) + exp(z), z = xy": ("z = x*y; log(z) + exp(z)", {"x": "5", "y": "3"}),
    "‖σ(Ax + b)‖": ("norm(sigmoid(A @ x + b))", {"A": "[[1, -2], [0.5, 0.25]]", "x": "[0.5, -1]", "b": "[0.1, 0.2]"}),
    "two-layer ReLU net": (
        "sigmoid(w2 @ relu(W1 @ x + b1) + b2)",
        {
            "W1": "[[1, -1], [0.5, 2], [-1, 0.25]]",
            "x": "[0.6, -0.4]",
            "b1": "[0.1, 0.2, 0.3]",
            "w2": "[1, -0.5, 0.75]",
            "b2": "-0.2",
        },
    ),
}
