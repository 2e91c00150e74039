"""The rules, one file a family, in symbolic tensors or sympy symbols, as `gradviz.symbolic.registry` takes them.

    elementwise   pointwise, activation, special, binary, complex_rules (what is stated in real and imaginary parts)
    reductions    reduction, softmax, loss, normalization and normalization_backward
    windows       convolution, pooling, interpolation, resampling
    matrices      linear, solving, factors, matrix_functions, sparse
    elements      movement (moved only, or without gradient), selection (picked by value), scatter (joined at places)
    random        drawn

Importing this registers all that lie here.
"""

import importlib
import pkgutil

for _family in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_family.name}")
