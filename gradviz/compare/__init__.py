"""Two graphs of the same code -> where their numbers part: the first value, and going back the first cotangent.

    comparison   what was found: `Comparison`, of `Difference`s
    distance     how far two tensors are apart, and how far rounding may bring them
    leaves       which leaf of the one is which of the other
    sequences    what turns one sequence into another, as of lines of two texts
    alignment    which nodes both have, where one has calls more, or others in their place
    structure    calls and leaves that one graph alone has, or that read other values
    run          compare
"""

from gradviz.compare.comparison import Comparison, Difference
from gradviz.compare.run import compare

__all__ = ["Comparison", "Difference", "compare"]
