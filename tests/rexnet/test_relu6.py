"""ReLU6 and the gate before it against what autograd makes of their definition."""

import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from launch.footprint import kept_bytes
from rexnet.model import create_model
from rexnet.relu6 import gated_relu6, relu6
from tests.rexnet.reference import images


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Maps on both sides of 0 and 6, some exactly there, and gates from nearly shut to nearly open."""
    random = torch.Generator().manual_seed(3)
    x = 6 * torch.randn(4, 8, 5, 3, generator=random, dtype=torch.float64)
    x[0, 0, 0] = torch.tensor([0.0, 6.0, -0.0])
    logits = torch.linspace(-12, 12, 32, dtype=torch.float64).reshape(4, 8)
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    return x.requires_grad_(), logits.to(dtype).requires_grad_()


def plain(x: Tensor, logits: Tensor) -> Tensor:
    return F.relu6(x * logits.sigmoid()[:, :, None, None])


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6), (torch.float16, 4e-3)]
)
def test_values_and_gradients_are_those_of_the_definition(dtype: torch.dtype, tolerance: float) -> None:
    x, logits = inputs(dtype)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(4)).to(x)
    weights = weights.contiguous(memory_format=torch.channels_last)
    for ours, theirs, wrt in ((relu6, F.relu6, (x,)), (gated_relu6, plain, (x, logits))):
        got, wanted = ours(*wrt), theirs(*wrt)  # type: ignore[operator]
        assert torch.equal(got, wanted)
        gradients = torch.autograd.grad(got, wrt, weights)
        for gradient, should, of in zip(
            gradients, torch.autograd.grad(wanted, wrt, weights), wrt, strict=True
        ):
            torch.testing.assert_close(gradient, should, atol=tolerance, rtol=tolerance)
            assert gradient.dtype == dtype
            assert gradient.stride() == of.stride()  # channels-last stays


def test_gradients_of_gradients() -> None:
    x, logits = inputs(torch.float64)
    x = x.detach()[:2, :4, 1:].requires_grad_()  # away from the corners, where no difference is a derivative
    logits = logits.detach()[:2, :4].requires_grad_()
    for function, wrt in ((relu6, (x,)), (gated_relu6, (x, logits))):
        assert torch.autograd.gradcheck(function, wrt)
        assert torch.autograd.gradgradcheck(function, wrt)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # it is what people have scripts for
def test_exporters_and_transforms_see_plain_operators() -> None:
    model = create_model("rexnet_0.2", num_classes=3).eval()
    batch = images(2, size=32)
    traced = torch.jit.trace(model, batch)
    torch.jit.save(traced, io.BytesIO())
    torch.testing.assert_close(traced(batch), model(batch))
    x, logits = (tensor.detach() for tensor in inputs(torch.float64))
    for function, theirs, wrt in ((relu6, F.relu6, (x,)), (gated_relu6, plain, (x, logits))):
        found, wanted = (
            torch.func.vmap(torch.func.grad(lambda *each, f=f: f(*(tensor[None] for tensor in each)).sum()))(
                *wrt
            )
            for f in (function, theirs)
        )
        torch.testing.assert_close(found, wanted)


def test_training_keeps_an_eighth_less(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("rexnet_1.0").to("meta")
    now = kept_bytes(model, size=96)
    monkeypatch.setattr("rexnet.model.relu6", F.relu6)
    monkeypatch.setattr("rexnet.model.gated_relu6", plain)
    assert now < kept_bytes(model, size=96) * 7 / 8
