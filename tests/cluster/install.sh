#!/bin/bash
# Installs what the tests of slurm/ need on Debian or Ubuntu. Does nothing where all is there.
set -euo pipefail

programs=(slurmctld slurmd sbatch scontrol munged ip shellcheck)
missing=()
for program in "${programs[@]}"; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [[ ${#missing[@]} -eq 0 ]]; then
    echo "test cluster: all programs are there"
    exit 0
fi

if [[ $(id -u) -ne 0 ]]; then
    echo "test cluster: missing ${missing[*]}, and only root can install them: run this as root" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge iproute2 shellcheck
