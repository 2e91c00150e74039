"""What is measured: a case builds a module whose output is the scalar loss, and the inputs to call it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SCALAR_TEXT = "tanh(log(1 + z*2*x/sin(y)))"
SCALAR_AT = {"x": 2.0, "y": 1.0, "z": 3.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A built case: `module(*inputs)` is the loss."""

    module: nn.Module
    inputs: tuple[Tensor, ...]

    def drop_gradients(self) -> None:
        """What a training loop does before each step, so that every tool begins as one begins there."""
        for tensor in (*self.module.parameters(), *self.inputs):
            tensor.grad = None

    def plain(self) -> Tensor:
        """One forward and one backward pass as anybody writes it."""
        loss: Tensor = self.module(*self.inputs)
        loss.backward()
        return loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table.

    Attributes:
        name: what is typed after --case.
        title: what is printed.
        build: makes the job, the same on every call.
        time_target: the largest accepted ratio trace / plain in time, or None where none was set.
        memory_target: the same for peak memory.
        weigh: whether peak memory is measured.
    """

    name: str
    title: str
    build: Callable[[], Job]
    time_target: float | None = None
    memory_target: float | None = None
    weigh: bool = False


class Scalar(nn.Module):
    """tanh(log(1 + z*2*x/sin(y))) of three scalar tensors."""

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(torch.log(1 + z * 2 * x / torch.sin(y)))


class WithLoss(nn.Module):
    """A model and what its output is compared with, as one module that returns the loss."""

    def __init__(self, model: nn.Module, loss: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Tensor) -> Tensor:
        return self.loss(self.model(batch))


class Labelled(nn.Module):
    """A model from transformers with its labels, which returns the loss."""

    def __init__(self, model: nn.Module, labels: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("labels", labels)

    def forward(self, batch: Tensor) -> Tensor:
        loss: Tensor = self.model(batch, labels=self.labels).loss
        return loss


class Chain(nn.Module):
    """`length` ops, one after the other."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.length // 2):
            x = torch.sin(x) * 1.01
        return x


def scalar() -> Job:
    inputs = tuple(torch.tensor(SCALAR_AT[name], dtype=torch.float64, requires_grad=True) for name in "xyz")
    return Job(module=Scalar(), inputs=inputs)


def mlp() -> Job:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 1), nn.Sigmoid())
    labels = torch.randint(2, (16, 1)).float()
    module = WithLoss(model, lambda output: nn.functional.binary_cross_entropy(output, labels))
    return Job(module=module, inputs=(torch.randn(16, 2),))


def gpt2(batch: int = 1) -> Job:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    tokens = torch.randint(50257, (batch, 64))
    return Job(module=Labelled(GPT2LMHeadModel(GPT2Config(use_cache=False)), tokens), inputs=(tokens,))


def bert() -> Job:
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    tokens = torch.randint(30522, (1, 64))
    return Job(module=Labelled(BertForMaskedLM(BertConfig()), tokens), inputs=(tokens,))


def vit() -> Job:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    model = ViTForImageClassification(ViTConfig(num_labels=1000))
    return Job(module=Labelled(model, torch.tensor([7])), inputs=(torch.randn(1, 3, 224, 224),))


def resnet() -> Job:
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    model = ResNetForImageClassification(ResNetConfig(num_labels=1000))
    return Job(module=Labelled(model, torch.tensor([7, 8])), inputs=(torch.randn(2, 3, 224, 224),))


def chain(length: int) -> Job:
    return Job(module=Chain(length), inputs=(torch.tensor(0.5, dtype=torch.float64, requires_grad=True),))


CASES = [
    Case(name="scalar", title=SCALAR_TEXT, build=scalar, time_target=8),
    Case(name="mlp", title="MLP 2-50-1 with BCE", build=mlp),
    Case(
        name="gpt2", title="GPT-2 small, 64 tokens", build=gpt2, time_target=1.15, memory_target=1.3, weigh=True
    ),
    Case(name="gpt2x4", title="GPT-2 small, 4 x 64 tokens", build=lambda: gpt2(4)),
    Case(name="bert", title="BERT-base, 64 tokens", build=bert, time_target=1.15, memory_target=1.3, weigh=True),
    Case(name="vit", title="ViT-base, one image", build=vit, time_target=1.15, memory_target=1.3, weigh=True),
    Case(name="resnet", title="ResNet-50, two images", build=resnet, time_target=1.15, memory_target=1.3, weigh=True),
]
