"""Values carry the names that the user's code gives them."""

from __future__ import annotations

import dis
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradviz import InputError, record, trace
from gradviz.recording.bytecode import assigned_names, result_names, source_line
from gradviz.recording.instructions import parts_of
from gradviz.recording.modules import buffers_within, modules_within, parameters_within
from gradviz.recording.names import MAX_ITEMS, letters
from gradviz.recording.optimizers import optimizers_in


def op_names(graph) -> list[str]:
    return [attributes["name"] for _, attributes in graph.nodes(data=True) if attributes["kind"] == "op"]


def test_local_variables_name_what_is_assigned_to_them_and_letters_the_rest() -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        product = x * y
        return torch.sin(product) + product**2

    assert op_names(trace(function, 1.0, 2.0)) == ["product", "a", "b", "c"]


def test_variable_bound_again_in_a_loop_is_numbered() -> None:
    def function(h: Tensor) -> Tensor:
        for _ in range(3):
            h = torch.tanh(h)
        return h

    assert op_names(trace(function, 1.0)) == ["h_2", "h_3", "h_4"]


def test_variable_of_a_function_that_a_loop_calls_is_numbered_too() -> None:
    def cell(h: Tensor) -> Tensor:
        gate = torch.sigmoid(h)
        return gate

    def function(h: Tensor) -> Tensor:
        for _ in range(3):
            h = cell(h)
        return h

    assert op_names(trace(function, 1.0)) == ["gate", "gate_2", "gate_3"]


def test_results_of_a_generator_that_is_no_users_are_named_by_the_lines_that_ask_for_them() -> None:
    made: dict[str, Any] = {}
    text = "def doubled(x):\n    while True:\n        x = x * 2\n        yield x\n"
    exec(compile(text, str(Path(torch.__file__).parent / "made.py"), "exec"), made)

    def function(x: Tensor) -> Tensor:
        generator = made["doubled"](x)
        first = next(generator)
        second = next(generator)
        return first + second

    assert op_names(trace(function, 1.0)) == ["first", "second", "a"]


def test_variables_of_a_function_that_returned_are_let_go_before_a_trace() -> None:
    class Thing:
        pass

    held: list[weakref.ref[Thing]] = []

    def double(x: Tensor) -> Tensor:
        thing = Thing()
        held.append(weakref.ref(thing))
        return x * 2

    x = torch.tensor(1.0, requires_grad=True)
    with record() as tape:
        y = double(x)
        tape.trace(y)
        assert held[0]() is None


def test_augmented_assignment_and_attribute_name_their_value() -> None:
    class Holder:
        def run(self, x: Tensor) -> Tensor:
            self.state = x * 2
            total = self.state + 1
            total += x
            return total

    assert op_names(trace(Holder().run, 1.0)) == ["state", "total", "total_2"]


class Holder:
    """An object with attributes."""

    h: object


def into_a_dictionary(w: torch.Tensor) -> torch.Tensor:
    losses = {}
    losses["recon"] = (w * w).sum()
    for name in ("kl", "l1"):
        losses[name] = w.abs().mean()
    losses["recon"] += w.exp().sum()
    return losses["recon"] + losses["kl"] + losses["l1"]


def into_attributes(w: torch.Tensor) -> torch.Tensor:
    held, held.losses, held.terms = Holder(), {}, [0, 0]  # type: ignore[attr-defined]
    held.losses["kl"] = w.sin().sum()  # type: ignore[attr-defined]
    held.terms[1] = w.cos().sum()  # type: ignore[attr-defined]
    held.h = w.tan().sum()
    held.h += w.exp().sum()
    return held.losses["kl"] + held.terms[1] + held.h  # type: ignore[attr-defined]


def into_a_list(w: torch.Tensor) -> torch.Tensor:
    outs = []
    for _ in range(2):
        outs.append(torch.relu(w * 2))
    outs = torch.stack(outs)
    return outs.sum()


