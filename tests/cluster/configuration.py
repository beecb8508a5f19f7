"""The text of slurm.conf and its companions for the test cluster."""

from pathlib import Path

CONTROLLER = "head"
SUBNET = "10.77.0"
CONTROLLER_ADDRESS = f"{SUBNET}.254"


def node_names(nodes: int) -> list[str]:
    return [f"node{i}" for i in range(1, nodes + 1)]


def node_address(i: int) -> str:
    """Address of node `i`, counted from 1."""
    return f"{SUBNET}.{i}"


def hosts(nodes: int) -> str:
    """/etc/hosts as every machine of the cluster sees it."""
    lines = ["127.0.0.1 localhost", f"{CONTROLLER_ADDRESS} {CONTROLLER}"]
    lines += [f"{node_address(i)} {name}" for i, name in enumerate(node_names(nodes), start=1)]
    return "\n".join(lines) + "\n"


def gres_conf(folder: Path, *, nodes: int, gpus: int) -> str:
    """Pretended GPUs. Slurm 22.05 counts and hands out only those that have a character device."""
    return f"NodeName=node[1-{nodes}] Name=gpu File={folder}/dev/nvidia[0-{gpus - 1}]\n"


def job_submit_lua() -> str:
    """The partition `billed` takes jobs of the account `vision` alone, as many sites have it."""
    return """\
function slurm_job_submit(job, partitions, uid)
    if job.partition == "billed" and job.account ~= "vision" then
        slurm.log_user("partition billed wants an account: --account=vision")
        return slurm.ERROR
    end
    return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, uid)
    return slurm.SUCCESS
end
"""


def slurm_conf(folder: Path, *, nodes: int, gpus: int, cpus: int, memory_mb: int) -> str:
    """Slurm without cgroups and accounting; every wait that makes sense on a real cluster is shortened."""
    machines = "\n".join(
        f"NodeName={name} NodeAddr={node_address(i)} CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpus}"
        for i, name in enumerate(node_names(nodes), start=1)
    )
    return f"""\
ClusterName=rexnet-test
SlurmctldHost={CONTROLLER}({CONTROLLER_ADDRESS})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job may start again only when its old credential has expired: 120 s by default and below 5.
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
# What would need cgroups, or a machine's own rights.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MailProg=/bin/true
MinJobAge=86400
# AllowAccounts without an accounting database refuses everybody, so a plugin stands in: job_submit.lua.
JobSubmitPlugins=lua
# Scheduling looks again after a second.
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# Failure and preemption; the defaults are 300, 30 and 0.
SlurmdTimeout=15
KillWait=5
ReturnToService=2
MessageTimeout=10
TCPTimeout=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{machines}
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 GraceTime=10 MaxTime=INFINITE DefaultTime=10 State=UP
PartitionName=billed Nodes=ALL MaxTime=INFINITE DefaultTime=10 State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE DefaultTime=10 State=UP
"""
