"""Math text, or a sympy expression -> a checked syntax tree -> a torch program. Nothing of the text is ever run as
Python.

    text -> tokens -> names -> parser -> folding ──> Expression ──> evaluation -> tensor
    sympy expression -> sympy_reading ─────────────>            └─> printing  -> text

- `limits`      how long, deep and large a text may be
- `nodes`       the tree: frozen values with their columns
- `functions`   the table of functions: names, arguments, torch call
- `tokens`      text -> tokens; Unicode spellings of operators made plain
- `foreign`     what people write that math text does not have, and what to write instead
- `names`       what `wx`, `πx`, `alpha` and `foo(` mean
- `cursor`      where the parser stands, with its errors and limits
- `parser`      tokens -> tree, by precedence
- `folding`     constant parts -> Python numbers, checked when the text is read
- `evaluation`  tree and tensors -> tensor, one natural torch call per node
- `printing`    tree -> canonical text, which reads back the same, or pretty text for labels
- `sympy_reading`  sympy expression -> tree; imports sympy when called
- `typed_values`  what a person types as a variable's value -> number or nested lists
- `values`      what a user gives as a variable's value -> tensor

>>> import torch
>>> expression = parse("(y - tanh(wx+b))^2", variables=["w", "x", "b", "y"])
>>> str(expression), expression.pretty, expression.variables
('(y - tanh(w*x + b))^2', '(y - tanh(w·x + b))²', ('y', 'w', 'x', 'b'))
>>> values = {"w": 0.5, "x": 2.0, "b": -1.0, "y": 3.0}
>>> evaluate(expression, {name: to_tensor(value, name) for name, value in values.items()})
tensor(9., dtype=torch.float64)
"""

from gradviz.errors import ExpressionError
from gradviz.expression.evaluation import evaluate
from gradviz.expression.nodes import (
    BinaryOp,
    Call,
    Comparison,
    Constant,
    Definition,
    Expression,
    Node,
    Number,
    UnaryOp,
    Variable,
    postorder,
)
from gradviz.expression.parser import parse
from gradviz.expression.printing import canonical, pretty
from gradviz.expression.sympy_reading import from_sympy
from gradviz.expression.typed_values import typed_value
from gradviz.expression.values import to_tensor

__all__ = [
    "BinaryOp",
    "Call",
    "Comparison",
    "Constant",
    "Definition",
    "Expression",
    "ExpressionError",
    "Node",
    "Number",
    "UnaryOp",
    "Variable",
    "canonical",
    "evaluate",
    "from_sympy",
    "parse",
    "postorder",
    "pretty",
    "to_tensor",
    "typed_value",
]
