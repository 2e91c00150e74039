"""The pictures that a graph gives of itself: the same as the view and the renderers make, from anywhere in a program."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from torch import nn

import gradviz
from gradviz import GradGraph, trace
from gradviz.errors import GradvizError, InputError, RenderError
from gradviz.render import DPI, TIME_LIMIT_S, dot_source, render
from gradviz.view import ViewOptions, view_of


def product_plus_sine() -> GradGraph:
    return trace("x*y + sin(pi*x)", x=2.0, y=3.0)


def shown_text(svg: bytes) -> str:
    texts = ElementTree.fromstring(svg).findall(".//{*}text")
    return " ".join("".join(text.itertext()).replace("\xa0", " ") for text in texts)


def test_a_traced_expression_shows_values_cotangents_and_local_partials() -> None:
    text = shown_text(product_plus_sine().render(format="svg"))
    for shown in ("= x·y", "= 6.283", "∂d/∂x = 6.142", "∂a/∂x = y = 3", "∂c/∂b = cos(b) = 1"):
        assert shown in text


def test_a_report_puts_a_verdict_on_every_edge_and_leaf() -> None:
    graph = product_plus_sine()
    root = ElementTree.fromstring(graph.render(format="svg", report=graph.check()))
    classes = [str(group.get("class")) for group in root.findall(".//{*}g")]
    assert classes.count("edge match") == graph.number_of_edges()
    assert classes.count("node leaf match") == 2


def test_a_wrong_backward_is_marked_on_its_edge_with_both_numbers() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, cotangent):  # type: ignore[no-untyped-def,override]
            return 3.3 * ctx.saved_tensors[0] ** 2 * cotangent

    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    graph = trace(lambda: Cube.apply(x).sin())
    view = graph.view(report=graph.check())
    assert [(edge.verdict, edge.correction) for edge in view.edges] == [
        ("mismatch", "autograd 13.2, true 12"),
        ("match", ""),
    ]


def test_methods_pass_every_choice_on() -> None:
    graph = product_plus_sine()
    choices = {"show": ["value"], "max_nodes": 4, "max_edge_labels": 0, "direction": "BT", "theme": "dark"}
    assert graph.view(**choices) == view_of(graph, **choices) != view_of(graph)  # type: ignore[arg-type]
    assert graph.to_dot(**choices) == dot_source(view_of(graph, **choices))  # type: ignore[arg-type]
    assert graph.render(format="svg", **choices) == render(view_of(graph, **choices), format="svg")  # type: ignore[arg-type]


def test_the_signatures_agree_with_those_of_view_and_renderers() -> None:
    of_view, of_method = (inspect.signature(function).parameters for function in (view_of, GradGraph.view))
    assert {name: parameter.default for name, parameter in of_view.items() if name != "graph"} == {
        name: parameter.default for name, parameter in of_method.items() if name != "self"
    }
    assert set(get_type_hints(ViewOptions)) == set(of_view) - {"graph"}
    defaults = {name: parameter.default for name, parameter in inspect.signature(GradGraph.render).parameters.items()}
    assert (defaults["dpi"], defaults["time_limit_s"]) == (DPI, TIME_LIMIT_S)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"theme": "neon"}, "unknown theme 'neon'; accepted: light, dark, slides"),
        ({"direction": "TB"}, "unknown direction 'TB'; accepted: LR, BT"),
        ({"show": ["values"]}, "unknown part 'values' in show; accepted: call"),
        ({"max_nodes": 0}, "max_nodes is 0"),
        ({"format": "bmp"}, "unknown picture format 'bmp'"),
        ({"format": 3}, "unknown picture format 3; accepted: svg"),
        ({"format": "png", "dpi": 5000}, "dpi is 5000; accepted: 10 to 1200"),
        ({"format": "png", "dpi": "100"}, "dpi is '100'; accepted: 10 to 1200"),
        ({"time_limit_s": -1}, "time_limit_s is -1; accepted: more than 0"),
        ({"time_limit_s": "1"}, "time_limit_s is '1'; accepted: more than 0"),
    ],
)
def test_a_choice_that_is_not_accepted_is_refused_by_name(choices: dict[str, object], message: str) -> None:
    with pytest.raises(GradvizError, match=message):
        product_plus_sine().render(**{"format": "svg"} | choices)  # type: ignore[arg-type]


def test_a_picture_that_takes_too_long_is_drawn_in_groups_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradviz.render.picture.SMALLER_S", 300.0)  # a busy machine may take long for these too
    blocks = nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)) for _ in range(120)])
    graph = trace(blocks, torch.ones(2, 3), loss=torch.sum)
    picture = graph.render(format="svg", max_nodes=5000, collapse="none", time_limit_s=0.01).decode()
    assert "120 × " in picture
    assert "drawn smaller: drawing 1,082 nodes and" in picture


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="thme"):
        product_plus_sine().render(format="svg", thme="dark")  # type: ignore[call-arg]


def test_a_notebook_shows_the_picture_and_a_line() -> None:
    graph = product_plus_sine()
    bundle = graph._repr_mimebundle_()
    assert bundle["image/svg+xml"] == graph.render(format="svg").decode()
    assert bundle["text/plain"] == repr(graph)


def test_a_notebook_says_why_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise RenderError("drawing took more than 20 s")

    monkeypatch.setattr("gradviz.render.picture.draw", refuse)
    bundle = product_plus_sine()._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert bundle["text/plain"].endswith("no picture: drawing took more than 20 s")


def test_a_copy_and_a_subgraph_are_drawn_like_the_graph() -> None:
    graph = product_plus_sine()
    assert graph.copy().to_dot() == graph.to_dot()
    part = graph.subgraph([graph.node("x"), graph.node("y"), graph.node("a")])
    assert [node.name for node in part.view().nodes] == ["x", "y", "a"]


def test_unusual_values_have_a_picture() -> None:
    x = torch.tensor([1.0, float("nan"), float("inf"), 0.0, 0.0], requires_grad=True)
    z = torch.tensor([1 + 2j, 3 - 1j] * 3, requires_grad=True)
    empty = torch.zeros(0, 3, requires_grad=True)
    graph = trace(lambda: (x * 2).sum() + (z * z.conj()).real.sum() + empty.sum())
    text = shown_text(graph.render(format="svg"))
    for shown in ("1 NaN, 1 ∞", "modulus: mean 2.699", "float32 [0, 3]", "= NaN"):
        assert shown in text


def test_several_outputs_of_one_call_are_named_on_node_and_edges() -> None:
    x = torch.arange(6.0, requires_grad=True)

    def halves() -> torch.Tensor:
        first, second = x.split(3)
        return (first * second).sum()

    view = trace(halves).view()
    split = next(node for node in view.nodes if node.name == "first, second")
    assert split.value == ("first: float32 [3]", "second: float32 [3]")
    assert {edge.derivative for edge in view.edges} >= {"∂a/∂first", "∂a/∂second"}


def test_a_bad_choice_of_view_is_an_input_error() -> None:
    with pytest.raises(InputError, match="max_edge_labels is -1"):
        product_plus_sine().to_dot(max_edge_labels=-1)


def test_a_script_without_a_main_guard_draws_from_a_thread_and_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import threading\n"
        "import gradviz\n"
        "from gradviz.render import layout\n"
        "graph = gradviz.trace('x*y', x=2.0, y=3.0)\n"
        "thread = threading.Thread(target=graph.render, args=('a.svg',))\n"
        "thread.start()\n"
        "thread.join()\n"
        "graph.render('b.png')\n"
        "print('ran once', layout._desk.process.process.pid)\n"
    )
    paths = os.environ | {"PYTHONPATH": str(Path(gradviz.__file__).parent.parent)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    *said, pid = done.stdout.split()
    assert said == ["ran", "once"]
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<svg ")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_graphs_are_drawn_from_several_threads_at_once() -> None:
    graphs = [trace("x*y", x=float(place), y=3.0) for place in range(6)]
    pictures: dict[int, bytes] = {}

    def work(place: int) -> None:
        pictures[place] = graphs[place].render(format="svg")

    threads = [threading.Thread(target=work, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"= {place * 3}" in shown_text(pictures[place]) for place in range(6))
