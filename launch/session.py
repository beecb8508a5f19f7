"""A run put together: network, optimizer, input, trackers and the engine's loop over them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from launch.compiling import choose_compile
from launch.config import Run, identity_fields
from launch.data import Data
from launch.decoding import choose_decoding
from launch.engine.compilation import compiled
from launch.engine.config import LayoutName, Precision
from launch.engine.course import Course
from launch.engine.distributed import World
from launch.engine.layout import Layout, find_layout
from launch.engine.loop import Loop
from launch.engine.optimizer import make_optimizer
from launch.engine.ports import MicroBatch, Saver, Tracker
from launch.engine.preemption import StopRequest
from launch.engine.running_stats import RunningStats
from launch.engine.state import Average, TrainState
from launch.engine.step import Step, assumed_layout, choose_precision, make_scaler
from launch.initial import Initial
from launch.layout import choose_layout
from launch.plan import Plan
from launch.scoring import score
from pipeline.config import Feeding
from pipeline.growing import image_size
from pipeline.hashing import draw_seed
from pipeline.loader import Batch, Share, train_batches
from pipeline.probe import Found
from rexnet.model import create_model


class Session:
    """What one start of a run works with. Every rank has one.

    Args:
        run: the run, with what its first start found out in the place of `auto` and None.
        asked: the run as it was asked for.
        identity: the hash of `asked` and the data.
        classes: outputs of the network.
        initial: what the weights are before the first step; what is not in it is random.
    """

    def __init__(
        self,
        run: Run,
        *,
        asked: Run,
        plan: Plan,
        data: Data,
        world: World,
        identity: str,
        classes: int,
        initial: Initial | None = None,
    ):
        self.classes, self.initial = classes, initial
        self.run, self.asked, self.identity = run, asked, identity
        self.plan, self.data, self.world = plan, data, world
        self.precision: Precision = choose_precision(run.numerics, world.device)
        self.course = Course(
            batch=plan.batch, images=len(data.train), epochs=run.epochs, log_every=run.keeping.log_every
        )
        self.layout_name: LayoutName = assumed_layout(self.precision, world.device)
        self.layout_found = "assumed"
        self.decode_found = "assumed"
        self.compile, self.compile_found = False, "assumed"
        rank = world.place.rank
        self.share = Share(
            batch=plan.batch, micro_batch=plan.micro_batch, rank=rank, world_size=world.place.world_size
        )

    def found(self) -> dict[str, Any]:
        """Returns what `auto` came to mean here."""
        device = self.world.device
        return {
            "device": device.type,
            "precision": self.precision,
            "decode": self.run.feeding.decode,
            "window": self.run.feeding.window,
            "decode_found": self.decode_found,
            "layout": self.layout_name,
            "layout_found": self.layout_found,
            "compile": self.compile,
            "compile_found": self.compile_found,
        }

    def fields(self) -> dict[str, Any]:
        """Returns all that makes this run this run, for a checkpoint to be held against."""
        data = {"train": self.data.train.identity, "val": self.data.val.identity}
        resolved = {"micro_batch": self.plan.micro_batch, "precision": self.precision}
        return {**identity_fields(self.asked), "data": data, "resolved": resolved}

    def settle_layout(self, say: Callable[[str], None]) -> None:
        """Decides with all ranks how the network lies in memory; before it, what is assumed."""
        self.layout_name, self.layout_found = choose_layout(self, say=say)

    def settle_compile(self, say: Callable[[str], None]) -> None:
        """Decides with all ranks whether training passes are compiled; before it, they are not."""
        self.compile, self.compile_found = choose_compile(self, say=say)

    def settle_decoding(
        self, tried: Found | None, *, earlier: Mapping[str, str] | None, say: Callable[[str], None]
    ) -> None:
        """Decides with all ranks where images are decoded; see `choose_decoding`."""
        feeding, self.decode_found = choose_decoding(self, tried, earlier=earlier, say=say)
        self.run = replace(self.run, feeding=feeding)

    @property
    def layout(self) -> Layout:
        """Memory format and alignment of the network."""
        return find_layout(self.layout_name)

    def new_state(self, layout: Layout | None = None) -> TrainState:
        """Returns the state before the first step, in the run's layout unless told another.

        The weights follow from the seed, and from what the run begins with.
        """
        run, device, layout = self.run, self.world.device, layout or self.layout
        torch.manual_seed(run.seed)
        model = create_model(
            run.variant,
            num_classes=self.classes,
            dropout=run.dropout,
            drop_path=run.drop_path,
            align=layout.align,
        )
        if self.initial is not None:
            model.load_state_dict({**model.state_dict(), **self.initial.state})
        model = model.to(device=device, memory_format=layout.memory_format)  # pyright: ignore[reportCallIssue]
        average = Average(model)
        return TrainState(
            model=model,
            stats=RunningStats(model),
            average=average,
            optimizer=make_optimizer(model, run.optim),
            scaler=make_scaler(self.precision, device=device, scale=run.numerics.scale),
        )

    def new_step(self, state: TrainState) -> Step:
        """Returns the settled optimizer step over `state`."""
        step = Step(
            state,
            optim=self.run.optim,
            precision=self.precision,
            memory_format=self.layout.memory_format,
            device=self.world.device,
            accumulation=self.plan.accumulation,
            first_micro_batch=self.world.place.rank * self.plan.accumulation,
            draw_seed=lambda step, micro_batch: draw_seed(
                seed=self.run.seed, step=step, micro_batch=micro_batch
            ),
            prepare=compiled if self.compile else lambda model: model,
        )
        step.settle(self.constant_batch())
        return step

    def new_loop(
        self, step: Step, *, tracker: Tracker, save: Saver, stop: StopRequest, restarts: int
    ) -> Loop:
        """Returns the loop that trains `step`'s state."""
        return Loop(
            self.course,
            step,
            optim=self.run.optim,
            ema=self.run.ema,
            keeping=self.run.keeping,
            batches=self.train_batches,
            score=lambda model: score(self, model, stop=stop, index=self.data.held)[0],
            scored="eval" if self.data.held is None else "held-out",
            save=save,
            tracker=tracker,
            stop=stop,
            references=self.data.references(self.run.variant),
            restarts=restarts,
            max_bad=self.run.feeding.max_bad,
            max_skipped=self.run.numerics.max_skipped,
            name_image=lambda i: str(self.data.train.path(i)),
            group=self.world.host_group,
            pulse=self.world.pulse,
        )

    def train_batches(
        self, *, from_step: int, to_step: int, feeding: Feeding | None = None
    ) -> Generator[MicroBatch]:
        """Yields this rank's micro-batches of the steps from_step .. to_step - 1."""
        return train_batches(
            self.data.train,
            augmentation=self.run.augmentation,
            feeding=feeding or self.run.feeding,
            seed=self.run.seed,
            share=self.share,
            device=self.world.device,
            image_size=lambda step: image_size(self.run.augmentation, step=step, steps=self.course.steps),
            from_step=from_step,
            to_step=to_step,
            processes=self.world.sharing,
        )

    def constant_batch(self) -> Batch:
        """Returns a micro-batch of black images of full size, for what depends on shapes alone.

        Where the size grows, too: what does not fit into memory then shows at the start.
        """
        size, count, device = self.run.augmentation.image_size, self.plan.micro_batch, self.world.device
        images = torch.zeros(count, 3, size, size, device=device)
        labels = torch.zeros(count, dtype=torch.int64, device=device)
        return Batch(
            images=images.contiguous(memory_format=torch.channels_last),
            labels=labels,
            labels_b=labels,
            weight=torch.ones(count, device=device),
            ids=np.zeros(count, dtype=np.int64),
        )
