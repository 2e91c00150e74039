"""Recurrent layers that torch runs as one opaque call, stated step by step in ops that have rules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradviz.opcall import OpCall
from gradviz.symbolic.registry import NoRule

LSTM = torch.ops.aten.mkldnn_rnn_layer.default
_LSTM_MODE = 2
_MAX_PRODUCTS = 100_000
"""Of one element of the last output; each costs some 10 µs at 50 digits."""
_MAX_AT_ONCE = 4_000_000
"""Of all elements of all outputs; each takes some 120 bytes while they are looked at."""


def lstm_layer(
    input: Tensor,
    weight0: Tensor,
    weight1: Tensor,
    weight2: Tensor,
    weight3: Tensor,
    hx_: Tensor,
    cx_: Tensor,
    reverse: bool,
    batch_sizes: Sequence[int],
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    bidirectional: bool,
    batch_first: bool,
    train: bool,
) -> tuple[Tensor, Tensor, Tensor, None]:
    """One direction of one layer of `nn.LSTM` in float32 on a CPU, by the equations in its documentation.

    Shapes: `input` (steps, batch, features), states (batch, hidden), weights (4 hidden, features or hidden); the layer
    above has put `batch_first` in this order already. The last output is a workspace of torch's own.
    """
    if mode != _LSTM_MODE or batch_sizes:
        raise NoRule(f"{LSTM} of packed sequences or of another cell than that of an LSTM")
    hidden, cell = hx_.reshape(-1, hidden_size), cx_.reshape(-1, hidden_size)
    outputs = []
    steps = input.unbind(0)
    for step in reversed(steps) if reverse else steps:
        gates = step @ weight0.t() + hidden @ weight1.t()
        if has_biases:
            gates = gates + weight2 + weight3
        enter, forget, candidate, leave = gates.chunk(4, 1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        hidden = torch.sigmoid(leave) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.stack(outputs[::-1] if reverse else outputs), hidden.view(hx_.shape), cell.view(cx_.shape), None


def is_recurrence(call: OpCall) -> bool:
    """Whether the call is stated step by step, and short enough for all steps to be held as arrays."""
    if call.overload is not LSTM:
        return False
    steps, batch = call.args[0].shape[:2]
    return bool(steps * batch * sum(weight.numel() for weight in call.args[1:3]) <= _MAX_AT_ONCE)


def refuse_long(call: OpCall) -> None:
    """Raises `NoRule` for a recurrence of more products than are followed element by element."""
    if call.overload is LSTM:
        steps, weights = call.args[0].shape[0], call.args[1:3]
        products = steps * sum(weight.numel() for weight in weights)
        if products > _MAX_PRODUCTS:
            raise NoRule(f"a recurrence of {products} products, more than the {_MAX_PRODUCTS} that are followed one by one")
