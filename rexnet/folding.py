"""BatchNorm folded into the layer before it: the same function in evaluation, with fewer operations.

A norm with running mean m and variance v scales channel c by s = weight / sqrt(v + eps) and shifts it by
bias - s m, so the layer's weights times s, with that shift as its bias, do both at once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

if TYPE_CHECKING:
    from rexnet.model import ReXNet

_PAIRS = (("conv", "norm"), ("reduce", "norm"), ("neck", "neck_norm"))
"""Layer, and the norm that follows it in the same module."""

Network = TypeVar("Network", bound=nn.Module)


def fold(model: "ReXNet") -> "ReXNet":
    """Folds every norm of `model` into the layer before it, for evaluation only, and returns `model`.

    Its state dict then has biases where it had norms. The layers are replaced in place.

    Raises:
        ValueError: the network is aligned; fold one of `align=1`, which `rexnet.create_model` can align.
    """
    shown = model.state_dict()  # of an aligned network, the canonical corners
    if any(shown[name].shape != parameter.shape for name, parameter in model.named_parameters()):
        raise ValueError("an aligned network cannot be folded: create it with align=1")
    return fold_layers(model)


def fold_layers(model: Network) -> Network:
    """Does the work of `fold` on any network of our modules."""
    for module in [*model.eval().modules()]:
        for layer_name, norm_name in _PAIRS:
            layer, norm = getattr(module, layer_name, None), getattr(module, norm_name, None)
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, layer_name, fuse_conv_bn_eval(layer, norm))
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                setattr(module, layer_name, fuse_linear_bn_eval(layer, norm))
            else:
                continue
            setattr(module, norm_name, nn.Identity())
    return model


def is_folded(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict in our layout is that of a folded network."""
    return "stem.conv.bias" in state and "stem.norm.weight" not in state
