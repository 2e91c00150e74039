"""A saved graph comes back with its numbers, says what it no longer has, and no crafted file gets past the reader."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph


def lecture() -> GradGraph:
    return gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")


def layers() -> GradGraph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).double()
    return gradviz.trace(model, torch.randn(3, 1, 4, 4).double(), loss=lambda out: out.square().mean())


def odd() -> GradGraph:
    """Complex numbers, bfloat16, several outputs, a cut, an index, NaN, an empty tensor, a custom Function."""

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return 2 * grads[0]

    def computed(x: Tensor, half: Tensor, empty: Tensor) -> Tensor:
        left, right = x.split([1, 2])
        spectrum = torch.fft.fft(right).abs().sum()
        wide = half.float().sum() + empty.sum()
        nan = (0 * left.detach().log()).nan_to_num() * left
        return Doubled.apply(spectrum + wide + nan.sum() + x[torch.tensor([0, 2])].sum())  # type: ignore[no-any-return]

    leaves = [torch.tensor([-1.0, 2.0, 3.0]), torch.ones(2, dtype=torch.bfloat16), torch.empty(0, 3)]
    return gradviz.trace(computed, *(leaf.requires_grad_() for leaf in leaves))


def written() -> GradGraph:
    """A write into a part of a value."""

    def computed(x: Tensor) -> Tensor:
        y = x * 1
        y[1:].mul_(2)
        return y.sum()

    return gradviz.trace(computed, torch.linspace(-1, 1, 12).reshape(3, 4).requires_grad_())


GRAPHS: dict[str, Callable[[], GradGraph]] = {"lecture": lecture, "layers": layers, "odd": odd, "written": written}


def again(graph: GradGraph, folder: Path, **options: Any) -> GradGraph:
    graph.save(folder / "graph.gradviz", **options)
    return gradviz.load(folder / "graph.gradviz")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_saved_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    loaded = again(graph, tmp_path)
    assert list(loaded) == list(graph)
    for node, attributes in graph.nodes(data=True):
        for attribute, value in attributes.items():
            if attribute not in ("call", "inner_calls", "inner_inputs"):
                assert same(value, loaded.nodes[node][attribute]), (node, attribute)
        call, found = attributes["call"], loaded.nodes[node]["call"]
        assert (call is None) == (found is None)
        if call is not None:
            assert call.overload is found.overload
            assert [one.name for one in call.tensor_arguments()] == [one.name for one in found.tensor_arguments()]
    for tail, head, key, attributes in graph.edges(keys=True, data=True):
        is_real = not any(graph.nodes[node]["dtype"].is_complex for node in (tail, head))
        kept = loaded.edges[tail, head, key]
        for attribute in ("argument", "output", "contribution", "cut"):
            assert same(attributes[attribute], kept[attribute])
        if attributes["partial"] is not None:
            assert str(attributes["partial"].formula) == str(kept["partial"].formula)
            if is_real:
                assert torch.equal(attributes["partial"].jacobian(), kept["partial"].jacobian())
    assert {name: same(value, loaded.gradients()[name]) for name, value in graph.gradients().items()} == dict.fromkeys(
        graph.leaves, True
    )


@pytest.mark.parametrize("name", GRAPHS)
def test_a_loaded_graph_is_drawn_and_explained_as_before(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    loaded = again(graph, tmp_path)
    assert loaded.to_dot() == graph.to_dot()
    for leaf, gradient in graph.gradients().items() if name != "odd" else ():
        assert (gradient is None) == (loaded.gradients()[leaf] is None)
        if gradient is not None and (gradient.abs() > 1e-12).any():  # of mere rounding, other roundings are left
            assert str(loaded.explain(leaf)) == str(graph.explain(leaf))


def test_infinite_slopes_of_a_loaded_graph_stay_infinite(tmp_path: Path) -> None:
    x = torch.tensor([0.0, 1.0, 4.0], requires_grad=True)
    graph = gradviz.trace(lambda x: (x.sqrt() * 3).sum(), x)
    loaded = again(graph, tmp_path)
    assert str(loaded.explain("x")) == str(graph.explain("x"))
    (use,) = loaded.uses_of(loaded.leaves["x"])
    assert use.partial is not None
    assert use.partial.vjp(torch.ones(3)).tolist() == use.partial.diagonal().tolist() == [torch.inf, 0.5, 0.25]


def test_a_partial_between_complex_numbers_says_that_it_was_not_saved(tmp_path: Path) -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    loaded = again(gradviz.trace(lambda x: torch.fft.fft(x).abs().sum(), x), tmp_path)
    with pytest.raises(gradviz.PartialError, match="of real numbers"):
        loaded.paths("x")


def test_loaded_complex_numbers_lie_in_memory_where_torch_reads_such_numbers(tmp_path: Path) -> None:
    """At an address that is no multiple of their size torch's vectorised functions end the process."""
    z = torch.randn(3, dtype=torch.complex128, requires_grad=True)
    for size in range(1, 9):  # of a name, which moves what follows in the file
        graph = gradviz.trace(lambda: (z * z.conj()).real.sum() + z.exp().imag.sum(), names={"z" * size: z})
        loaded = again(graph, tmp_path)
        found = [data[which] for _, data in loaded.nodes(data=True) for which in ("value", "cotangent")]
        complex_ones = [one for one in found if one is not None and one.is_complex()]
        assert complex_ones
        assert all(one.data_ptr() % one.element_size() == 0 for one in complex_ones)


