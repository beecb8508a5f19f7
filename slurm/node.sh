#!/bin/bash
# One node's part of a run, whoever has started it:
#   node.sh PYTHON NODES PROCESSES HOST:PORT RUN_ID [arguments of launch/train.py]
# Starts torchrun with PROCESSES trainers (or what REXNET_PROGRAM names instead of train.py), inside CONTAINER if that
# is set, after copying the data to STAGE if that is set. Asked for the node, by any of the signals below, it asks the
# trainers alone to save and to stop: they then end well, and so does torchrun. A torchrun that is signalled itself ends
# as failed, however well its workers have ended.
set -uo pipefail

if (($# < 5)); then
    echo "slurm/node.sh: wanted: node.sh PYTHON NODES PROCESSES HOST:PORT RUN_ID [arguments of launch/train.py]" >&2
    exit 2
fi
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
[[ ${CONTAINER:-} ]] && exec bash "$checkout/slurm/inside.sh" bash "$checkout/slurm/node.sh" "$@"
python=$1 nodes=$2 processes=$3 rendezvous=$4 run_id=$5
arguments=("${@:6}")

export PYTHONUNBUFFERED=1 # or the log lags behind
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export TORCH_CPP_LOG_LEVEL=${TORCH_CPP_LOG_LEVEL:-ERROR} # else a warning per connection, and more when nodes leave
# Where a cluster signals torchrun itself, it passes the signal on and allows this time for the checkpoint. Torch
# 2.10, of V100s, allows 30 s whatever is said, and its torchrun knows no flag for it.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-120}
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
if [[ ${IFNAME:-} ]]; then
    export NCCL_SOCKET_IFNAME=$IFNAME GLOO_SOCKET_IFNAME=$IFNAME
fi

# The first node serves the rendezvous and is told so: it need not recognise itself by its name.
role=is_host=$((${SLURM_NODEID:-0} == 0)),read_timeout=300
torchrun=(
    "$python" -m torch.distributed.run
    --nnodes="$nodes" --nproc-per-node="$processes" --max-restarts=0
    --rdzv-backend=c10d --rdzv-endpoint="$rendezvous" --rdzv-id="$run_id" --rdzv-conf="$role"
)

if ((nodes > 1)); then
    # Else torchrun tells the others this node's own name, which they may not know, or not as this node.
    address=$("$python" "$checkout/launch/address.py" "${rendezvous%:*}") && torchrun+=(--local-addr="$address")
fi

child='' asked='' staging='' trainers=''
ask() {
    asked=1
    if [[ $staging ]]; then
        kill "$child"
    elif [[ $child ]]; then
        local found
        found=$(cat "/proc/$child/task/"*/children 2>/dev/null)
        if [[ $found ]]; then
            trainers=1
            xargs kill -USR1 <<<"$found"
        elif [[ ! $trainers ]]; then # there is none yet, and nothing to save
            kill "$child"
        fi
    fi
}
trap ask USR1 USR2 TERM

follow() { # until the child has ended: a trapped signal ends `wait`, not the child
    while :; do
        wait "$child" && status=0 || status=$?
        kill -0 "$child" 2>/dev/null && continue
        wait "$child" 2>/dev/null # where it ended just after the signal, this has its own status
        local own=$?
        ((own == 127)) || status=$own
        return "$status"
    done
}

if [[ ${STAGE:-} ]]; then
    staged=$(mktemp) && trap 'rm -f "$staged"' EXIT
    staging=1
    "$python" "$checkout/launch/stage.py" "$STAGE" -- ${arguments[@]+"${arguments[@]}"} >"$staged" &
    child=$!
    follow || exit
    staging='' child=''
    [[ $asked ]] && exit 1
    REXNET_STAGED=$(<"$staged")
    export REXNET_STAGED
fi

(
    trap '' USR1 USR2 # some clusters signal every process of a step, others its first alone
    exec "${torchrun[@]}" "$checkout/launch/${REXNET_PROGRAM:-train.py}" ${arguments[@]+"${arguments[@]}"}
) &
child=$!
[[ ! $asked ]] || ask # a signal came before it was known whom to ask
follow
