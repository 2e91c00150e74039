"""What is told of nearest codes: a way around them that is missing or turned around, codes and arguments left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Diagnosis

Places = Callable[[Tensor, Tensor], Tensor]
Read = Callable[[Tensor, Tensor], Tensor]
Use = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | float]]


def diagnosed(places: Places, read: Read, use: Use, *, book_learns: bool = True) -> Diagnosis:
    """Of an autoencoder of pictures; `use` makes what is decoded, and the other losses, of z and its codes."""
    torch.manual_seed(0)
    encoder, decoder, book = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1), torch.randn(16, 4)
    book.requires_grad_(book_learns)
    pictures = torch.rand(2, 3, 4, 4)

    def loss() -> Tensor:
        encoded = encoder(pictures).permute(0, 2, 3, 1)
        codes = read(places(encoded.reshape(-1, 4), book), book).view(encoded.shape)
        decoded, others = use(encoded, codes)
        return F.mse_loss(decoder(decoded.permute(0, 3, 1, 2)), pictures) + others

    return gradviz.trace(loss).diagnose()


def distances(z: Tensor, book: Tensor) -> Tensor:
    return z.pow(2).sum(1, keepdim=True) + book.pow(2).sum(1) - 2 * z @ book.t()


@torch.no_grad()
def unseen(z: Tensor, book: Tensor) -> Tensor:
    return torch.cdist(z, book).argmin(1)


PLACES: list[Places] = [
    lambda z, book: torch.cdist(z, book).argmin(1),
    lambda z, book: distances(z, book).argmin(1),
    lambda z, book: distances(z, book).min(1).indices,
    lambda z, book: ((z[:, None] - book[None]) ** 2).sum(-1).detach().argmin(-1),
    lambda z, book: (-F.normalize(z) @ F.normalize(book).t()).argmin(1),
    lambda z, book: (F.normalize(z) @ F.normalize(book).t()).argmax(1),
    unseen,
]
READ: list[Read] = [
    lambda places, book: F.embedding(places, book),
    lambda places, book: book[places],
    lambda places, book: book.index_select(0, places),
    lambda places, book: F.one_hot(places, 16).float() @ book,
    lambda places, book: torch.zeros(len(places), 16).scatter_(1, places.unsqueeze(1), 1) @ book,
]
WRITTEN = [(PLACES[0], read) for read in READ] + [(places, READ[0]) for places in PLACES[1:]]


def both_losses(z: Tensor, codes: Tensor) -> Tensor:
    return F.mse_loss(codes, z.detach()) + 0.25 * F.mse_loss(z, codes.detach())


def straight(z: Tensor, codes: Tensor) -> Tensor:
    return z + (codes - z).detach()


HEALTHY: list[Use] = [
    lambda z, codes: (straight(z, codes), both_losses(z, codes)),
    lambda z, codes: (straight(z, codes), 1.25 * (codes - z).square().mean()),
    lambda z, codes: (z + codes - z.detach(), 0.25 * F.mse_loss(z, codes.detach())),
    lambda z, codes: (codes + z, both_losses(z, codes)),
]


@pytest.mark.parametrize("use", HEALTHY)
@pytest.mark.parametrize(("places", "read"), WRITTEN)
def test_an_encoder_that_gets_the_gradient_of_what_is_decoded_is_fine(places: Places, read: Read, use: Use) -> None:
    assert diagnosed(places, read, use) == []


MOVED_BY_AVERAGES: list[Use] = [
    lambda z, codes: (straight(z, codes), 0.25 * F.mse_loss(z, codes)),
    lambda z, codes: (codes + z, 0.25 * F.mse_loss(z, codes)),
]


@pytest.mark.parametrize("use", MOVED_BY_AVERAGES)
@pytest.mark.parametrize(("places", "read"), WRITTEN)
def test_codes_that_are_no_parameters_are_fine_with_the_trick(places: Places, read: Read, use: Use) -> None:
    assert diagnosed(places, read, use, book_learns=False) == []


@pytest.mark.parametrize("others", [lambda z, codes: 0.25 * F.mse_loss(z, codes), lambda z, codes: 0.0])
@pytest.mark.parametrize(("places", "read"), WRITTEN)
def test_an_encoder_is_told_without_the_trick_also_where_codes_are_no_parameters(
    places: Places, read: Read, others: Callable[[Tensor, Tensor], Tensor | float]
) -> None:
    (finding,) = diagnosed(places, read, lambda z, codes: (codes, others(z, codes)), book_learns=False)
    assert finding.kind == "step-function" and "encoded by encoder.weight, encoder.bias" in finding.message


def test_a_guess_among_constants_whose_scores_are_taught_is_fine() -> None:
    torch.manual_seed(0)
    encoder, decoder, words = nn.Linear(6, 4), nn.Linear(4, 6), torch.randn(8, 4)
    x, labels = torch.randn(16, 6), torch.randint(0, 8, (16,))

    def loss() -> Tensor:
        scores = encoder(x) @ words.t()
        return F.cross_entropy(scores, labels) + F.mse_loss(decoder(words[scores.argmax(1)]), x)

    assert gradviz.trace(loss).diagnose() == []


WITHOUT: list[Use] = [
    lambda z, codes: (codes, both_losses(z, codes)),
    lambda z, codes: (codes, (codes - z).square().mean()),
    lambda z, codes: (codes, F.mse_loss(codes, z.detach())),
    lambda z, codes: (codes, 0.0),
]


@pytest.mark.parametrize("use", WITHOUT)
@pytest.mark.parametrize(("places", "read"), WRITTEN)
def test_codes_that_are_decoded_themselves_are_told_once(places: Places, read: Read, use: Use) -> None:
    (finding,) = diagnosed(places, read, use)
    assert finding.kind == "step-function" and "encoded by encoder.weight, encoder.bias" in finding.message
    assert "+ (" in finding.hint and finding.source.startswith("test_codes.py")


TURNED: list[Use] = [
    lambda z, codes: (codes + (z - codes).detach(), both_losses(z, codes)),
    lambda z, codes: ((z - codes).detach() + codes, both_losses(z, codes)),
]


@pytest.mark.parametrize("use", TURNED)
@pytest.mark.parametrize(("places", "read"), WRITTEN)
def test_a_trick_that_is_turned_around_is_told_once(places: Places, read: Read, use: Use) -> None:
    (finding,) = diagnosed(places, read, use)
    assert finding.kind == "step-function" and "turned around" in finding.message
    assert finding.hint == "write encoded + (codes - encoded).detach()"


def of_gumbel(turned: bool) -> Tensor:
    soft = nn.Linear(6, 4)(torch.randn(8, 6)).softmax(1)
    hard = F.one_hot(soft.argmax(1), 4).float()
    sample = hard + (soft - hard).detach() if turned else soft + (hard - soft).detach()
    return nn.Linear(4, 2)(sample).square().mean()


def of_rounding(turned: bool) -> Tensor:
    hidden = nn.Linear(6, 4)(torch.randn(8, 6))
    rounded = hidden.round() * 1.5
    handed_on = rounded + (hidden - rounded).detach() if turned else hidden + (rounded - hidden).detach()
    return nn.Linear(4, 2)(handed_on).square().mean()


@pytest.mark.parametrize(("loss", "kind"), [(of_rounding, "step-function"), (of_gumbel, "detached")])
def test_other_steps_with_the_trick_are_fine_and_told_where_it_is_turned_around(
    loss: Callable[[bool], Tensor], kind: str
) -> None:
    torch.manual_seed(0)
    assert gradviz.trace(lambda: loss(False)).diagnose() == []
    assert [finding.kind for finding in gradviz.trace(lambda: loss(True)).diagnose()] == [kind]


def test_residual_codes_are_fine() -> None:
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(10, 4), nn.Linear(4, 10)
    books, x = [nn.Parameter(torch.randn(16, 4)) for _ in range(3)], torch.randn(12, 10)

    def loss() -> Tensor:
        encoded = encoder(x)
        rest, total, moved = encoded, torch.zeros_like(encoded), torch.zeros(())
        for book in books:
            codes = book[torch.cdist(rest, book).argmin(1)]
            moved = moved + both_losses(rest, codes)
            rest, total = rest - codes.detach(), total + codes
        return F.mse_loss(decoder(straight(encoded, total)), x) + moved

    assert gradviz.trace(loss).diagnose() == []


def test_centres_of_clusters_that_nothing_reads_are_fine() -> None:
    torch.manual_seed(0)
    encoder, centres, x = nn.Linear(10, 4), nn.Parameter(torch.randn(16, 4)), torch.randn(12, 10)

    def loss() -> Tensor:
        z = encoder(x)
        return (z - centres[torch.cdist(z, centres).argmin(1)]).square().mean()

    assert gradviz.trace(loss).diagnose() == []


def test_words_that_a_model_chose_itself_are_fine() -> None:
    torch.manual_seed(0)
    words, layer, targets = nn.Embedding(20, 8), nn.Linear(8, 8), torch.randint(0, 20, (2, 6))

    def loss() -> Tensor:
        total, hidden = torch.zeros(()), torch.zeros(6, 8)
        for target in targets:
            hidden = layer(hidden).tanh()
            logits = hidden @ words.weight.t()
            total = total + F.cross_entropy(logits, target)
            hidden = words(logits.argmax(1))
        return total

    assert gradviz.trace(loss).diagnose() == []


WITHOUT_LOSS: list[Use] = [
    lambda z, codes: (straight(z, codes), 0.25 * F.mse_loss(z, codes.detach())),
    lambda z, codes: (straight(z, codes), F.mse_loss(codes.detach(), z)),
]


@pytest.mark.parametrize("use", WITHOUT_LOSS)
def test_of_codes_without_a_loss_of_their_own_the_loss_is_named(use: Use) -> None:
    (finding,) = diagnosed(PLACES[1], READ[0], use)
    assert finding.kind == "detached" and "book" in finding.message
    assert "mse(codes, z.detach())" in finding.hint and "moving average" in finding.hint


class Nearest(torch.autograd.Function):
    """The nearest codes, straight through, with the gradient of the codes."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, book: Tensor) -> Tensor:
        places = torch.cdist(z, book).argmin(1)
        ctx.save_for_backward(places, book)
        return book.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None]:
        places, book = ctx.saved_tensors
        return cotangent, torch.zeros_like(book).index_add_(0, places, cotangent)


