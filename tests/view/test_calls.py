"""Calls as text: what a function does, in the names of its inputs."""

from __future__ import annotations

import math

import pytest
import torch

from gradviz.opcall import OpCall
from gradviz.view.calls import CALL_LENGTH, call_text, op_symbol

aten = torch.ops.aten


def call(overload: torch._ops.OpOverload, *args: object, **kwargs: object) -> OpCall:
    return OpCall(overload=overload, args=args, kwargs=kwargs)


A, B = torch.tensor(1.0), torch.tensor(2.0)
MATRIX, BATCH = torch.zeros(4, 3), torch.zeros(2, 4, 3)
OPEN = 2**63 - 1


@pytest.mark.parametrize(
    ("op", "recorded", "text"),
    [
        ("mul", call(aten.mul.Tensor, A, B), "a·b"),
        ("mul", call(aten.mul.Tensor, A, math.pi), "π·a"),
        ("mul", call(aten.mul.Tensor, A, 1j), "1j·a"),
        ("mul", call(aten.mul.Tensor, A, 1 + 2j), "(1 + 2j)·a"),
        ("leaky_relu", call(aten.leaky_relu.default, A, 0.01), "leaky_relu(a)"),
        ("leaky_relu", call(aten.leaky_relu.default, A, 0.2), "leaky_relu(a, 0.2)"),
        ("nll_loss_forward", call(aten.nll_loss_forward.default, MATRIX, A, None, 1, -100), "nll_loss(a, b)"),
        ("mul", call(aten.mul.Tensor, A, -2), "−2·a"),
        ("pow", call(aten.pow.Tensor_Scalar, A, 2), "a²"),
        ("pow", call(aten.pow.Tensor_Scalar, A, -3), "a⁻³"),
        ("pow", call(aten.pow.Tensor_Scalar, A, 0.5), "a^0.5"),
        ("sub", call(aten.sub.Tensor, A, B), "a − b"),
        ("sub", call(aten.sub.Tensor, A, B, alpha=2), "sub(a, b)"),
        ("rsub", call(aten.rsub.Scalar, A, 1), "1 − a"),
        ("rsub", call(aten.rsub.Tensor, A, B), "b − a"),
        ("neg", call(aten.neg.default, A), "−a"),
        ("abs", call(aten.abs.default, A), "|a|"),
        ("expand", call(aten.expand.default, MATRIX, [2, -1, -1]), "expand(a, [2, −1, −1])"),
        ("_fft_c2c", call(aten._fft_c2c.default, MATRIX, [1], 0, True), "fft(a)"),
        ("_fft_c2c", call(aten._fft_c2c.default, MATRIX, [1], 2, False), "ifft(a)"),
        ("_fft_c2c", call(aten._fft_c2c.default, MATRIX, [0], 0, True), "fft(a, [0])"),
        ("_fft_r2c", call(aten._fft_r2c.default, MATRIX, [0, 1], 0, True), "rfftn(a, [0, 1])"),
        ("_fft_r2c", call(aten._fft_r2c.default, MATRIX, [1], 0, False), "fft(a)"),
        ("_fft_c2r", call(aten._fft_c2r.default, MATRIX, [1], 2, 4), "irfft(a)"),
        ("index", call(aten.index.Tensor, BATCH, [None, B]), "a[:, b]"),
        ("sqrt", call(aten.sqrt.default, A), "√a"),
        ("reciprocal", call(aten.reciprocal.default, A), "1 / a"),
        ("sum", call(aten.sum.dim_IntList, A, [0, 1], True), "Σ(a, [0, 1])"),
        ("cat", call(aten.cat.default, [A, B], 1), "cat(a, b, 1)"),
        ("_softmax", call(aten._softmax.default, A, 1, False), "softmax(a, 1)"),
        ("t", call(aten.t.default, MATRIX), "aᵀ"),
        ("t", call(aten.t.default, MATRIX[0]), "t(a)"),
        ("transpose", call(aten.transpose.int, BATCH, -2, 2), "aᵀ"),
        ("transpose", call(aten.transpose.int, BATCH, 0, 1), "transpose(a, 0, 1)"),
        ("permute", call(aten.permute.default, MATRIX, [1, 0]), "aᵀ"),
        ("permute", call(aten.permute.default, BATCH, [1, 0, 2]), "permute(a, [1, 0, 2])"),
        ("select", call(aten.select.int, MATRIX, 0, 2), "a[2]"),
        ("select", call(aten.select.int, BATCH, 2, -1), "a[:, :, −1]"),
        ("select", call(aten.select.int, MATRIX, -1, 1), "a[..., 1]"),
        ("slice", call(aten.slice.Tensor, MATRIX, 1, 1, OPEN), "a[:, 1:]"),
        ("slice", call(aten.slice.Tensor, MATRIX, 0, 0, 3, 2), "a[:3:2]"),
        ("slice", call(aten.slice.Tensor, MATRIX, 0, 1, 4), "a[1:]"),
        ("_to_copy", call(aten._to_copy.default, A, dtype=torch.float64), "float64(a)"),
        ("_to_copy", call(aten._to_copy.default, A, device=torch.device("cuda:0")), "a on cuda:0"),
    ],
)
def test_a_call_is_written_with_the_names_of_its_inputs(op: str, recorded: OpCall, text: str) -> None:
    tensors = sum(1 for _ in recorded.tensor_arguments())
    assert call_text(op, dict(zip(range(tensors), "ab", strict=False)), recorded) == text


