"""Several results beside each other."""

from typing import Any

from launch.score_table import score_table


def result(**changes: Any) -> dict[str, Any]:
    return {
        "variant": "rexnet_1.0",
        "image_size": 224,
        "crop_ratio": 0.875,
        "acc1": 77.862,
        "acc1_interval": [77.4961, 78.2238],
        "acc5": 93.89,
        "loss": 0.94321,
        "images": 50000,
        "published_acc1": None,
        "expected": None,
        "difference": None,
        "weights": "a b.safetensors",
    } | changes


def test_a_row_each_and_no_column_that_is_empty() -> None:
    plain = score_table(
        [result(), result(variant="rexnet_lite_1.0", image_size=96, crop_ratio=1.0, loss=None)]
    )
    head, first, second = plain.splitlines()
    assert head.split("  ")[0] == "network" and "published" not in head and "expected" not in head
    wanted = "rexnet_1.0 224 0.875 77.862 77.50 to 78.22 93.890 0.9432 50000 a b.safetensors"
    assert " ".join(first.split()) == wanted
    assert "not finite" in second and " 1 " in second
    ends = {line.index("  a b.safetensors") for line in (first, second)}
    assert len(ends) == 1 and head.index("  weights") in ends


def test_what_was_published_and_expected_stands_beside_it() -> None:
    rows = [result(published_acc1=77.9, expected=77.86, difference=0.002), result(published_acc1=None)]
    head, first, second = score_table(rows).splitlines()
    assert head.split()[-3:] == ["published", "expected", "weights"]
    assert "77.9  77.86 (+0.002)  a b" in first and second.count(" -  ") == 2
