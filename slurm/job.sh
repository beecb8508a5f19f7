#!/bin/bash
# The part that all recipes share: job.sh RECIPE [flags of launch/train.py], inside a Slurm job. Starts one torchrun
# per node, and afterwards decides whether the job is queued again. On a login node it submits the recipe's script.
# Reads DATA, ENV, CONTAINER, STAGE, IFNAME, PROCESSES and DOCTOR: see site.example.
set -euo pipefail

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
recipe=$1
flags=("${@:2}")

fail() {
    echo "slurm/job.sh: $*" >&2
    exit 2
}

[[ ${SLURM_JOB_ID:-} && ${SLURM_JOB_NODELIST:-} ]] || exec bash "$checkout/slurm/submit.sh" "$recipe" ${flags[@]+"${flags[@]}"}

attempt=${SLURM_RESTART_COUNT:-0}
job=$SLURM_JOB_ID
# The first task of an array has the array's own number, which scontrol takes for all of its tasks.
[[ ${SLURM_ARRAY_JOB_ID:-} ]] && job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

say() {
    echo "[job $job, attempt $attempt] $*"
}

step='' terminated='' warned=''
trap 'terminated=1' TERM # scancel, or an end that Slurm has decided itself
trap 'warned=1; say "Slurm wants the nodes back: the trainer is asked to save and to stop"
      [[ -z $step ]] || kill -USR1 "$step"' USR1

record() { # record FIELD: what Slurm has noted about this job
    scontrol -o show job "$job" | grep -o " $1=[^ ]*" | cut -d= -f2
}

# ---------------------------------------------------------------------- what to run, on what

if [[ -f ${ENV:-} ]]; then # not meant for us: the POSIX shell's variable of that name, which Environment Modules sets
    say "ENV=$ENV is a file, hence not a virtual environment's folder, and not used"
    unset ENV
fi
if [[ ${ENV:-} ]]; then
    python=$ENV/bin/python
    [[ -x $python || ${CONTAINER:-} ]] || fail "ENV=$ENV has no bin/python; give the folder of a virtual environment"
elif [[ ${CONTAINER:-} ]]; then
    python=python # the image's
elif [[ -x $checkout/.venv/bin/python ]]; then
    python=$checkout/.venv/bin/python
else
    python=$(command -v python || command -v python3) ||
        fail "no python: make $checkout/.venv, or name a virtual environment's folder in ENV, or load a module"
fi
program() { # program NAME ARGUMENTS...: python launch/NAME.py
    bash "$checkout/slurm/inside.sh" "$python" "$checkout/launch/$1.py" "${@:2}"
}
bash "$checkout/slurm/inside.sh" "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' ||
    fail "$python has no torch: install into it, or name another virtual environment's folder in ENV"

if [[ ${DATA:-} && " ${flags[*]-} " != *" --data"[\ =]* ]]; then
    flags+=(--data "$DATA")
fi

processes=${PROCESSES:-${SLURM_GPUS_ON_NODE:-}}
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "processes per node: '$processes'. The job has no GPUs" \
    "(sbatch --gpus-per-node=8), or set PROCESSES to the number wanted"

# The node with the fewest CPUs decides, as one step asks for the same of each: "40(x2),36" -> 36.
cpus=$(tr , '\n' <<<"$SLURM_JOB_CPUS_PER_NODE" | cut -d'(' -f1 | sort -n | sed -n 1p)

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | paste -sd,)
head=${nodes%%,*}
if ! getent hosts "$head" >/dev/null; then # Slurm may know a node by a name that DNS does not have
    head=$(scontrol -o show node "$head" | grep -o ' NodeAddr=[^ ]*' | cut -d= -f2)
fi
# Below the ports that the kernel hands out; jobs that share a node differ, and so do attempts at one.
port=$((10000 + (SLURM_JOB_ID * 97 + attempt) % 20000))

# The trainer says here how its attempt ended. Rank 0 may be on any node: the folder must be shared.
for folder in "$checkout/runs" "$PWD/runs"; do
    mkdir -p "$folder/.slurm" 2>/dev/null && [[ -w $folder/.slurm ]] && break
    folder=
done
[[ $folder ]] || fail "neither $checkout/runs nor $PWD/runs can be written: submit from a folder of your own"
name=${SLURM_CLUSTER_NAME:-cluster}-$job
export REXNET_ATTEMPT=$folder/.slurm/$name.$attempt.json