def built(w: torch.Tensor) -> torch.Tensor:
    losses = {"recon": w.sin().sum(), "kl": w.cos().sum()}
    terms = [w.tan().sum(), w.exp().sum(dim=0)]
    return losses["recon"] + losses["kl"] + sum(terms)


def unpacked(w: torch.Tensor) -> torch.Tensor:
    p, q, r = w.sin(), -w, w.cos()
    s, (t, u) = w.tan(), (w.exp(), w.abs())
    if (v := torch.sigmoid(w)) is not None:
        return (p * q * r * s * t * u * v).sum()
    return w


def written_into_a_tensor(w: torch.Tensor) -> torch.Tensor:
    out = w * 1
    out[0] = w.sum()
    return out.mean()


def taken_by_others(w: torch.Tensor) -> torch.Tensor:
    sums = {}
    sums["s"] = 1 + w.sin().sum()
    sums["s"] = sums["s"] * w.cos().prod()
    return torch.stack([sums["s"], w.exp().sum()]).norm()


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (into_a_dictionary, {'losses["recon"]', "losses[name]", "losses[name]_2", 'losses["recon"]_2'}),
        (into_attributes, {'losses["kl"]', "terms[1]", "h", "h_2"}),
        (into_a_list, {"outs_1", "outs_2", "outs"}),
        (built, {'losses["recon"]', 'losses["kl"]', "terms[0]", "terms[1]"}),
        (unpacked, {"p", "q", "r", "s", "t", "u", "v"}),
        (written_into_a_tensor, {"out", "out_2"}),
        (taken_by_others, {'sums["s"]', 'sums["s"]_2'}),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_result_has_the_name_of_the_place_into_which_the_code_puts_it(function: object, names: set[str]) -> None:
    graph = trace(function, torch.tensor([0.1, 0.2, 0.3], requires_grad=True))
    given = {graph.nodes[node]["name"]: graph.nodes[node]["op"] for node in graph if graph.nodes[node]["kind"] == "op"}
    assert {name for name in given if len(name) > 1 or name in names} == names
    ops = {"p": "sin", "q": "neg", "r": "cos", "s": "tan", "t": "exp", "u": "abs", "v": "sigmoid"}
    if function is unpacked:
        assert {name: given[name] for name in names} == ops


def test_a_value_is_not_called_by_the_attribute_of_a_tensor_that_gets_it() -> None:
    kept = torch.zeros(2)

    def function(x: Tensor) -> Tensor:
        kept.grad = x.sin() if x.requires_grad else x
        kept.grad, total = x.cos(), kept.grad.sum()
        return total + kept.grad.sum()

    x = torch.tensor([0.1, 0.2], requires_grad=True)
    with record() as tape:
        result = function(x)
    assert not {"grad", "grad_2"} & set(op_names(tape.trace(result)))


@pytest.mark.parametrize("opname", ["LOAD_FAST_LOAD_FAST", "STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST"])
def test_an_instruction_for_two_variables_is_read_as_one_for_each(opname: str) -> None:
    """Those of Python 3.13, also where the tests run on an earlier one."""
    step = next(dis.get_instructions(into_a_list))
    first, second = [(one.opname, one.argval) for one in parts_of(step._replace(opname=opname, argval=("outs", "w")))]
    assert (f"{first[0]}_{second[0]}", first[1], second[1]) == (opname, "outs", "w")
    assert parts_of(step) == [step]


def test_items_of_a_dictionary_have_the_same_names_where_the_dictionary_is_at_hand() -> None:
    w, losses = torch.tensor([0.1, 0.2], requires_grad=True), {}
    with record() as tape:
        losses["kl"] = (w * w).sum()
        total = losses["kl"].exp()
    assert op_names(tape.trace(total)) == ["a", 'losses["kl"]', "total"]


def test_unpacked_outputs_have_their_own_names() -> None:
    def function(x: Tensor) -> Tensor:
        query, key = x.split(2)
        return (query * key).sum()

    graph = trace(function, torch.ones(4, requires_grad=True))
    assert op_names(graph)[0] == "query, key"
    assert graph.argument_names(graph.node("a")) == ["query", "key"]


