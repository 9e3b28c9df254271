"""A SLURM cluster of our own: two nodes on this machine, on the loopback, without systemd and cgroups."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.engine import Missing, directory, free_ports, run, stop, until

INSTALL = "apt-get install -y --no-install-recommends slurm-wlm munge"
NODES = ("n1", "n2")
CPUS = 2

# proctrack/linuxproc and the like touch no cgroup; config_overrides lets two nodes have one machine
CONFIGURATION = """\
ClusterName=mitosis
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
MaxArraySize=501
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={home}/munge/socket
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool.%n
SlurmctldPidFile={home}/run/slurmctld.pid
SlurmdPidFile={home}/run/slurmd.%n.pid
SlurmctldLogFile={home}/log/slurmctld.log
SlurmdLogFile={home}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
MinJobAge=300
KillWait=2
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=30
SlurmdParameters=config_overrides
{nodes}
PartitionName=debug Nodes={names} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster whose nodes are idle; `env` is what its commands, and those who submit, need."""

    home: Path

    @property
    def env(self) -> dict[str, str]:
        """SLURM_CONF, and a PATH on which `sacct` answers from the queue: see the directory `shim`."""
        shim = Path(__file__).parent / "shim"
        return {
            "SLURM_CONF": str(self.home / "slurm.conf"),
            "PATH": f"{shim}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def ask(self, *command: str) -> str:
        """What a command of SLURM answers; it must succeed."""
        done = subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, check=True
        )
        return done.stdout


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A new cluster; its jobs and daemons end with the context. Raises Missing."""
    for program in ("munged", "slurmctld", "slurmd"):
        if shutil.which(program, path=f"/usr/sbin:{os.environ.get('PATH', '')}") is None:
            raise Missing(f"SLURM is not installed: {INSTALL}")
    if os.geteuid() != 0:
        raise Missing(
            "the daemons of SLURM start jobs as their users, which root alone may do: run it as root"
        )
    with directory("slurm") as home, ExitStack() as daemons:
        made = Cluster(home)
        env = {**os.environ, **made.env}
        for name in ("state", "run", "log"):
            (home / name).mkdir()
        _munge(home)
        daemons.callback(stop, home / "munge" / "pid")
        port, *ports = free_ports(1 + len(NODES))
        _configure(home, port, ports)
        run(["/usr/sbin/slurmctld"], home / "log" / "start.log", env)
        daemons.callback(stop, home / "run" / "slurmctld.pid")
        for node in NODES:
            run(["/usr/sbin/slurmd", "-N", node], home / "log" / "start.log", env)
            daemons.callback(stop, home / "run" / f"slurmd.{node}.pid")
        until(
            lambda: made.ask("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(len(NODES)), "idle nodes"
        )
        daemons.callback(subprocess.run, ["scancel", "--user", "root"], env=env, check=False)
        yield made


def _munge(home: Path) -> None:
    """The daemon by which SLURM knows its users, on a socket of its own."""
    user = pwd.getpwnam("munge")
    place = home / "munge"
    place.mkdir(mode=0o755)
    key = place / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for path in (place, key):
        os.chown(path, user.pw_uid, user.pw_gid)
    run(
        ["/usr/sbin/munged", "--force", f"--key-file={key}", f"--socket={place}/socket",
         f"--pid-file={place}/pid", f"--log-file={place}/log", f"--seed-file={place}/seed"],
        home / "log" / "start.log", user=user.pw_uid, group=user.pw_gid, extra_groups=[],
    )  # fmt: skip


def _configure(home: Path, port: int, ports: list[int]) -> None:
    host = socket.gethostname().partition(".")[0]
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={own} CPUs={CPUS} RealMemory=8000"
        for node, own in zip(NODES, ports, strict=True)
    )
    text = CONFIGURATION.format(host=host, port=port, home=home, nodes=nodes, names=",".join(NODES))
    (home / "slurm.conf").write_text(text)