# All of a node's share goes to its one torchrun, and Slurm refuses the other ways of saying so beside that.
unset SLURM_CPUS_PER_GPU SLURM_CPUS_PER_TASK SLURM_NTASKS SLURM_NPROCS SLURM_NTASKS_PER_NODE SLURM_GPUS_PER_TASK

# ---------------------------------------------------------------------- what becomes of the job

conclude() { # conclude begin|end ...: sets action, code, avoid, reason, ending and sync
    local known=''
    if ((attempt)) || [[ $1 == end ]]; then
        known=$(scontrol -o show node 2>/dev/null) || true
    fi
    {
        read -r action && read -r code && read -r avoid && read -r reason && read -r ending && read -r sync
    } < <(program conclude "$folder/.slurm" "$name" "$@" <<<"$known") ||
        fail "launch/conclude.py failed, see above: the job is not queued again"
    [[ ! $sync ]] || say "W&B, where there is internet: $sync"
}

queue_again() {
    trap '' TERM # Slurm ends this job's processes now; what is left to do is not to be cut short
    say "queued again, $reason"
    if [[ ${1:-} != restarted ]]; then
        scontrol requeue "$job" ||
            fail "Slurm did not requeue job $job; the same sbatch command goes on from the last checkpoint"
    fi
    if [[ $avoid ]]; then
        local before
        before=$(record ExcNodeList) || true
        [[ $before != '(null)' ]] || before=
        scontrol update JobId="$job" ExcNodeList="${before:+$before,}$avoid" &&
            say "without $avoid from now on: three attempts failed there." \
                "Undo with: scontrol update JobId=$job ExcNodeList=$before"
    fi
    exit 0
}

conclude begin "$attempt" "$nodes"
case $action in
    requeue) queue_again ;;
    end)
        say "not started: $reason"
        exit "$code"
        ;;
esac

# ---------------------------------------------------------------------- run

on_each_node() { # on_each_node MINUTES PORT RUN_ID [more arguments of the program]: sets status
    srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task="$cpus" \
        --kill-on-bad-exit=1 --time="$1" \
        bash "$checkout/slurm/node.sh" "$python" "$SLURM_JOB_NUM_NODES" "$processes" "$head:$2" "$3" \
        "$recipe" ${flags[@]+"${flags[@]}"} "${@:4}" &
    step=$!
    while :; do # a trapped signal ends `wait`, not the step
        wait "$step" && status=0 || status=$?
        kill -0 "$step" 2>/dev/null || break
    done
    step=
}

say "$recipe: $SLURM_JOB_NUM_NODES nodes ($SLURM_JOB_NODELIST) x $processes processes, $cpus CPUs per node," \
    "rendezvous $head:$port, $python, $checkout"

status=0 sound=1
if [[ ${DOCTOR:-yes} != no && ! $warned ]]; then
    REXNET_PROGRAM=doctor.py STAGE='' REXNET_ATTEMPT='' on_each_node 8 $((port + 1)) "$job.$attempt.doctor" --quick
    ((status == 0)) || sound=
fi
[[ ! $sound || $terminated || $warned ]] || on_each_node 0 "$port" "$job.$attempt"

# ---------------------------------------------------------------------- what now
# A lost node needs nothing here: srun waits for it until Slurm gives it up and queues the job again itself.

preempted() { # during this attempt: Slurm's note may be older
    local noted started
    noted=$(record PreemptTime) && started=$(record StartTime) && [[ $noted == [0-9]* && ! $noted < $started ]]
}

sleep 1 || true # scancel reaches the step and this shell in either order
signs=()
[[ $warned ]] && signs+=(warned)
preempted && signs+=(preempted)
restarts=$(record Restarts) || restarts=
if [[ $restarts =~ ^[0-9]+$ ]] && ((restarts > attempt)); then
    signs+=(terminated restarted)
elif [[ $terminated || $(record JobState) == CANCELLED ]]; then
    signs+=(terminated)
fi
if [[ ! $sound && ${#signs[@]} == 0 && $(record JobState) == RUNNING ]]; then
    rm -f "$folder/.slurm/$name.json"
    fail "nothing was trained: mend what the table above calls an error. Or skip the check: export DOCTOR=no"
fi
trap '' TERM
conclude end "$status" ${signs[@]+"${signs[@]}"}
say "ended: $ending (srun: $status)"
case $action in
    requeue)
        [[ " ${signs[*]-} " == *" restarted "* ]] && queue_again restarted
        queue_again
        ;;
    end)
        [[ $code == 0 ]] || say "not queued again: $reason"
        exit "$code"
        ;;
esac