class WithoutCodes(Nearest):
    """The same, which keeps the gradient of the codes back: a loss of their own may move them."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return cotangent, None


class WithoutEncoded(Nearest):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return None, Nearest.backward(ctx, cotangent)[1]


class Turned(Nearest):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None]:
        places, book = ctx.saved_tensors
        return cotangent, -torch.zeros_like(book).index_add_(0, places, cotangent)


def of_function(function: Any, *, moves_codes: bool) -> Diagnosis:
    torch.manual_seed(0)
    encoder, decoder, book, x = nn.Linear(10, 4), nn.Linear(4, 10), nn.Parameter(torch.randn(16, 4)), torch.randn(12, 10)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), book], lr=1e-3)

    def loss() -> Tensor:
        optimizer.zero_grad()
        z = encoder(x)
        error = F.mse_loss(decoder(function.apply(z, book)), x)
        return error + (both_losses(z, book[torch.cdist(z, book).argmin(1)]) if moves_codes else 0)

    return gradviz.trace(loss).diagnose()


@pytest.mark.parametrize(
    ("function", "moves_codes"), [(Nearest, True), (Nearest, False), (WithoutCodes, True), (WithoutEncoded, True)]
)
def test_functions_that_look_up_codes_are_fine_where_all_learn(function: Any, moves_codes: bool) -> None:
    assert of_function(function, moves_codes=moves_codes) == []


@pytest.mark.parametrize(
    ("function", "named"), [(WithoutCodes, ("book", "book")), (WithoutEncoded, ("encoder.weight, encoder.bias", "z"))]
)
def test_what_a_backward_gives_none_for_is_told_where_it_gets_no_other_gradient(
    function: Any, named: tuple[str, str]
) -> None:
    (finding,) = of_function(function, moves_codes=False)
    leaves, argument = named
    assert finding.kind == "detached"
    said = f"no gradient reaches {leaves}: the backward of {function.__name__} gives None for {argument}"
    assert finding.message.startswith(said) and "optimizer" in finding.message


def test_a_wrong_gradient_of_the_codes_is_told() -> None:
    (finding,) = of_function(Turned, moves_codes=False)
    assert finding.kind == "wrong-backward" and "book" in finding.message


def test_a_none_that_is_told_as_a_wrong_backward_is_not_told_again() -> None:
    class Shifted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, shift: Tensor) -> Tensor:
            return x + shift

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
            return cotangent, None

    x, shift = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    (finding,) = gradviz.trace(lambda: Shifted.apply(x, shift).square().sum()).diagnose()
    assert finding.kind == "wrong-backward"