def test_index_tensors_stand_between_brackets() -> None:
    names = {0: "a", 1: "b", 2: "c", 3: "d"}
    assert call_text("index", names, call(aten.index.Tensor, BATCH, [A, None, B])) == "a[b, :, c]"
    assert call_text("index_put", names, call(aten.index_put.default, BATCH, [A, B], A)) == "a[b, c] ← d"
    assert call_text("index_put", names, call(aten.index_put.default, BATCH, [None, A], B, True)) == "a[:, b] += c"


def test_a_write_into_a_part_says_into_what_and_which_value() -> None:
    assert call_text("copy_slices", {0: "buf", 1: "b"}, None) == "buf[…] ← b"
    assert call_text("copy_slices", {1: "b"}, None) == "[…] ← b"


def test_a_long_call_loses_its_options_before_its_inputs_and_inputs_before_the_function() -> None:
    recorded = call(aten.slice.Tensor, torch.zeros(9_000_000), 0, 1_000_000, 2_000_000, 3_000_000)
    assert call_text("slice", {0: "hidden_states"}, recorded) == "slice(hidden_states)"
    assert call_text("mul", {0: "transformer.h.0.weight", 1: "another_long_name"}, None) == "…h.0.weight·anothe…g_name"
    assert call_text("native_layer_norm", {0: "d1", 1: "transformer.norm1.weight", 2: "norm1.bias"}, None) == (
        "layer_norm(d1, …)"
    )
    assert call_text("t", {0: "transformer.h.11.attn.c_attn.weight"}, None) == "…11…weightᵀ"


@pytest.mark.parametrize(
    "op", ["mul", "addmm", "sum", "where", "copy_slices", "t", "_scaled_dot_product_efficient_attention"]
)
def test_a_call_is_never_longer_than_there_is_room_for(op: str) -> None:
    for count in range(1, 6):
        names = {place: "transformer.h.11.attn.c_attn.weight"[place:] for place in range(count)}
        assert len(call_text(op, names, None)) <= CALL_LENGTH


def test_a_name_that_is_an_expression_is_put_in_parentheses() -> None:
    assert call_text("mul", {0: "x + y", 1: "z"}, None) == "(x + y)·z"
    assert call_text("t", {0: "x + y"}, None) == "(x + y)ᵀ"


@pytest.mark.parametrize(
    ("op", "symbol"),
    [
        ("_unsafe_view", "view"),
        ("unsafe_split", "split"),
        ("max_pool2d_with_indices", "max_pool2d"),
        ("nll_loss_forward", "nll_loss"),
        ("linalg_inv_ex", "inv_ex"),
        ("_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("__and__", "and__"),
    ],
)
def test_what_is_only_for_torch_is_left_out_of_a_functions_name(op: str, symbol: str) -> None:
    assert op_symbol(op) == symbol


def test_a_call_whose_first_argument_is_not_in_this_part_of_the_graph_is_written_without_it() -> None:
    assert call_text("t", {}, None) == "t()"
    assert call_text("rsub", {1: "b"}, None) == "rsub(b)"
