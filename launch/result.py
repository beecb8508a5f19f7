"""What an evaluation's result.json tells."""

from __future__ import annotations

import math
from typing import Any

from launch.case import Case
from launch.engine.confidence import wilson_interval
from launch.engine.metrics import Score
from launch.expectation import Comparison
from launch.request import Request
from pipeline.imagenet import is_imagenet_1k_val
from pipeline.index import Index
from rexnet.published import Published, published


def published_line(score: Score, authors: Published) -> str:
    """Returns how far Acc@1 is from what the authors published."""
    comparison = Comparison(hits=score.hits1, images=score.images, figure=authors.acc1)
    return f"published {authors.acc1} % at 224 pixels: {comparison}"


def result_fields(request: Request, *, case: Case, layout: str, index: Index, score: Score) -> dict[str, Any]:
    """Returns what result.json tells; accuracies in percent, differences in points."""
    given, view = case.given, case.view
    authors = published(given.variant) if is_imagenet_1k_val(index) else None
    outcome = None
    if case.expect is not None:
        outcome = Comparison(hits=score.hits1, images=score.images, figure=case.expect)
    return {
        "weights": str(given.path),
        "weights_sha256": given.sha256,
        "weights_layout": layout,
        "variant": given.variant,
        "data": str(index.root),
        "data_identity": index.identity,
        "images": score.images,
        "bad_images": [{"file": bad.file, "fault": bad.fault} for bad in score.bad],
        "acc1": score.acc1,
        "acc5": score.acc5,
        "acc1_interval": [round(100 * end, 6) for end in wilson_interval(score.hits1, score.images)],
        "hits1": score.hits1,
        "hits5": score.hits5,
        "loss": score.loss if math.isfinite(score.loss) else None,
        "image_size": view.image_size,
        "crop_ratio": view.evaluation.crop_ratio,
        "interpolation": view.evaluation.interpolation,
        "decoder": request.decoder,
        "expected": case.expect,
        "tolerance": None if outcome is None else request.tolerance,
        "difference": None if outcome is None else round(outcome.difference, 6),
        "interval": None if outcome is None else [round(end, 6) for end in outcome.interval],
        "published_acc1": None if authors is None else authors.acc1,
        "published_acc5": None if authors is None else authors.acc5,
    }
