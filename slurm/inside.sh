#!/bin/bash
# inside.sh COMMAND...: runs a command, inside the Apptainer image that CONTAINER names where it names one.
set -euo pipefail

[[ ${CONTAINER:-} ]] || exec "$@"

apptainer=$(command -v apptainer || command -v singularity) || {
    echo "slurm/inside.sh: CONTAINER=$CONTAINER is set, but $(hostname) has no apptainer: load its module before sbatch" >&2
    exit 2
}
[[ -e $CONTAINER ]] || {
    echo "slurm/inside.sh: CONTAINER=$CONTAINER is not there on $(hostname)" >&2
    exit 2
}

# An image sees the home folder and little else by itself. More folders: APPTAINER_BIND, which Apptainer reads.
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cache=${REXNET_CACHE:-}
case $cache in
    '' | /*) ;;
    \~/*) cache=$HOME/${cache#\~/} ;; # as Python reads it
    *) cache=$PWD/$cache ;; # Apptainer wants absolute paths
esac
# Inside, a folder that is not bound cannot be made any more.
[[ ! $cache ]] || mkdir -p -- "$cache" || {
    echo "slurm/inside.sh: REXNET_CACHE=$REXNET_CACHE cannot be made on $(hostname), see above: name another folder" >&2
    exit 2
}
binds=()
for folder in "$checkout" "$PWD" "${DATA:-}" "${ENV:-}" "${STAGE:-}" "$cache"; do
    [[ -d $folder ]] && binds+=(--bind "$folder")
done
exec env -u CONTAINER "$apptainer" exec --nv "${binds[@]}" --pwd "$PWD" "$CONTAINER" "$@"
