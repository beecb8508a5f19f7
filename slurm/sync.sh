#!/bin/bash
# Uploads W&B runs that nodes without internet keep on disk; for a login node, which has internet:
#   bash slurm/sync.sh [--every MINUTES] [--once] RUN...
# RUN is a run's folder, runs/rexnet_2.0-1a2b3c4d say, or a folder of such. Each attempt of a run leaves one piece;
# the pieces of a run are uploaded in their order, as one W&B run. A piece that is still being written is uploaded when
# its attempt has ended. Goes on until it is ended (Ctrl-C), so that later attempts and runs are found too.
set -euo pipefail

usage="bash slurm/sync.sh [--every MINUTES] [--once] RUN..."
fail() {
    echo "slurm/sync.sh: $*; $usage" >&2
    exit 2
}

minutes=10 once='' runs=()
while (($#)); do
    case $1 in
        --every)
            minutes=${2:-}
            shift
            ;;
        --once) once=1 ;;
        -*) fail "there is no option $1" ;;
        *) runs+=("$1") ;;
    esac
    shift || true
done
[[ $minutes =~ ^[0-9]+$ ]] || fail "--every wants minutes, not '$minutes'"
((${#runs[@]})) || fail "which runs? Name their folders"
for run in "${runs[@]}"; do
    [[ -d $run ]] || fail "$run is no folder"
done

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
wandb=$checkout/.venv/bin/wandb
[[ ${ENV:-} && -d ${ENV:-} ]] && wandb=$ENV/bin/wandb
[[ -x $wandb ]] || wandb=$(command -v wandb) ||
    fail "no wandb: make $checkout/.venv, or name a virtual environment's folder in ENV"

being_written() { # being_written RUN PIECE: by an attempt that goes on, which gives a sign of life each 5 s
    local newest
    newest=$(printf '%s\n' "$1"/wandb/offline-run-*/ | sort | tail -n 1)
    [[ ${newest%/} == "$2" && $(find "$1" -maxdepth 1 -name 'lock.*' -newermt '-90 seconds' 2>/dev/null) ]]
}

failed=''
pass() {
    local folder run piece pieces
    failed=''
    for folder in "${runs[@]}"; do
        for run in "${folder%/}" "${folder%/}"/*; do
            pieces=()
            for piece in "$run"/wandb/offline-run-*; do
                [[ -d $piece ]] || continue
                compgen -G "$piece/*.wandb.synced" >/dev/null && continue
                being_written "$run" "$piece" && continue
                pieces+=("$piece")
            done
            ((${#pieces[@]})) || continue
            echo "$(date +%H:%M:%S) $run: ${#pieces[@]} to upload"
            "$wandb" sync "${pieces[@]}" || failed=1
        done
    done
}

while :; do
    pass
    if [[ $once ]]; then
        [[ ! $failed ]] || exit 1
        exit 0
    fi
    sleep $((minutes * 60))
done
