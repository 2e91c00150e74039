"""Programs on another device. The meta device stands in for a GPU: like one, it refuses tensors of two devices together."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from gradviz import InputError, trace

META = torch.device("meta")
scale = torch.tensor(2.0)


def devices(graph) -> set[torch.device]:
    return {attributes["device"] for _, attributes in graph.nodes(data=True)}


def test_module_is_traced_on_a_copy_with_its_loss_bound_to_moved_tensors() -> None:
    model, inputs, targets = nn.Linear(2, 1), torch.randn(4, 2), torch.ones(4, 1)
    graph = trace(model, inputs, loss=lambda out: ((out - targets) * scale).square().sum(), device="meta")
    assert devices(graph) == {META}
    assert set(graph.leaves) == {"weight", "bias"} and {"targets", "scale"} <= set(graph.graph["names"])
    assert model.weight.device.type == "cpu" and targets.device.type == "cpu" and scale.device.type == "cpu"


def test_partial_as_loss_is_moved_too() -> None:
    loss = functools.partial(nn.functional.mse_loss, target=torch.ones(4, 1))
    assert devices(trace(nn.Linear(2, 1), torch.randn(4, 2), loss=loss, device="meta")) == {META}


def test_loss_with_a_tensor_out_of_sight_gets_a_clear_error() -> None:
    hidden = {"targets": torch.ones(4, 1)}

    def loss(out: Tensor) -> Tensor:
        return (out - hidden["targets"]).square().sum()

    with pytest.raises(InputError, match=r"uses a tensor elsewhere that gradviz cannot see; pass device='cpu'"):
        trace(nn.Linear(2, 1), torch.randn(4, 2), loss=lambda out: loss(out), device="meta")


def test_function_inputs_are_moved_as_leaves() -> None:
    graph = trace(lambda a, b: (a * b).sum(), torch.ones(2, requires_grad=True), torch.ones(2), device="meta")
    assert devices(graph) == {META} and set(graph.leaves) == {"a"}


def test_text_runs_on_the_device_asked_for() -> None:
    assert devices(trace("x*y", x=1.0, y=2.0, device="meta")) == {META}


def test_equal_numbers_are_two_leaves() -> None:
    value = 2.0
    graph = trace(lambda x, y: x * y, value, value)
    assert {name: float(gradient) for name, gradient in graph.gradients().items()} == {"x": 2.0, "y": 2.0}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_is_used_where_it_is_and_buffers_come_back() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    graph = trace(model, torch.randn(6, 2), loss=lambda out: out.square().sum())
    assert {device.type for device in devices(graph)} == {"cuda"}
    assert model[0].weight.device.type == "cpu" and int(model[1].num_batches_tracked) == 1
    assert graph.check().ok


def a_loss(out: Tensor) -> Tensor:
    return out.square().mean()


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_input_of_another_dtype_than_the_parameters_is_named(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match=rf"input is {dtype}, and the parameters .* torch\.float32: hand in") as told:
        trace(nn.Linear(2, 1), torch.ones(3, 2, dtype=dtype), loss=a_loss)
    assert isinstance(told.value.__cause__, RuntimeError) and str(told.value.__cause__) in str(told.value)


@pytest.mark.parametrize("values", [[[1.0, 2.0]], torch.ones(1, 2).numpy()], ids=["list", "numpy"])
def test_input_that_is_no_tensor_is_named(values: object) -> None:
    layer = nn.Linear(2, 1)
    with pytest.raises(InputError, match=r"input is a (list|numpy\.ndarray), where torch takes a tensor"):
        trace(layer, values, loss=a_loss)
    with pytest.raises(InputError, match=r"x is a (list|numpy\.ndarray), where torch takes a tensor"):
        trace(lambda x, y: a_loss(layer(x)) + y, values, torch.ones(()))


def test_errors_of_the_users_own_code_pass_as_they_are() -> None:
    class Model(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            raise failure

    for failure in (TypeError("mine"), RuntimeError("mine, of another dtype"), KeyError("mine")):
        with pytest.raises(type(failure), match="mine") as told:
            trace(Model(2, 1), torch.ones(3, 2), loss=a_loss)
        assert told.value is failure
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        trace(nn.Linear(2, 1), torch.ones(3, 3), loss=a_loss)


def test_loss_that_cannot_be_called_is_refused() -> None:
    for target in (nn.Linear(2, 1), lambda x: x):
        with pytest.raises(InputError, match="loss is a Tensor; accepted: a function"):
            trace(target, torch.ones(3, 2), loss=torch.ones(()))  # type: ignore[arg-type]
