#!/bin/bash
# Submits a recipe's script from a login node: submit.sh RECIPE [options of sbatch] -- [flags of launch/train.py].
# Reads slurm/site, where there is one, and checks what it sets before anything waits in a queue.
set -euo pipefail

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
recipe=$1
shift
site=$checkout/slurm/site

fail() {
    echo "slurm/$recipe.sh: $*" >&2
    exit 2
}

command -v sbatch >/dev/null || fail "no sbatch here, hence no login node of a Slurm cluster. On one machine without" \
    "Slurm: torchrun --nproc-per-node=gpu launch/train.py $recipe --data DIR"

options=() flags=() behind=''
for argument in "$@"; do
    if [[ ! $behind && $argument == -- ]]; then
        behind=1
    elif [[ $behind ]]; then
        flags+=("$argument")
    else
        options+=("$argument")
    fi
done

# ---------------------------------------------------------------------- slurm/site

ours=(DATA ENV CONTAINER STAGE IFNAME PROCESSES DOCTOR REXNET_CACHE)
# Of sbatch's own variables those that make sense for these scripts.
slurms=(SBATCH_{ACCOUNT,CLUSTERS,CONSTRAINT,CPUS_PER_GPU,EXCLUSIVE,GPUS_PER_NODE,HINT,MEM_PER_GPU,NETWORK,PARTITION}
    SBATCH_{QOS,REQ_SWITCH,RESERVATION,TIMELIMIT,WAIT4SWITCH,WCKEY})
# What the libraries, the shell and Slurm read, as far as it is usual to set it.
others='^(NCCL|GLOO|UCX|TORCH|WANDB|HF|OMP|GOMP|MALLOC|APPTAINER|SINGULARITY|SLURM)_'
others+='|^(PATH|LD_LIBRARY_PATH|TMPDIR|SSL_CERT_FILE|SSL_CERT_DIR)$|^(HTTPS?|NO|ALL)_PROXY$|^(https?|no|all)_proxy$'

# A site may set what only it knows of: refused is what looks like one of the names that count, and is none.
check_name() { # check_name NAME LINE EXPORT, which is empty where that word is missing
    local name letters=${1//_/} known=("${ours[@]}" "${slurms[@]}") where="$site, line $2"
    for name in "${known[@]}"; do
        [[ $1 != "$name" ]] || break
    done
    if [[ $1 == "$name" || $1 =~ $others ]]; then
        [[ $3 ]] || fail "$where: $1 does not reach the job without the word export before it"
        return
    fi
    [[ $1 != SBATCH_* ]] || fail "$where: nobody reads $1. Names that count: ${known[*]}"
    if [[ ! $3 ]]; then
        echo "slurm/$recipe.sh: $where: $1 does not reach the job without the word export before it"
        return
    fi
    for name in "${ours[@]}"; do
        [[ ${letters^^} != "${name//_/}"* ]] || fail "$where: nobody reads $1; did you mean $name?" \
            "What this file alone uses needs no export"
    done
    [[ $1 != REXNET_* ]] || fail "$where: nobody reads $1; did you mean REXNET_CACHE?"
    echo "slurm/$recipe.sh: $where: $1 is no setting of these scripts, and goes to the job as it is"
}

if [[ -f $site ]]; then
    number=0
    while IFS= read -r line || [[ $line ]]; do
        number=$((number + 1))
        if [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)= ]]; then
            check_name "${BASH_REMATCH[2]}" "$number" "${BASH_REMATCH[1]}"
        fi
    done <"$site"
    # shellcheck source=/dev/null
    source "$site" || fail "$site cannot be read as a shell script, see above"
else
    echo "slurm/$recipe.sh: no slurm/site, so Slurm's defaults and the variables of this shell count (cp slurm/site.example slurm/site)"
fi

if [[ ${DATA:-} ]]; then
    [[ -d $DATA ]] || fail "DATA=$DATA is no folder here; name the folder that holds train/ and val/"
    [[ -d $DATA/train && -d $DATA/val ]] || fail "DATA=$DATA holds no train/ and val/"
elif [[ " ${flags[*]-} " != *" --data"[\ =]* ]]; then
    fail "no data set: DATA=DIR in slurm/site, or ... -- --data DIR"
fi
[[ -z ${CONTAINER:-} || -e $CONTAINER ]] || fail "CONTAINER=$CONTAINER is not there; name an Apptainer image"
if [[ ${ENV:-} && ! -f $ENV && ! ${CONTAINER:-} ]]; then # a file is not meant for us, see job.sh
    [[ -x $ENV/bin/python ]] || fail "ENV=$ENV has no bin/python; name the folder of a virtual environment"
fi
[[ -z ${STAGE:-} || $STAGE == /* ]] || fail "STAGE=$STAGE is no absolute path; name a folder on the nodes' own disks"
[[ -z ${IFNAME:-} || $IFNAME =~ ^[A-Za-z0-9_.,:=^-]+$ ]] || fail "IFNAME=$IFNAME is no name of a network card (ip -brief address)"
[[ -z ${PROCESSES:-} || $PROCESSES =~ ^[1-9][0-9]*$ ]] || fail "PROCESSES=$PROCESSES is no number of processes per node"

# ---------------------------------------------------------------------- submit

# Log and runs/ go to the folder of the submission, unless nobody would look for them there.
[[ $PWD != / && -w $PWD ]] || cd -- "$checkout"

submitted=$(sbatch --parsable ${options[@]+"${options[@]}"} "$checkout/slurm/$recipe.sh" ${flags[@]+"${flags[@]}"}) || {
    [[ $behind ]] || echo "slurm/$recipe.sh: what stands before -- is for sbatch, and the flags of launch/train.py behind it" >&2
    exit 2
}
job=${submitted%%;*}
clusters=()
[[ $submitted == *";"* ]] && clusters=(-M "${submitted#*;}")
log=$(scontrol ${clusters[@]+"${clusters[@]}"} show job "$job" 2>/dev/null | sed -n 's/^ *StdOut=//p' | sed -n 1p) || log=
echo "job     $job"
echo "log     ${log:-$PWD/$recipe-$job.out}"
echo "follow  tail -F '${log:-$PWD/$recipe-$job.out}'"
echo "state   squeue ${clusters[*]-}${clusters:+ }-j $job"
echo "cancel  scancel ${clusters[*]-}${clusters:+ }$job"
