#!/bin/bash
# One node's part of a job: node.sh PYTHON [arguments of torchrun]. Starts torchrun, and when Slurm asks for the
# nodes it asks the trainer's processes alone to save and to stop: they then end well, and so does torchrun.
# A torchrun that is signalled itself ends as failed, however well its workers have ended.
set -uo pipefail

# The first node serves the rendezvous and is told so: it need not recognise itself by its name.
rendezvous=is_host=$((SLURM_NODEID == 0)),read_timeout=300
(
    trap '' USR1 # some clusters signal every process of a step, others its first alone
    exec "$1" -m torch.distributed.run --rdzv-conf="$rendezvous" "${@:2}"
) &
torchrun=$!

trap 'cat "/proc/$torchrun/task/"*/children 2>/dev/null | xargs -r kill -USR1' USR1 TERM
while :; do # a trapped signal ends `wait`, not torchrun
    wait "$torchrun" && status=0 || status=$?
    kill -0 "$torchrun" 2>/dev/null || break
done
exit "$status"
