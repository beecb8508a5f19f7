"""What a model card tells of a run, from its folder: what it was trained on, how, and what came out."""

from __future__ import annotations

from typing import Any

from launch.formats.card import Result, Training
from launch.provenance import Provenance
from launch.publishing import command, machine
from launch.recipes import RECIPES
from launch.reporting.figures import attempts, time_spent
from launch.reporting.figures import result_interval as interval
from launch.reporting.run_files import RunFiles


def result_of(weights: Provenance) -> Result | None:
    """Returns the final evaluation of these weights; None unless they are the result of a finished run."""
    run = weights.run
    if run is None or not weights.final:
        return None
    final = run.final_evaluation
    if final is None:
        return None
    acc1, acc5 = interval(final, "acc1"), interval(final, "acc5")
    if acc1 is None or acc5 is None:
        return None
    official = run.facts.get("official")
    return Result(
        acc1=final["eval/acc1"],
        acc5=final["eval/acc5"],
        acc1_interval=acc1,
        acc5_interval=acc5,
        images=final["eval/images"],
        weights=run.called("ema"),
        official=(official["acc1"], official["acc5"]) if official else None,
    )


def training_of(weights: Provenance) -> Training | None:
    """Returns what run.json tells of the training; None without one."""
    if weights.run is None:
        return None
    run, facts = weights.run, weights.run.facts
    data, fields, plan = facts["data"], facts["identity_fields"], facts["plan"]
    name = data["name"]
    given = (facts.get("run") or {}).get("data") is not None
    what = (
        "ImageNet-1k" if name == "imagenet-1k"
        else name or ("a folder of images" if given else "images that the program draws")
    )  # fmt: skip
    counts = ", ".join(
        f"{data[key]} {called}"
        for key, called in (("train_images", "training images"), ("val_images", "validation images"))
        if key in data
    )
    return Training(
        recipe=facts["recipe"],
        command=command(fields, ranks=plan["ranks"], nodes=plan["nodes"], data=given)
        if facts["recipe"] in RECIPES
        else None,
        data=f"{what}: {counts or 'not recorded how many images'}, {data['classes']} classes",
        imagenet=name == "imagenet-1k",
        settings=fields,
        facts=_facts(run, fields, plan, final=weights.final),
    )


def _facts(run: RunFiles, fields: dict[str, Any], plan: dict[str, Any], *, final: bool) -> dict[str, str]:
    facts, starts = run.facts, attempts(run)
    of = plan.get("micro_batch")
    told = {
        "Epochs": f"{fields['epochs']:g}",
        "Batch": f"{fields['batch']} images" + (f", in micro-batches of {of}" if of else ""),
        "Seed": str(fields["seed"]),
        "Precision": str((facts.get("found") or {}).get("precision", "not recorded")),
        "Machine": machine(facts),
        "Time": f"{time_spent(run) / 60:.1f} minutes, {starts} {'start' if starts == 1 else 'starts'}",
        "Versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "Source revision": facts.get("git") or "without git",
        "Started": str(facts.get("started", "not recorded")),
        "Run": str(facts["identity"]),
    }
    if not final:
        step = max((int(r["step"]) for r in run.records), default=0)
        told["State"] = f"not finished: the last record is of step {step} of {plan['steps']}"
    return told
