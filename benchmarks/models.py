"""`python -m benchmarks.models`: whole models with random weights, every edge checked; what is not symbolic, and why.

Small configurations of many families; the base sizes are those of `cases.py`. It ends with 1 where there is a mismatch, or
where less than the wanted share of the edges is symbolic.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

import gradviz
from benchmarks.cases import CASES, Job, Labelled
from benchmarks.coverage import kind_of, reason_of
from gradviz.check import CheckReport

SYMBOLIC_SHARE = 0.98
BASE_LIMIT_S = 60.0


class OfOutput(nn.Module):
    """A model from transformers and a loss of what it returns, called with keywords."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.loss = loss

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.loss(self.model(**dict(zip(self.names, inputs, strict=True))))


class UNet(nn.Module):
    """Two levels down and up again with a skip, and a mean square as its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.inner = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.out = nn.Sequential(nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        skip = self.down(image)
        loss: Tensor = self.out(torch.cat([skip, self.up(self.inner(skip))], 1)).square().mean()
        return loss


def tokens(*shape: int, below: int = 60) -> Tensor:
    return torch.randint(3, below, shape)


def gpt2() -> Job:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=64, n_positions=16, use_cache=False)
    batch = tokens(2, 6)
    return Job(module=Labelled(GPT2LMHeadModel(config), batch), inputs=(batch,))


def bert() -> Job:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=64
    )
    batch = tokens(2, 6)
    return Job(module=Labelled(BertForMaskedLM(config), batch), inputs=(batch,))


def vit() -> Job:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4
    )
    return Job(module=Labelled(ViTForImageClassification(config), torch.tensor([1])), inputs=(torch.randn(1, 3, 8, 8),))


def resnet() -> Job:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=4, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3)
    model = ResNetForImageClassification(config)
    return Job(module=Labelled(model, torch.tensor([1, 2])), inputs=(torch.randn(2, 3, 32, 32),))


def llama() -> Job:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        vocab_size=64,
        use_cache=False,
    )
    batch = tokens(2, 6)
    return Job(module=Labelled(LlamaForCausalLM(config), batch), inputs=(batch,))


def mixtral() -> Job:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        vocab_size=64,
        num_local_experts=4,
        use_cache=False,
        output_router_logits=True,
    )
    batch = tokens(2, 6)
    return Job(module=Labelled(MixtralForCausalLM(config), batch), inputs=(batch,))


def t5() -> Job:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=64, decoder_start_token_id=0, use_cache=False
    )
    batch = tokens(2, 6)
    return Job(module=Labelled(T5ForConditionalGeneration(config), tokens(2, 4)), inputs=(batch,))


def swin() -> Job:
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(
        image_size=16, patch_size=2, embed_dim=8, depths=[2, 1], num_heads=[2, 2], window_size=4, num_labels=3
    )
    model = SwinForImageClassification(config)
    return Job(module=Labelled(model, torch.tensor([1])), inputs=(torch.randn(1, 3, 16, 16),))


def convnext() -> Job:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[4, 8, 8, 8], depths=[1, 1, 1, 1], num_labels=3)
    model = ConvNextForImageClassification(config)
    return Job(module=Labelled(model, torch.tensor([1])), inputs=(torch.randn(1, 3, 32, 32),))


def mamba() -> Job:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(hidden_size=8, num_hidden_layers=2, vocab_size=64, state_size=4, use_cache=False)
    batch = tokens(1, 5)
    return Job(module=Labelled(MambaForCausalLM(config), batch), inputs=(batch,))


def whisper() -> Job:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        vocab_size=64,
        num_mel_bins=4,
        max_source_positions=8,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        use_cache=False,
    )
    model = WhisperForConditionalGeneration(config)
    return Job(module=Labelled(model, tokens(2, 4)), inputs=(torch.randn(2, 4, 16),))


def clip() -> Job:
    from transformers import CLIPConfig, CLIPModel

    narrow = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**narrow, "vocab_size": 64, "max_position_embeddings": 8, "eos_token_id": 2},
        vision_config={**narrow, "image_size": 8, "patch_size": 4},
        projection_dim=8,
    )
    names = ("input_ids", "pixel_values")
    module = OfOutput(CLIPModel(config), names, lambda output: output.logits_per_image.square().mean())
    return Job(module=module, inputs=(tokens(2, 5), torch.randn(2, 3, 8, 8)))


def detr() -> Job:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    config = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], out_features=["stage2"]),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=3,
        num_labels=3,
    )
    module = OfOutput(
        DetrForObjectDetection(config),
        ("pixel_values",),
        lambda output: output.logits.square().mean() + output.pred_boxes.square().mean(),
    )
    return Job(module=module, inputs=(torch.randn(1, 3, 32, 32),))


def lstm() -> Job:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(64, 4)
            self.lstm = nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True)
            self.gru = nn.GRU(10, 3, batch_first=True)

        def forward(self, batch: Tensor) -> Tensor:
            loss: Tensor = self.gru(self.lstm(self.embed(batch))[0])[0].square().mean()
            return loss

    return Job(module=Tagger(), inputs=(tokens(2, 4),))


def unet() -> Job:
    return Job(module=UNet(), inputs=(torch.randn(2, 1, 8, 8),))


SMALL: dict[str, Callable[[], Job]] = {
    made.__name__: made
    for made in (
        gpt2, bert, vit, resnet, llama, mixtral, t5, swin, convnext, mamba, whisper, clip, detr, unet, lstm,
    )
}  # fmt: skip
BASE: dict[str, Callable[[], Job]] = {f"{case.name}-base": case.build for case in CASES if case.weigh}


def text(name: str, nodes: int, report: CheckReport, elapsed_s: float) -> str:
    kinds = Counter(kind_of(edge) for edge in report.edges)
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in ("symbolic", "numeric", "unverified", "mismatch") if kinds[kind])
    lines = [f"{name}: {nodes} nodes, {len(report.edges)} edges: {counts}, in {elapsed_s:.1f} s; {report.summary}"]
    reasons = Counter(f"{kind_of(edge)}: {reason_of(edge)}" for edge in report.edges if kind_of(edge) != "symbolic")
    lines += [f"  {count:5}  {reason}" for reason, count in reasons.most_common()]
    others = Counter(entry.reason for entry in report.unverified if entry not in report.edges)
    lines += [f"  {count:5}  unverified value, gradient or sum: {reason}" for reason, count in others.most_common()]
    lines += [f"         MISMATCH {entry.name}: {entry.reason}" for entry in report.mismatches]
    return "\n".join(lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("--model", action="append", choices=[*SMALL, *BASE], help="only this; may be repeated")
    parser.add_argument("--base", action="store_true", help="the base sizes instead of the small ones")
    parser.add_argument("--dtype", choices=("float32", "float64", "bfloat16", "float16"), default="float32")
    return parser.parse_args()


def main() -> int:
    chosen = options()
    warnings.simplefilter("ignore")
    built = {**SMALL, **BASE}
    failed = False
    for name in chosen.model or (BASE if chosen.base else SMALL):
        torch.manual_seed(0)
        job = built[name]()
        dtype = getattr(torch, chosen.dtype)
        job.module.to(dtype)
        inputs = tuple(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in job.inputs)
        started = time.perf_counter()
        graph = gradviz.trace(job.module, *inputs)
        report = graph.check()
        elapsed_s = time.perf_counter() - started
        print(text(name, len(graph), report, elapsed_s), flush=True)
        symbolic = sum(kind_of(edge) == "symbolic" for edge in report.edges)
        failed |= not report.ok or symbolic < SYMBOLIC_SHARE * len(report.edges)
        failed |= name in BASE and elapsed_s > BASE_LIMIT_S
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
