"""What identifies a machine, its owner or its users: fields, patterns in texts, and names."""

from __future__ import annotations

import getpass
import os
import re
import socket
from typing import Final

REMOVED: Final = (
    "host names",
    "user names",
    "UUIDs",
    "serial numbers",
    "addresses",
    "job and container ids",
    "custom NIC names",
)
"""What is removed, for the head of reports and recordings."""
ARGUMENTS: Final = "process arguments"

GPU: Final = "GPU-a"
BY_FIELD: Final = {
    "uuid": GPU,
    "gpu": GPU,
    "a": GPU,
    "b": GPU,
    "hostname": "node-",
    "cluster_uuid": "cluster-",
    "chassis_serial": "serial-",
    "user": "user-",
}
"""Fields that hold nothing but a name, and what they are called instead."""

VERBATIM: Final = frozenset(
    {
        "driver_version",
        "vbios",
        "board_part_number",
        "nvlink_firmware",
        "nvml_version",
        "cuda_driver_version",
        "pci_bus_id",
        "cpu_affinity",
        "numa_affinity",
        "architecture",
        "virtualization",
        "nvlink_generation",
        "demo",
        "kind",
        "source",
        "group",
        "group_kind",
        "pcie",
        "p2p_nvlink",
        "state",
        "health_summary",
        "bandwidth_mode",
        "worker",
        "function",
        "thread",
        "rule",
        "severity",
        "id",
        "cells",
        "bridges",
        "model",
        "link_layer",
        "physical",
        "role",
    }
)
"""Fields that hold words of NVML or of ours, which must not change when a user is called like one."""

LABELS: Final = frozenset({"label", "labels"})
"""Fields with words of ours, or with names of NICs where an old driver has no other labels."""

_HEX: Final = "[0-9a-fA-F]"
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
PATTERNS: Final = (
    ("GPU-a", rf"\bGPU-{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}\b"),
    ("MIG-a", rf"\bMIG-{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}\b"),
    ("id-", rf"\b{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}\b"),
    ("user-", r"(?<=/home/)[^/\s]+"),
    ("mail-", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    ("address-", rf"(?<![\d.]){_OCTET}(?:\.{_OCTET}){{3}}(?![\d.])"),
    ("address-", rf"\b{_HEX}{{2}}(?:[:-]{_HEX}{{2}}){{5}}\b"),
    # NICs can be called after their hardware address or GUID: enx0c42a1b2c3d4, ibx506b4b0300a1b2c3.
    ("address-", rf"(?<=[a-z]x){_HEX}{{12}}(?:{_HEX}{{4}})?(?![\w])"),
    # Two colons together or seven apart: a PCI bus id has two apart.
    (
        "address-",
        rf"(?<![\w:])(?:(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}|[\da-fA-F:]*::[\da-fA-F:.]*{_HEX})(?![\w:])",
    ),
    # InfiniBand GUIDs, as sysfs and ibstat print them.
    ("address-", rf"(?<![\w:]){_HEX}{{4}}(?::{_HEX}{{4}}){{3}}(?![\w:])"),
    ("address-", rf"\b0x{_HEX}{{16}}\b"),
    ("serial-", r"\b\d{13}\b"),
    # The keys (`slurm:4711`) and labels (`slurm 4711`) of jobs.
    ("id-", r"(?<=\bslurm[ :])\d[\w.+-]*"),
    ("id-", r"(?<=\b(?:lsf|pbs)[ :])\d[\w.\[\]-]*"),
    ("id-", rf"(?<=\bcontainer[ :]){_HEX}{{12}}\b"),
    ("id-", rf"(?<=\bkubernetes[ :]){_HEX}{{8}}(?![\w-])"),
)
NIC_NAME: Final = re.compile(
    r"""(?x)
    (?: mlx[45]_(?:[a-z]{2,5}_?)?\d+
      | (?:bnxt_re|cxgb4|efa|erdma|hfi1|hns|i40iw|ionic|irdma|mana|ocrdma|qedr|rxe|siw|usnic|vmw_pvrdma)_?\d+
      | (?:en|ib|iw|opa|rdma|roce)(?:P\d+)?(?:o\d+|s\d+|p\d+s\d+)(?:(?:d|f|n|np|npf|r|v|vf)\d+)*
      | (?:bond|eth|gpu\d+rdma|hsn|ib|lo|opa|rdma|roce|roce_bond|team)\d{0,3}
    )(?:\.\d{1,4})?"""
)
"""Names that drivers, udev and cloud images give to NICs; any other name was given by an administrator."""
MIN_NAME: Final = 3
"""Shorter names of hosts and users are looked for nowhere: they are in every other word."""
NO_NAMES: Final = frozenset(
    {"root", "nobody", "user", "admin", "localhost", "gpu", "node", "nvidia", "none", "linux"}
    | {"ubuntu", "debian", "centos", "fedora", "rocky", "core", "opc", "ec2-user", "azureuser"}
)
"""Names that reveal nothing and are kept."""


def local_names() -> dict[str, str]:
    """Return the names of this host and of whoever runs us, and the kind of placeholder for each."""
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")}
    try:
        users.add(getpass.getuser())
    except (KeyError, OSError):
        pass  # a user without a name, as in containers
    return dict.fromkeys(users, "user-") | host_names(socket.gethostname())


def host_names(host: str) -> dict[str, str]:
    """Return the names that a host's name holds: itself, without its domain, and the domain."""
    short, _, domain = host.partition(".")
    return dict.fromkeys((host, short), "node-") | ({domain: "domain-"} if "." in domain else {})