def test_result_of_a_helper_gets_the_callers_name() -> None:
    def helper(x: Tensor) -> Tensor:
        return torch.exp(x)

    def function(x: Tensor) -> Tensor:
        grown = helper(x)
        return grown * 2

    assert op_names(trace(function, 1.0)) == ["grown", "a"]


def test_only_the_last_call_of_a_layer_gets_the_layers_name() -> None:
    layer = nn.Linear(2, 2)

    def function(x: Tensor) -> Tensor:
        hidden = layer(x)
        return hidden.sum()

    graph = trace(function, torch.ones(1, 2))
    assert {attributes["op"]: attributes["name"] for _, attributes in graph.nodes(data=True)}["addmm"] == "hidden"
    assert {attributes["op"]: attributes["name"] for _, attributes in graph.nodes(data=True)}["t"] == "a"


def test_explicit_name_wins() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    inner = x * x
    graph = trace(torch.sin(inner), names={"square": inner})
    assert "square" in op_names(graph)


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *scales: Tensor, power: int = 1) -> Tensor:
        return x * scales[0] * scales[1] ** power

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, ...]:
        return cotangent, cotangent, cotangent


class Shifted(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, shift: Tensor) -> Tensor:
        return x + shift

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        return None

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        return cotangent, cotangent


def test_inputs_of_apply_are_named_as_the_forward_names_them() -> None:
    inputs = [torch.tensor(float(number), requires_grad=True) for number in range(3)]
    assert list(trace(Scaled.apply, *inputs).leaves) == ["x", "scales[0]", "scales[1]"]
    assert list(trace(Shifted.apply, *inputs[:2]).leaves) == ["x", "shift"]
    with pytest.raises(InputError, match=r"^Shifted.apply cannot take the inputs given: .* argument: 'shift'"):
        trace(Shifted.apply, inputs[0])


def test_two_modules_are_told_apart_by_their_variables() -> None:
    encoder, decoder, inputs = nn.Linear(2, 2), nn.Linear(2, 1), torch.ones(1, 2)
    graph = trace(lambda: decoder(encoder(inputs)).sum())
    assert set(graph.leaves) == {"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"}


def test_module_that_only_the_traced_function_holds_names_its_parameters() -> None:
    def function() -> Tensor:
        model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
        return model(torch.ones(1, 2)).sum()

    graph = trace(function)
    assert set(graph.leaves) == {"0.weight", "0.bias"}


def test_a_list_of_a_models_parameters_names_none_of_them() -> None:
    def of_step(params: list[nn.Parameter], model: nn.Module) -> list[str]:
        optimizer = torch.optim.SGD(params, lr=0.1)
        optimizer.zero_grad()
        with record() as tape:
            loss = model(torch.ones(2)).sum()
        return list(tape.trace(loss).leaves)

    layer = nn.Linear(2, 3)
    assert of_step([*layer.parameters()], layer) == ["weight", "bias"]
    alone = [torch.ones(2, requires_grad=True)]
    graph = trace((alone[0] * 2).sum())
    assert list(graph.leaves) == ["alone[0]"]


def test_part_of_a_module_that_is_called_alone_keeps_the_modules_paths() -> None:
    model, inputs = nn.Sequential(nn.Linear(2, 3), nn.Tanh()), torch.ones(1, 2)
    graph = trace(lambda: model[0](inputs).sum())
    assert set(graph.leaves) == {"0.weight", "0.bias"}


def test_source_is_the_users_own_line() -> None:
    def function(x: Tensor) -> Tensor:
        y = torch.sin(x)
        return y

    graph = trace(function, 1.0)
    expected = function.__code__.co_firstlineno + 1
    assert graph.nodes[graph.node("y")]["source"] == f"test_naming.py:{expected}"


def test_caller_of_a_library_function_is_not_part_of_the_traced_code() -> None:
    graph = trace(lambda x: x * 2, 1.0)
    assert op_names(graph) == ["a"], "the variable that holds the graph names no value in it"


