"""The networks against the authors' ones: figures that theirs give under weights by a formula."""

import copy

import pytest
import torch
import torch.nn.functional as F

from rexnet.channels import LITE_WIDTHS, WIDTHS, network_shape, variant_shape
from rexnet.model import ReXNet, create_model
from rexnet.weights import load_weights
from tests.rexnet.reference import OFFICIAL, images, official_state


def reference_model(variant: str, *, align: int = 1) -> ReXNet:
    model = create_model(variant, dropout=0.0, align=align)
    assert load_weights(model, official_state(variant)) == "official"
    return model


@pytest.mark.parametrize("align", [1, 8])
@pytest.mark.parametrize("variant", OFFICIAL)
def test_outputs_equal_the_authors(variant: str, align: int) -> None:
    model = reference_model(variant, align=align).eval()
    for key, count, size in (("eval_2x64", 2, 64), ("eval_1x224", 1, 224)):
        wanted = OFFICIAL[variant][key]
        with torch.no_grad():
            logits = model(images(count, size=size))
        assert logits[0, :8].tolist() == pytest.approx(wanted["first8"], abs=2e-5)
        assert float(logits.mean()) == pytest.approx(wanted["mean"], abs=2e-6)
        assert float(logits.std()) == pytest.approx(wanted["std"], abs=2e-6)
        assert logits.argmax(dim=1).tolist() == wanted["argmax"]


@pytest.mark.parametrize("align", [1, 8])
@pytest.mark.parametrize("variant", OFFICIAL)
def test_training_loss_and_gradient_equal_the_authors(variant: str, align: int) -> None:
    model = reference_model(variant, align=align).train()
    loss = F.cross_entropy(model(images(8, size=64)), torch.arange(8))
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert loss.item() == pytest.approx(OFFICIAL[variant]["train_8x64"]["loss"], abs=1e-4)
    assert float(norm) == pytest.approx(OFFICIAL[variant]["train_8x64"]["grad_norm"], rel=2e-3)


@pytest.mark.parametrize("variant", OFFICIAL)
def test_parameters_and_shapes_equal_the_authors(variant: str) -> None:
    with torch.device("meta"):
        model = ReXNet(variant_shape(variant))
    assert sum(p.numel() for p in model.parameters()) == OFFICIAL[variant]["params"]
    shapes = [[*t.shape] for t in model.state_dict().values()]
    wanted = [*OFFICIAL[variant]["state_dict"].values()]
    assert [[n for n in shape if n > 1] for shape in shapes] == [[n for n in s if n > 1] for s in wanted]


@pytest.mark.parametrize(
    ("variant", "outputs"),
    [
        ("rexnet_0.9", [16, 26, 36, 46, 56, 67, 77, 87, 97, 107, 117, 127, 138, 148, 158, 168]),
        ("rexnet_1.3", [21, 35, 50, 65, 79, 94, 109, 123, 138, 152, 167, 182, 196, 211, 226, 240]),
        ("rexnet_lite_1.3", [24, 32, 48, 64, 80, 96, 104, 120, 136, 152, 160, 176, 192, 208, 224, 232]),
        ("rexnet_lite_1.5", [24, 40, 56, 72, 88, 104, 120, 136, 152, 176, 192, 208, 224, 240, 256, 272]),
    ],
)
def test_channels_of_widths_without_a_reference(variant: str, outputs: list[int]) -> None:
    assert [block.outputs for block in variant_shape(variant).blocks] == outputs


def test_channels_last_gives_the_same() -> None:
    model = reference_model("rexnet_1.0").eval()
    batch = images(2, size=64)
    with torch.no_grad():
        plain = model(batch)
        model = model.to(memory_format=torch.channels_last)
        other = model(batch.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(other, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("align", [1, 8])
@pytest.mark.parametrize("variant", ["rexnet_1.0", "rexnet_lite_1.3"])
def test_maps_of_every_stride_have_the_logical_channels(variant: str, align: int) -> None:
    model = create_model(variant, num_classes=3, align=align).eval()
    with torch.no_grad():
        maps = model.forward_maps(images(2, size=64))
        features = model.forward_features(images(2, size=64))
    assert [m.shape[2] for m in maps] == [32, 16, 8, 4, 2]
    assert tuple(m.shape[1] for m in maps) == model.map_channels
    if variant == "rexnet_1.0":
        assert model.map_channels == (16, 38, 61, 128, 185)
    assert features.shape == (2, model.shape.penultimate, 2, 2)


def test_a_trained_backbone_gives_gradients_to_its_maps() -> None:
    model = create_model("rexnet_0.2", num_classes=3, align=8)
    sum(m.square().mean() for m in model.forward_maps(images(2, size=64))).backward()  # type: ignore[union-attr]
    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert without == {
        "head.conv.weight",
        "head.norm.weight",
        "head.norm.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_the_forward_pass_exports() -> None:
    """Tracing sees a pure function: nothing is written into a slice, and no shape becomes a constant."""
    model = create_model("rexnet_0.2", num_classes=3, align=8).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (images(2, size=64),), dynamic_shapes=({0: batch},))
    written = [
        n.target for n in program.graph.nodes if str(n.target).split(".")[1:2] in (["copy_"], ["add_"])
    ]
    assert not written
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images(5, size=64)), model(images(5, size=64)))


def test_drop_path_drops_whole_samples_and_only_in_training() -> None:
    torch.manual_seed(0)
    model = create_model("rexnet_0.2", num_classes=3, dropout=0.0, drop_path=0.5)
    assert [b.drop_path for b in model.blocks][::5] == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])  # type: ignore[union-attr]
    model.eval()
    same = images(4, size=32)
    torch.testing.assert_close(model(same), model(same), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(same), model(same))


@pytest.mark.parametrize("variant", ["rexnet_0.2", "rexnet_lite_0.2"])
def test_dropout_acts_in_training_only(variant: str) -> None:
    same, without = images(4, size=32), create_model(variant, num_classes=3, dropout=0.0)
    assert torch.equal(without(same), without(same))
    model = create_model(variant, num_classes=3, dropout=0.5)
    assert not torch.equal(model(same), model(same))
    assert torch.equal(model.eval()(same), model(same))


def test_names_and_widths_that_do_not_exist() -> None:
    for name in ("resnet_50", "rexnet", "rexnet_big", "rexnet_lite", "rexnetr_1.0", "rexnet_nan"):
        with pytest.raises(ValueError, match=r"rexnet_1\.0|width"):
            variant_shape(name)
    for width in (0, -1, float("nan"), 10):
        with pytest.raises(ValueError, match="positive"):
            network_shape(width)
    with pytest.raises(ValueError, match=r"did you mean rexnet_1\.0\?"):
        create_model("rexnet_100")


def test_an_aligned_model_can_be_copied() -> None:
    model = create_model("rexnet_0.2", num_classes=3, align=8).eval()
    batch = images(2, size=32)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(model)(batch), model(batch))


def test_published_widths_all_build() -> None:
    with torch.device("meta"):
        for width in WIDTHS:
            assert ReXNet(variant_shape(f"rexnet_{width}"))(torch.empty(2, 3, 64, 64)).shape == (2, 1000)
        for width in LITE_WIDTHS:
            assert ReXNet(variant_shape(f"rexnet_lite_{width}"))(torch.empty(2, 3, 64, 64)).shape == (2, 1000)
