"""A gradient in words: the chain rule written out, from the graph.

terms        mathematics and sentences as values
sentences    every English sentence
amounts      tensors and local partials -> terms
rounded      which numbers rounding alone may have made
ways         the paths, each by the names that tell it from the others
wanted       the value that is explained, with its paths
forward, chain, backward, elements, result, missing
             one section each: GradGraph -> lines
softmaxes    what is written of softmax and cross entropy in particular
vjp          one edge's vector-Jacobian product, written with names or with shapes
quiz         numbers -> blanks and their key
explanation  explain: puts the sections together
step         one step of gradient descent in the same words
text, latex, markdown, html
             Derivation -> str
"""

from gradviz.explain.explanation import Explanation, Format, Level, explain
from gradviz.explain.step import GradientStep, Moved, gradient_step

__all__ = ["Explanation", "Format", "GradientStep", "Level", "Moved", "explain", "gradient_step"]