def test_tape_names_globals_and_locals_of_the_with_block() -> None:
    weights = torch.ones(2, requires_grad=True)
    with record() as tape:
        energy = (weights * weights).sum()
    graph = tape.trace(energy)
    assert set(graph.leaves) == {"weights"} and graph.nodes[graph.output]["name"] == "energy"


def test_a_data_set_that_the_code_reads_is_not_searched_for_names() -> None:
    class Data(list):
        def __iter__(self):
            raise AssertionError("gone through item by item")

    data, weights = Data(range(MAX_ITEMS + 1)), [torch.ones(1, requires_grad=True)]
    table = dict.fromkeys(range(MAX_ITEMS + 1), weights[0])
    held = [torch.optim.SGD(weights)]

    def function() -> Tensor:
        return (weights[0] * data[3] * table[4]).sum() * len(held)

    assert list(trace(function).leaves) == ["weights[0]"]
    assert list(trace(function()).leaves) == ["weights[0]"]
    assert list(optimizers_in({"data": data, "table": table, "held": held})) == ["held[0]"]


def test_what_a_condition_chooses_between_has_the_name_that_it_is_assigned_to() -> None:
    def function(x: Tensor, flag: bool) -> Tensor:
        y = torch.sin(x) if flag else torch.cos(x)
        z = torch.exp(y) if not flag else torch.tanh(y) if flag else y
        return y * z

    x = torch.tensor(0.5, requires_grad=True)
    assert op_names(trace(function, x, True)) == ["y", "z", "a"]
    assert op_names(trace(function, x, False)) == ["y", "z", "a"]


def test_a_result_that_is_asked_for_a_copy_has_the_name_where_it_is_one_already() -> None:
    def rounded(x: Tensor) -> Tensor:
        return torch.sigmoid(x).contiguous()

    def function(x: Tensor) -> Tensor:
        own = torch.tanh(x).to(x.dtype).contiguous()
        copied = own.t().contiguous()
        helped = rounded(copied).to(dtype=torch.float32)
        for _ in range(3):
            helped = torch.sin(helped).float()
        wide = torch.cos(helped).to(torch.float64)
        return wide.sum()

    graph = trace(function, torch.rand(2, 3, requires_grad=True))
    named = [(data["op"], data["name"]) for _, data in graph.nodes(data=True) if data["is_named"] and data["kind"] == "op"]
    sines = [("sin", "helped_2"), ("sin", "helped_3"), ("sin", "helped_4")]
    assert named == [("tanh", "own"), ("clone", "copied"), ("sigmoid", "helped"), *sines, ("_to_copy", "wide")]


def test_names_are_unique_and_letters_avoid_them() -> None:
    def function(a: Tensor, b: Tensor) -> Tensor:
        return torch.sin(a * b)

    graph = trace(function, 1.0, 2.0)
    assert [attributes["name"] for _, attributes in graph.nodes(data=True)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "statement, names",
    [
        ("y = f()", ("y",)),
        ("y = z = f()", ("y",)),
        ("y, z = f()", ("y", "z")),
        ("f()", ()),
        ("g(f())", ()),
        ("box['y'] = f()", ()),
        ("y: int = f()", ("y",)),
    ],
)
def test_assigned_name_is_read_from_the_bytecode(statement: str, names: tuple[str, ...]) -> None:
    seen: list[tuple[str, ...]] = []

    def f() -> tuple[int, int]:
        frame = sys._getframe(1)
        seen.append(assigned_names(frame.f_code, frame.f_lasti))
        assert source_line(frame.f_code, frame.f_lasti) == "<text>:1"
        return 1, 2

    exec(compile(statement, "<text>", "exec"), {"f": f, "g": lambda value: value, "box": {}})
    assert seen == [names]


