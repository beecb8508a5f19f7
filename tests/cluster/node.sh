#!/bin/bash
# The first process of one machine of the test cluster, already alone in its PID, network, mount and host-name
# namespaces: node.sh NAME FOLDER COMMAND... Killing it from outside is a power cut: all the machine's processes
# die at once, and its mounts and its network go with them.
set -euo pipefail
name=$1 folder=$2
shift 2

hostname "$name"
mount -t proc proc /proc
mount --bind "$folder/hosts" /etc/hosts
mount -t tmpfs tmpfs /dev/shm # two machines would share names there that hold process ids
ip link set lo up
touch "$folder/$name.born"
until [[ -e $folder/$name.plugged ]]; do sleep 0.02; done # the network card comes from outside

# As process 1, bash collects the dead children of others, which Slurm's daemons do not.
"$@" &
wait "$!"
