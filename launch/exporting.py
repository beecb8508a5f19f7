"""The export program: weights in several formats, each held against the source, with checksums and a card."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from launch.card_facts import result_of, training_of
from launch.export_request import ExportRequest
from launch.formats import sums
from launch.formats.card import Card, File, card_text, file_size
from launch.formats.contents import FORMATS, Contents, Format, Written
from launch.formats.counting import count
from launch.formats.nearness import EXACT, HALF, Nearness, compare
from launch.formats.onnx_file import check_onnx, run_onnx, write_onnx
from launch.formats.tensors import write_official, write_ours
from launch.formats.timm_folder import write_timm
from launch.provenance import Provenance, trace
from launch.track.lines import plain
from pipeline.config import Evaluation
from pipeline.shard import checksum
from rexnet.folding import fold, is_folded
from rexnet.model import ReXNet, create_model

_LICENSE = Path(__file__).resolve().parents[1] / "LICENSE"
_SIZE = 224  # pixels, at which the published weights were evaluated


def export(request: ExportRequest) -> None:
    """Writes the folder and prints what is in it.

    Raises:
        FileNotFoundError, ValueError: weights, formats or folder are not what they should be, or a format's
            answers are not those of the source; nothing is written then.
    """
    if request.formats is not None and "onnx" in request.formats:
        check_onnx()
    _check_out(request.out)
    weights = trace(request.weights, variant=request.variant, flag="WEIGHTS", say=_say)
    source = create_model(weights.variant, weights=weights.file).eval()
    contents = _contents(request, weights, source)
    formats = _formats(request, contents)
    with _folder_in_the_making(request.out) as folder:
        written, checks = _write(contents, formats, folder, source=source)
        shutil.copy(_LICENSE, folder / "LICENSE")
        files = [*written, Written(name="LICENSE", what="MIT, with NAVER's notice")]
        text = card_text(_card(contents, weights, folder, files=files, checks=checks))
        (folder / "README.md").write_text(text)
        sums.write_sums(folder, [path.name for path in folder.iterdir()])
    for path in sorted(request.out.iterdir()):
        told = f": {checks[path.name]}" if path.name in checks else ""
        _say(f"{path}, {file_size(path.stat().st_size)}{told}")


def _contents(request: ExportRequest, weights: Provenance, source: ReXNet) -> Contents:
    usual = Evaluation()
    contents = Contents(
        model=source,
        variant=weights.variant,
        class_names=weights.class_names,
        image_size=request.image_size or weights.image_size or _SIZE,
        crop_ratio=weights.crop_ratio or usual.crop_ratio,
        interpolation=weights.interpolation or usual.interpolation,
        evaluated_at=weights.image_size,
        half=request.fp16,
        folded=request.fold or is_folded(source.state_dict()),
    )
    if not (request.fp16 or request.fold):
        return contents
    model = deepcopy(source)
    if request.fold:
        model = fold(model)
    if request.fp16:
        model = model.half()
        lost = [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]
        if lost:
            raise ValueError(f"float16 cannot hold {', '.join(lost[:3])}: leave out --fp16")
    return replace(contents, model=model)


def _formats(request: ExportRequest, contents: Contents) -> tuple[Format, ...]:
    lite = contents.model.shape.neck > 0
    refused: dict[Format, str] = {}
    if lite:
        refused["timm"] = "timm has no ReXNet-lite"
    if contents.folded:
        refused |= dict.fromkeys(
            ("pth", "timm"), "its network has norms, which are folded away in these weights"
        )
    if request.formats is not None:
        for name in request.formats:
            if name in refused:
                raise ValueError(f"format {name} is not possible: {refused[name]}")
        return tuple(name for name in FORMATS if name in request.formats)
    for name, why in refused.items():
        _say(f"left out: {name}, since {why}")
    return tuple(name for name in FORMATS if name != "onnx" and name not in refused)


def _write(
    contents: Contents, formats: tuple[Format, ...], folder: Path, *, source: ReXNet
) -> tuple[list[Written], dict[str, str]]:
    """Writes the formats and holds each against `source`; returns what was written, and found by file.

    Raises:
        ValueError: one gives other answers.
    """
    written: list[Written] = []
    checks: dict[str, str] = {}
    for name in formats:
        if name == "timm":
            files = write_timm(contents, folder)
        else:
            writer = {"safetensors": write_ours, "pth": write_official, "onnx": write_onnx}[name]
            files = [writer(contents, folder)]
        written += files
        path = folder / files[0].name
        if name == "onnx":
            found = compare(
                source, lambda images, path=path: run_onnx(path, images), image_size=contents.image_size
            )
        else:
            loaded = create_model(contents.variant, weights=path).eval()
            found = compare(source, loaded, image_size=contents.image_size)
        _check(found, path.name, half=contents.half)
        checks[path.name] = str(found)
    return written, checks


def _check(found: Nearness, name: str, *, half: bool) -> None:
    if not found.within(HALF if half else EXACT):
        hint = "; leave out --fp16" if half else ""
        raise ValueError(f"{name} does not give the answers of the weights it was made from: {found}{hint}")


def _card(
    contents: Contents,
    weights: Provenance,
    folder: Path,
    *,
    files: list[Written],
    checks: dict[str, str],
) -> Card:
    parameters, macs = count(contents.variant, classes=contents.classes, image_size=contents.image_size)
    return Card(
        contents=contents,
        parameters=parameters,
        macs=macs,
        files=[
            File(
                name=file.name,
                what=file.what,
                sha256=checksum(folder / file.name),
                size=(folder / file.name).stat().st_size,
            )
            for file in files
        ],
        training=training_of(weights),
        result=result_of(weights),
        source=f"{weights.file.name}, SHA-256 {checksum(weights.file)}",
        checks=checks,
    )


def _check_out(out: Path, *, but: str = "") -> None:
    """Raises ValueError where there is something that an export may not replace, the entry `but` apart."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; name a folder: --out DIR")
    held = {path.name for path in out.iterdir()} - {but} if out.is_dir() else set[str]()
    if held and not sums.is_untouched(out, but=but):
        raise ValueError(
            f"{out} holds files that are not of an earlier export, or were changed since; name another "
            "folder: --out DIR"
        )


@contextmanager
def _folder_in_the_making(out: Path) -> Iterator[Path]:
    """Gives a folder beside `out`, or in one that is there, and puts it in its place when all went well."""
    whole = out.absolute()
    name = f".{whole.name}.{os.getpid()}.tmp"
    # A folder that is there may be a mount, into which nothing beside it can be moved.
    fresh = whole / name if whole.is_dir() else whole.with_name(name)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        _check_out(out, but=name)
        if fresh.parent != whole:
            fresh.rename(whole)
            return
        for path in whole.iterdir():
            if path != fresh:
                path.unlink()
        for path in fresh.iterdir():
            path.rename(whole / path.name)
    except OSError as fault:
        if fault.filename:
            raise
        raise ValueError(
            f"the export to {out} failed: {fault.strerror}; nothing of it is kept, and the same command "
            "begins anew"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _say(line: str) -> None:
    print(plain(line), flush=True)