def test_name_of_a_returned_result_is_looked_up_frame_by_frame() -> None:
    found: list[list[tuple[str, ...]]] = []

    def inner() -> None:
        frames = []
        frame = sys._getframe(1)
        for _ in range(2):
            frames.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        found.append(list(result_names(tuple(frames))))

    def middle() -> None:
        return inner()

    value = middle()
    assert value is None and found == [[("value",)]]


def test_letters_go_on_after_z() -> None:
    names = letters()
    assert [next(names) for _ in range(28)][-3:] == ["z", "a1", "b1"]


def test_a_pair_that_attributes_or_captured_variables_take_is_not_mixed_up() -> None:
    from types import SimpleNamespace

    def attributes(x: torch.Tensor) -> torch.Tensor:
        pair = SimpleNamespace()
        pair.p, pair.q = x.sin(), x.cos()
        return pair.p * pair.q  # type: ignore[no-any-return]

    def captured(x: torch.Tensor) -> torch.Tensor:
        p, q = x.sin(), x.cos()

        def product() -> torch.Tensor:
            return p * q

        return product()

    for function in (attributes, captured):
        graph = trace(function, torch.tensor(0.3, requires_grad=True))
        named = {data["op"]: data["name"] for _, data in graph.nodes(data=True)}
        assert named["cos"] == "q"
        assert named["sin"] != "q"


class Nested(nn.Module):
    """With a module under two names, none under a third, and another below it."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Linear(2, 2)
        self.first = nn.Sequential(shared, nn.Sequential(nn.Tanh(), nn.Linear(2, 2)))
        self.register_module("absent", None)
        self.again = shared
        self.register_buffer("table", torch.ones(2))
        self.register_buffer("absent_table", None)
        shared.register_buffer("table", self.table)
        self.first[1].register_buffer("table", torch.ones(2))


class Wrapper(nn.Module):
    """Tells the parameters of a module that it does not hold as its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.__dict__["inner"] = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.__dict__["inner"](x)

    def parameters(self, recurse: bool = True) -> Any:
        return self.__dict__["inner"].parameters(recurse)

    def named_parameters(self, *args: Any, **options: Any) -> Any:
        return self.__dict__["inner"].named_parameters(*args, **options)


def test_modules_are_those_that_torch_names_in_its_order() -> None:
    root = Nested()
    modules = modules_within(root)
    assert modules == list(root.named_modules())
    assert list(parameters_within(root, modules)) == list(root.named_parameters(remove_duplicate=True))
    assert list(buffers_within(root, modules)) == list(root.named_buffers())
    assert [name for name, _ in buffers_within(root, modules)] == ["table", "first.1.table"]


def test_a_wrapper_that_tells_its_parameters_itself_is_their_root() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    inner.register_module("unused", nn.Linear(2, 2))
    inner.forward = lambda x: inner[1](inner[0](x)).sum()  # type: ignore[method-assign]
    graph = trace(Wrapper(inner), torch.randn(3, 2))
    assert {graph.nodes[node]["root"] for node in graph.leaves.values()} == {"Wrapper"}
    assert "unused-parameter" in [finding.kind for finding in graph.diagnose()]


class Attention(nn.Module):
    """Its modules have letters for names, as in many a lecture."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c, self.d = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.d((self.a(x) @ self.c(x).transpose(0, 1)).softmax(-1) @ x)


def test_no_value_gets_the_name_of_a_module_for_its_letter() -> None:
    alone = trace(Attention(), torch.randn(3, 3), loss=torch.sum)
    assert op_names(alone) == list("befghijklmnopq"[: len(op_names(alone))])
    within = trace(nn.Sequential(Attention()), torch.randn(3, 3), loss=torch.sum)
    assert op_names(within) == op_names(alone)


def test_letters_of_modules_that_were_not_called_are_free() -> None:
    model = nn.Sequential()
    model.add_module("b", nn.Linear(3, 3))
    model.add_module("rest", nn.ModuleDict({"a": nn.Linear(3, 3)}))
    names = op_names(trace(lambda x: model.b(x).tanh().sum(), torch.randn(2, 3)))
    assert "a" in names and "b" not in names