def test_a_loaded_graph_can_be_saved_again(tmp_path: Path) -> None:
    loaded = again(lecture(), tmp_path)
    assert again(loaded, tmp_path).to_dot() == loaded.to_dot()


def test_a_loaded_graph_says_that_it_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(gradviz.CheckError, match="check it where it is traced"):
        again(lecture(), tmp_path).check()


def test_a_loaded_partial_tells_and_refuses_what_the_live_one_does(tmp_path: Path) -> None:
    x = torch.tensor([0.3, 0.5], dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(lambda x: torch.tanh(x).sum(), x)
    loaded = again(graph, tmp_path)
    for edge in graph.differentiable_edges():
        live, kept = graph.edges[edge]["partial"], loaded.edges[edge]["partial"]
        tangent, cotangent = (torch.full(shape, 0.7, dtype=x.dtype) for shape in (live.in_shape, live.out_shape))
        assert torch.equal(kept.jvp(tangent), live.jvp(tangent)) and torch.equal(kept.vjp(cotangent), live.vjp(cotangent))
        for ask in (lambda partial: partial.diagonal(), float, lambda partial: partial.jvp(torch.ones(3))):
            assert told(ask, kept) == told(ask, live)
    assert told(float, loaded.edges[0, 1, 0]["partial"]).startswith("edge x → a (0, 1, 0) maps shape (2,) to (2,): not one")


def told(ask: Callable[[Any], Any], partial: Any) -> str:
    try:
        return str(ask(partial))
    except gradviz.PartialError as refusal:
        return str(refusal)


def test_a_jacobian_that_was_too_large_to_save_says_so(tmp_path: Path) -> None:
    x = torch.randn(100, requires_grad=True)
    loaded = again(gradviz.trace(x.sin().sum()), tmp_path)
    partial = loaded.edges[0, 1, 0]["partial"]
    with pytest.raises(gradviz.PartialError, match="10000 elements and was not saved"):
        partial.vjp(torch.ones(100))
    assert partial.in_shape == (100,)


def test_a_small_jacobian_that_was_left_out_is_not_called_too_large(tmp_path: Path) -> None:
    x = torch.linspace(-1, 1, 64, requires_grad=True)
    loaded = again(gradviz.trace(lambda x: x.softmax(0).square().sum(), x), tmp_path, max_bytes=2000)
    with pytest.raises(gradviz.PartialError, match=r"has 4096 elements .* up to 4096, .* max_bytes allows"):
        loaded.paths("x")


def test_what_is_over_the_budget_is_left_out_and_says_so(tmp_path: Path) -> None:
    x = torch.randn(1000, requires_grad=True)
    loaded = again(gradviz.trace((2 * x).sum()), tmp_path, max_bytes=100)
    assert loaded.value(0) is None
    assert "over its budget" in loaded.nodes[0]["value_missing"]
    assert (tmp_path / "graph.gradviz").stat().st_size < 20_000


def test_tensors_that_are_used_twice_are_saved_once(tmp_path: Path) -> None:
    weight = torch.randn(200, 200, requires_grad=True)
    again(gradviz.trace((weight @ weight).sum(), names={"w": weight}), tmp_path)
    assert (tmp_path / "graph.gradviz").stat().st_size < 7.5 * 4 * 200 * 200  # values, cotangents, contributions: none twice


def test_pickling_a_graph_says_what_to_do_instead() -> None:
    with pytest.raises(gradviz.InputError, match=r"graph.save\(path\)"):
        pickle.dumps(lecture())


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(gradviz.InputError, match="cannot write"):
        lecture().save(tmp_path / "missing" / "graph.gradviz")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("saved") / "graph.gradviz"
    layers().save(path)
    with safetensors.safe_open(path, framework="pt") as file:
        return {"metadata": file.metadata(), "tensors": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118


def crafted(content: dict[str, Any], folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The saved file with its JSON changed."""
    written = json.loads(content["metadata"]["graph"])
    change(written)
    path = folder / "crafted.gradviz"
    safetensors.torch.save_file(content["tensors"], path, metadata=content["metadata"] | {"graph": json.dumps(written)})
    return path


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no nodes": lambda graph: graph.pop("nodes"),
    "a node without attributes": lambda graph: graph["nodes"].__setitem__(0, {}),
    "a node with one attribute more": lambda graph: graph["nodes"][0].__setitem__("extra", 1),
    "a name that is no text": lambda graph: graph["nodes"][0].__setitem__("name", 5),
    "a value of another shape": lambda graph: graph["nodes"][0].__setitem__("shape", {"tuple": [7]}),
    "a tensor that is not there": lambda graph: graph["nodes"][0].__setitem__("value", {"tensor": "t999"}),
    "two nodes of one number": lambda graph: graph["numbers"].__setitem__(1, 0),
    "an edge to nowhere": lambda graph: graph["edges"][0].__setitem__(1, 10**6),
    "an edge back": lambda graph: graph["edges"][0].__setitem__(0, graph["edges"][0][1]),
    "an edge from an output that is not there": lambda graph: graph["edges"][0][3].__setitem__("output", 3),
    "a leaf that is not there": lambda graph: graph["graph"]["leaves"].__setitem__("dict", [["w", 999]]),
    "an unknown kind of value": lambda graph: graph["nodes"][0].__setitem__("value", {"decoded": "t0"}),
    "a dtype that is a function": lambda graph: graph["nodes"][0].__setitem__("dtype", {"dtype": "load"}),
    "a call of no op": lambda graph: graph["nodes"][-1]["call"]["call"].__setitem__("args", []),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_crafted_file_is_refused(
    change: Callable[[dict[str, Any]], object], content: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(gradviz.InputError, match="is damaged or was not made by gradviz"):
        gradviz.load(crafted(content, tmp_path, change))


@pytest.mark.parametrize("overload", ["os.system.default", "aten.__class__.__init__", "load_library.x.y", "aten.no_such.op"])
def test_nothing_but_torchs_own_ops_is_looked_up(overload: str, content: dict[str, Any], tmp_path: Path) -> None:
    def renamed(graph: dict[str, Any]) -> None:
        graph["nodes"][-1]["call"]["call"]["overload"] = overload

    loaded = gradviz.load(crafted(content, tmp_path, renamed))
    assert loaded.nodes[max(loaded)]["call"] is None


@pytest.mark.parametrize("text", [b"", b"not a graph", b"\xff" * 100, json.dumps({"a": 1}).encode()])
def test_a_file_of_another_kind_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.gradviz").write_bytes(text)
    with pytest.raises(gradviz.InputError, match=r"is not a graph that gradviz saved|is empty|is damaged|is cut off"):
        gradviz.load(tmp_path / "other.gradviz")


def test_tensors_of_another_tool_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(gradviz.InputError, match="not one that gradviz saved"):
        gradviz.load(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("1", "another version of gradviz: its format is '1', this one reads '6'; trace .*, or read it with"),
        ("999", "a later version of gradviz: its format is '999', this one reads '6'; trace .*, or update this one"),
        ("x" * 99, "another version of gradviz: its format is 'x{20}', this one"),
    ],
)
def test_another_version_is_told_before_what_is_in_the_file(
    version: str, told: str, content: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "other.gradviz"
    metadata = content["metadata"] | {"version": version, "graph": '{"nodes": [{"kind": "leaf"}]}'}
    safetensors.torch.save_file(content["tensors"], path, metadata=metadata)
    with pytest.raises(gradviz.InputError, match=rf"other\.gradviz' was written by {told}"):
        gradviz.load(path)


def test_the_version_is_that_of_these_attributes(content: dict[str, Any]) -> None:
    """Whoever changes what is in a file raises VERSION and writes the new attributes here."""
    graph = json.loads(content["metadata"]["graph"])
    names = [" ".join(sorted(one)) for one in (graph["nodes"][0], graph["edges"][0][3], graph["graph"])]
    assert [content["metadata"]["version"], *names] == [
        "6",
        "backward_order call cotangent device differentiable dtype earlier_gradient expression inner_calls inner_inputs "
        "is_named is_output kind module name op output_names outputs requires_grad root scope shape source training value "
        "value_missing",
        "argument contribution cut output partial",
        "classes hooks kept_graphs leaves lost_leaves moved_leaves names node_hooks numbers_of numbers_read optimized "
        "outputs starting_cotangents unseen_writes",
    ]


def test_a_missing_file_and_a_large_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(gradviz.InputError, match="cannot read"):
        gradviz.load(tmp_path / "missing.gradviz")
    lecture().save(tmp_path / "graph.gradviz")
    with pytest.raises(gradviz.InputError, match=r"accepted: up to 10 \(max_bytes\)"):
        gradviz.load(tmp_path / "graph.gradviz", max_bytes=10)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_changed_in_a_file_it_loads_or_is_refused(
    data: st.DataObject, content: dict[str, Any], tmp_path: Path
) -> None:
    def changed_somewhere(graph: dict[str, Any]) -> None:
        place: Any = graph
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                return
            key = data.draw(st.sampled_from(keys))
            if not isinstance(place[key], (dict, list)) or data.draw(st.integers(0, 9)) == 0:
                place[key] = data.draw(
                    st.sampled_from([None, True, -1, 10**9, "x", [], {}, {"tensor": "t0"}, {"tuple": []}, {"tuple": [1]}])
                )
                return
            place = place[key]

    try:
        loaded = gradviz.load(crafted(content, tmp_path, changed_somewhere))
    except gradviz.GradvizError:
        return
    assert loaded.is_loaded and set(loaded.nodes) == set(range(len(loaded)))
    try:
        assert "digraph" in loaded.to_dot()
        assert all(str(loaded.explain(leaf)) for leaf in loaded.leaves)
    except gradviz.GradvizError:
        return


def test_copies_still_hold_live_partials() -> None:
    copied = copy.deepcopy(lecture())
    assert float(copied.edges[0, 2, 0]["partial"]) == 3.0


def test_a_graph_saved_without_any_tensor_can_be_loaded(tmp_path: Path) -> None:
    x = torch.ones(3, requires_grad=True)
    graph = gradviz.trace(lambda: x * 2, grad_output=torch.ones(3))
    loaded = again(graph, tmp_path, max_bytes=0)
    assert loaded.value(loaded.output) is None
    assert "over its budget" in loaded.nodes[loaded.output]["value_missing"]


def test_a_text_file_is_refused_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("import torch\n" * 20)
    with pytest.raises(gradviz.InputError, match=r"train\.py' is not a graph that gradviz saved.*graph\.save\(path\)"):
        gradviz.load(path)


def broken(tmp_path: Path) -> tuple[bytes, int]:
    """The bytes of a saved graph, and where its header ends."""
    lecture().save(tmp_path / "whole.gradviz")
    whole = (tmp_path / "whole.gradviz").read_bytes()
    return whole, 8 + int.from_bytes(whole[:8], "little")


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (lambda whole, header: b"", r"is empty; accepted: a file as graph\.save\(path\) writes it"),
        (lambda whole, header: whole[:100], r"is cut off: it has 100 bytes, and its header alone takes [\d,]+; copy it"),
        (lambda whole, header: whole[: header + 3], r"is cut off: it has [\d,]+ bytes of the [\d,]+ that its header"),
        (lambda whole, header: whole[:50] + b"\x00" + whole[51:], r"is damaged in its header, the first [\d,]+ bytes: "),
        (lambda whole, header: whole + b"more", r"is damaged: it has [\d,]+ bytes, more than the [\d,]+ that"),
        (lambda whole, header: b"\x89PNG" + whole, r"is not a graph that gradviz saved: it does not begin as such a file"),
        (lambda whole, header: whole.replace(b'nodes\\"', b'nodes""'), r"is damaged in its header|in what it says of the"),
    ],
)
def test_a_broken_file_is_told_by_what_is_wrong_with_it(
    kept: Callable[[bytes, int], bytes], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "broken.gradviz"
    path.write_bytes(kept(*broken(tmp_path)))
    with pytest.raises(gradviz.InputError, match=rf"broken\.gradviz' {said}"):
        gradviz.load(path)


def test_metadata_without_a_graph_say_so(content: dict[str, Any], tmp_path: Path) -> None:
    for graph, said in ((None, "metadata have no graph"), ('{"nodes": [', "what it says of the graph: Expecting value")):
        metadata = {key: value for key, value in content["metadata"].items() if key != "graph"}
        metadata |= {} if graph is None else {"graph": graph}
        safetensors.torch.save_file(content["tensors"], tmp_path / "g.gradviz", metadata=metadata)
        with pytest.raises(gradviz.InputError, match=rf"g\.gradviz' is damaged.*{said}"):
            gradviz.load(tmp_path / "g.gradviz")
