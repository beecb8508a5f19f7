"""ReXNet: mobile image networks (https://arxiv.org/abs/2007.00992)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rexnet.files import read_metadata
    from rexnet.folding import fold
    from rexnet.layouts import translate
    from rexnet.metadata import read_class_names
    from rexnet.model import ReXNet, create_model
    from rexnet.weights import find_variant, load_weights, save_weights

__all__ = [
    "ReXNet",
    "create_model",
    "find_variant",
    "fold",
    "load_weights",
    "read_class_names",
    "read_metadata",
    "save_weights",
    "translate",
]

_HOMES = {
    "ReXNet": "rexnet.model",
    "create_model": "rexnet.model",
    "find_variant": "rexnet.weights",
    "fold": "rexnet.folding",
    "load_weights": "rexnet.weights",
    "read_class_names": "rexnet.metadata",
    "read_metadata": "rexnet.files",
    "save_weights": "rexnet.weights",
    "translate": "rexnet.layouts",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, so that plain numbers of this package need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rexnet' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
