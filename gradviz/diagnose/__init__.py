"""What is wrong with a traced step, and on which line: `graph.diagnose()` -> `Diagnosis`, a list of `Finding`.

One analysis per file, each a function from `Readings` to findings, in the list `run.FINDERS`:

    values        not_finite (not_finite_causes: why), cancellation, broadcasting
    losses        logits, likelihood, reshaped_classes, missing_minus, negated_divergence, negated_loss, self_similarity,
                  sure_and_wrong, log_of_softmax, reduction, unshifted_labels
    gradients     codes, no_gradient, new_leaf, data_term, constant_term, detached_term, sampling, leaf_replaced,
                  unseen_write, number_read, unregistered, zero_gradient (nothing_learned: where no leaf gets any; too_small:
                  where numbers shrink until they are zero), not_finite_gradient, depth (recurrence: where one weight is used
                  again and again), underflow, sharing, earlier_gradient, kept_graph, optimizers (that hold not all, and
                  their rates)
    layers        dead_units, symmetry, saturation, frozen, rows, modes, batch_as_sequence, attention_dim, pooling_dim,
                  reshaped_heads, inverted_mask, rank_collapse
    the rest      wrong_backward, hooked_gradient, packed_values, determinism; not_checked tells what a loaded graph cannot

The kinds, by severity:

    error         wrong-backward, not-finite-value, not-finite-gradient, overflow, integer-cast, step-function, left-torch,
                  leaf-replaced, not-an-argument, cut-from-loss, broadcast-pairs, double-softmax, sigmoid-before-logits,
                  not-log-probabilities, softmax-over-batch, reshaped-classes,
                  reshaped-heads
    warning       detached, no-grad, unused-parameter, unregistered-parameter, zero-gradient, clamped, vanishing-gradient,
                  exploding-gradient, dead-relu, dead-units, symmetric-weights, saturated, underflow, cancellation,
                  squashed-logits, missing-minus, dropout-in-eval, batch-norm-in-eval, earlier-gradient, earlier-graph,
                  unseen-write, not-in-optimizer, learning-rate, self-similarity, lossy-saved-tensors,
                  attention-dim, inverted-mask, unshifted-labels, rank-collapse
    hint          masked-nan, opposing-uses, sum-reduction, log-of-softmax, frozen-layer, number-read, few-rows,
                  batch-as-sequence, not-deterministic, hooked-gradient, negated-loss, not-checked

The other files:

    finding.py    what is handed back, and how it reads
    readings.py   sizes of tensors, each measured once; what stands behind views
    attentions.py  the attentions of a graph; what was moved, and from where
    attention_scale.py  scores that nothing divides by √d
    fused_attention.py  the scores inside of a fused attention
    units.py      the units of a layer
    log_constants.py  the constant in a logarithm, by which hand-written densities are known
    straight_through.py  backwards that are meant to be no derivative: of quantizers and prunings
    ways.py       edges at which a gradient stops, turns zero or stops being finite (`explain` reads it too)

>>> import gradviz
>>> gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").diagnose()
[]
"""

from gradviz.diagnose.finding import Diagnosis, Finding, Severity
from gradviz.diagnose.run import diagnose

__all__ = ["Diagnosis", "Finding", "Severity", "diagnose"]
