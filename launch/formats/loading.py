"""How each format is loaded: what the card shows whoever takes a folder."""

from __future__ import annotations

from collections.abc import Set

from launch.formats.contents import Contents
from launch.formats.markdown import block


def loading(contents: Contents, names: Set[str]) -> list[str]:
    """Returns a passage for each format that `names`, the files of the folder, hold."""
    variant, size = contents.variant, contents.image_size
    parts = []
    if f"{variant}.safetensors" in names:
        program = (
            "import rexnet\n\n"
            f'model = rexnet.create_model("{variant}", weights="{variant}.safetensors").eval()\n'
            f'names = rexnet.read_class_names("{variant}.safetensors")'
        )
        parts.append("With this project's package `rexnet`:\n\n" + block(program, "python"))
    if "config.json" in names:
        program = (
            "import timm\n\n"
            'model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()\n'
            "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))"
        )
        parts.append(
            "With [timm](https://github.com/huggingface/pytorch-image-models); `local-dir:FOLDER` is this "
            "folder, which is `hf-hub:USER/NAME` on the Hugging Face hub:\n\n" + block(program, "python")
        )
    if f"{variant}.pth" in names:
        lite = variant.startswith("rexnet_lite_")
        width = variant.rpartition("_")[2]
        module, name, argument = (
            ("rexnetv1_lite", "ReXNetV1_lite", "multiplier")
            if lite
            else ("rexnetv1", "ReXNetV1", "width_mult")
        )
        program = (
            f"import torch\nfrom {module} import {name}\n\n"
            f"model = {name}({argument}={width}, classes={contents.classes}).eval()\n"
            f'model.load_state_dict(torch.load("{variant}.pth", weights_only=True))'
        )
        parts.append(
            "With the [authors' code](https://github.com/clovaai/rexnet):\n\n" + block(program, "python")
        )
    if f"{variant}.onnx" in names:
        program = (
            "import numpy as np\nimport onnxruntime\n\n"
            f'session = onnxruntime.InferenceSession("{variant}.onnx")\n'
            f"images = np.zeros((1, 3, {size}, {size}), np.float32)  # normalised; any number of them\n"
            '(logits,) = session.run(["logits"], {"images": images})'
        )
        parts.append("With [ONNX Runtime](https://onnxruntime.ai):\n\n" + block(program, "python"))
    return parts
