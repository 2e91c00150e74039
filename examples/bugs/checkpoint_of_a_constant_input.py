"""A hand-written checkpoint that gets the layer by a closure: its backward knows the input alone."""

import torch
from torch import nn

FINDING = "not-an-argument"


class Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, run, count, *tensors):
        ctx.run, ctx.count = run, count
        ctx.save_for_backward(*tensors)
        with torch.no_grad():
            return run(*tensors[:count])

    @staticmethod
    def backward(ctx, cotangent):
        inputs = [one.detach().requires_grad_(one.requires_grad) for one in ctx.saved_tensors[: ctx.count]]
        wanted = [one for one in (*inputs, *ctx.saved_tensors[ctx.count :]) if one.requires_grad]
        with torch.enable_grad():
            result = ctx.run(*inputs)
        found = iter(torch.autograd.grad(result, wanted, cotangent))
        needed = ctx.needs_input_grad[2:]
        return None, None, *(next(found) if needs else None for needs in needed)


def step(*, with_parameters):
    torch.manual_seed(0)
    layer, head = nn.Linear(3, 4), nn.Linear(4, 1)
    x, target = torch.randn(8, 3), torch.randn(8, 1)
    parameters = layer.parameters() if with_parameters else ()
    hidden = Checkpoint.apply(lambda rows: torch.tanh(layer(rows)), 1, x, *parameters)
    return nn.functional.mse_loss(head(hidden), target)


def broken():
    return step(with_parameters=False)


def healthy():
    return step(with_parameters=True)
