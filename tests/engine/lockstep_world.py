"""One world of the lock-step test, started by torchrun: `lockstep_world.py DATA FOLDER BATCH lead|follow`.

The leading world trains in float64 and keeps each step's state before and after. A following world is
loaded from each state before, takes the step, and writes how far its state after is from the leader's.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from launch.engine.config import Optim
from launch.engine.distributed import find_place, join, leave
from launch.engine.metrics import evaluate
from launch.engine.optimizer import make_optimizer
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average, TrainState
from launch.engine.step import Step, make_scaler
from pipeline.config import Augmentation, Evaluation, Feeding
from pipeline.hashing import draw_seed
from pipeline.index import open_splits
from pipeline.loader import Share, eval_batches, train_batches
from rexnet.model import create_model

STEPS = 20
MICRO_BATCH = 16
SIZE = 16  # pixels: float64 convolutions are slow
OPTIM = Optim(lr=0.05, weight_decay=1e-3)


def main(data: Path, folder: Path, batch: int, leads: bool) -> None:
    place = find_place()
    world = join(place)
    train, val = open_splits(data, say=lambda line: None)
    torch.manual_seed(0)
    model = create_model("rexnet_0.1", num_classes=len(train.classes), dropout=0.2, drop_path=0.2).double()
    model = model.to(memory_format=torch.channels_last)
    state = TrainState(
        model=model,
        stats=RunningStats(model),
        average=Average(model),
        optimizer=make_optimizer(model, OPTIM),
        scaler=make_scaler("fp32", device=world.device, scale=1.0),
    )
    count = batch // MICRO_BATCH // place.world_size
    step = Step(
        state,
        optim=OPTIM,
        precision="fp32",
        device=world.device,
        accumulation=count,
        first_micro_batch=place.rank * count,
        draw_seed=lambda step, micro_batch: draw_seed(seed=0, step=step, micro_batch=micro_batch),
    )
    batches = train_batches(
        train,
        augmentation=Augmentation(image_size=SIZE, mixup=0.4),
        feeding=Feeding(),
        seed=0,
        share=Share(batch=batch, micro_batch=MICRO_BATCH, rank=place.rank, world_size=place.world_size),
        device=world.device,
        image_size=lambda step: SIZE,
        from_step=0,
        to_step=STEPS,
    )
    doubled = (replace(b, images=b.images.double(), weight=b.weight.double()) for b in batches)
    distances = []
    for k in range(STEPS):
        file = folder / f"{k}.pt"
        if leads:
            before = snapshot(state, step)
        else:
            before, after = torch.load(file, weights_only=True)
            state.load_state_dict(before["state"])
        step.totals.zero_()
        step(doubled, lr=OPTIM.lr, decay=0.9)
        torch.distributed.all_reduce(step.totals)
        if leads:
            torch.save((before, snapshot(state, step)), file)
        else:
            distances.append(distance(snapshot(state, step), after))
    if not leads:
        state.load_state_dict(after["state"])
    score, _ = evaluate(
        state.average.model.float(),
        lambda: eval_batches(
            val,
            evaluation=Evaluation(crop_ratio=1.0, eval_batch=8),
            feeding=Feeding(),
            rank=place.rank,
            world_size=place.world_size,
            device=world.device,
            image_size=SIZE,
        ),
        images=len(val),
        device=world.device,
        group=world.host_group,
    )
    if place.first:
        found = {"hits1": score.hits1, "hits5": score.hits5, "images": score.images, "distances": distances}
        (folder / f"world-{place.world_size}.json").write_text(json.dumps(found))


def snapshot(state: TrainState, step: Step) -> dict:
    """All that must agree: state, gradients, loss and hits."""
    content = {
        "state": state.state_dict(),
        "gradients": [p.grad for p in step.parameters if p.grad is not None],
        "totals": step.totals[:3],
    }
    return torch.utils._pytree.tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, content)


def distance(ours: dict, theirs: dict) -> float:
    """The largest difference of any tensor, relative to that tensor's largest value."""
    pairs = zip(tensors(ours), tensors(theirs), strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-4)) for a, b in pairs if a.numel())


def tensors(content: dict) -> list[torch.Tensor]:
    return [v.double() for v in torch.utils._pytree.tree_leaves(content) if isinstance(v, torch.Tensor)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "lead")
    leave(0)
