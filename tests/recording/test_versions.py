import pytest
import torch

import gradviz
from gradviz.recording import versions
from gradviz.recording.versions import Versions


def test_memory_that_nobody_wrote_to_is_not_copied_before_its_first_write(monkeypatch):
    monkeypatch.setattr(versions, "_copied", lambda tensor: pytest.fail("read memory that holds nothing yet"))
    tensor, known = torch.empty(3), Versions()
    known.register_unfilled([tensor])
    known.end(tensor, 0, fills=True)
    tensor.fill_(1.0)
    before, after = known.at(tensor, -1), known.at(tensor, 0)
    assert before.shape == (3,) and before.data_ptr() != tensor.data_ptr()
    assert after.tolist() == [1.0, 1.0, 1.0]


def test_memory_that_is_filled_in_parts_is_copied_with_what_it_held():
    def wrapped(x):
        return torch.nn.functional.pad(x, (2, 2), mode="circular").square().sum()

    for _ in range(5):
        soiled = [torch.full((1, 3, 9), float("nan")) for _ in range(8)]
        del soiled  # as a rule the memory that is allocated next held these
        assert gradviz.trace(wrapped, torch.randn(1, 3, 5, requires_grad=True)).check().ok


def test_each_later_write_to_allocated_memory_keeps_what_it_overwrites():
    def halves(x):
        filled = torch.empty(2)
        filled.fill_(3.0)
        first = x + filled
        filled.mul_(2.0)
        return (first * x + filled).sum()

    x = torch.ones(2, requires_grad=True)
    graph = gradviz.trace(halves, x)
    constants = [graph.value(node) for node in graph if not graph.nodes[node]["requires_grad"]]
    assert graph.value(graph.node("first")).tolist() == [4.0, 4.0]
    assert {3.0, 6.0} <= {float(value[0]) for value in constants if value is not None}
    assert graph.check().ok


def test_one_version_is_known_of_what_nobody_wrote_to_while_others_looked_at_it():
    written, other, known = torch.zeros(2), torch.zeros(2), Versions()
    assert known.has_one(written) and known.has_one(other)
    known.end(written, 0, is_alone=True)
    assert not known.has_one(written) and known.has_one(other)
    known.end(torch.zeros(2), 1, is_alone=False)
    assert not known.has_one(other)


@pytest.mark.parametrize("through", [lambda tensor: tensor, lambda tensor: tensor.data, lambda tensor: tensor[:]])
def test_values_are_those_of_their_time_where_memory_is_shared_after_its_first_write(through):
    def step(x):
        held = torch.zeros(3)
        held.add_(1.0)  # nothing else looks at it
        seen = through(held)
        early = x.sub(seen)
        seen.mul_(5.0)  # now two may
        return (early * x.sub(held)).sum()

    x = torch.ones(3, requires_grad=True)
    graph = gradviz.trace(step, x)
    assert graph.gradients()["x"].tolist() == [-4.0, -4.0, -4.0]
    taken = [graph.nodes[head]["call"].args[1].tolist() for head in graph if graph.nodes[head]["op"] == "sub"]
    assert taken == [[1.0, 1.0, 1.0], [5.0, 5.0, 5.0]]
    report = graph.check()
    assert report.ok and report.verified, report
