"""Writes metrics of ten steps while the size of files is limited, for a while and at the end.

    python full_disk.py FILE ROOM

Prints as JSON the steps in FILE while ROOM bytes are left, with room again and in the end, and what was said.
"""

import json
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from launch.track.jsonl import Jsonl


def main(path: Path, room: int) -> None:
    said: list[str] = []
    jsonl = Jsonl(path, say=said.append)

    def write(*steps: int) -> list[int]:
        for step in steps:
            jsonl.write({"step": step, "kind": "train", "filler": "x" * 150})
        return [json.loads(line)["step"] for line in path.read_text().splitlines()]

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    told: dict[str, list[int] | list[str]] = {}
    write(1)
    limit(path.stat().st_size + room)
    told["while full"] = write(2, 3, 4, 5, 6)
    limit(resource.RLIM_INFINITY)
    told["with room"] = write(7)
    limit(path.stat().st_size + room)
    write(8, 9)
    jsonl.close(state="done")
    told["in the end"] = write()
    print(json.dumps(told | {"said": said}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
