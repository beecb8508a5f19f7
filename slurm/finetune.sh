#!/bin/bash
#SBATCH --job-name=finetune
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-gpu=5
#SBATCH --mem-per-gpu=24G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file: the job's record names the original.
record=$(scontrol show job "${SLURM_JOB_ID:-}" 2>/dev/null | sed -n 's/^ *Command=//p' | sed -n 1p)
for checkout in "$(dirname -- "$0")/.." "${record%%/slurm/finetune.sh*}" "${SLURM_SUBMIT_DIR:-.}"; do
    [[ -f $checkout/slurm/job.sh ]] && exec bash "$checkout/slurm/job.sh" finetune "$@"
done
echo "slurm/finetune.sh: no checkout at '$record' nor in ${SLURM_SUBMIT_DIR:-.}; type: sbatch CHECKOUT/slurm/finetune.sh" >&2
exit 2
