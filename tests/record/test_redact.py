"""No byte of a recording identifies the machine or its users."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from dataclasses import replace

import pytest

from nvltop.cli import main
from nvltop.model import (
    Activity,
    Ancestor,
    Call,
    ComputeActivity,
    Counter,
    Event,
    Fabric,
    Gauges,
    Gpu,
    Host,
    Inventory,
    LinkCounters,
    LinkErrors,
    Missing,
    Nic,
    Pair,
    Problem,
    Process,
    Reading,
    Remote,
    RemoteKind,
    Scope,
    Tick,
    known,
)
from nvltop.model.finding import finding_key
from nvltop.nvml import simulated
from nvltop.nvml.demo_nodes import NODES
from nvltop.nvml.gpm import NO_PERMISSION_NOTE
from nvltop.nvml.simulated.nics import SimulatedNics
from nvltop.record.identifiers import local_names
from nvltop.record.redact import Redactor
from nvltop.record.writer import RecordingWriter

UUID = "GPU-0f3c9a1e-77aa-4bcd-8eef-1234567890ab"
OTHER = "GPU-1f3c9a1e-77aa-4bcd-8eef-1234567890ab"
CLUSTER = "6c2a4f10-1111-2222-3333-444455556666"
SECRETS = (
    "aurora-gpu17", "cluster.acme.example", "jdoe", "10.20.30.40", "fe80::1ff:fe23:4567:890a",
    "2001:db8:0:1:2:3:4:5", "3c:ec:ef:12:34:56", "1652922010123", UUID[4:], OTHER[4:], CLUSTER,
    "j.doe@acme.example",
)  # fmt: skip
NAMES = {"jdoe": "user-"}


def items():
    everything = "; ".join((*SECRETS, "/home/jdoe/run", UUID.upper(), f"MIG-{CLUSTER}"))
    gpus = (
        Gpu(
            0,
            UUID,
            Missing(everything),
            "00000000:1B:00.0",
            remotes=(Remote(RemoteKind.GPU, "0:1C:0.0", OTHER, 3),),
        ),
        Gpu(1, OTHER, everything, problem=everything),
    )
    host = "Aurora-GPU17.cluster.acme.example"
    pairs = (Pair(UUID, OTHER, "NODE", Missing(everything)),)
    yield Inventory(1.0, 1.79e9, "570.1", hostname=host, gpus=gpus, pairs=pairs)
    yield Inventory(1.0, 1.79e9, problem=Problem("no-driver", everything, everything))
    yield Reading(UUID, 1.0, 1.1, 1.79e9, Fabric("completed", everything, cluster_uuid=CLUSTER), everything)
    yield Reading(OTHER, 1.0, 1.1, 1.79e9, LinkErrors({"crc": (Missing(everything),)}))
    yield Event(2.0, 1.79e9, OTHER, "xid", 74)
    yield Tick(3.0, 1.79e9, 1.0, "stuck", (Call("slow", "nvmlDeviceGetUUID", 0, 2.0),), everything)


def test_planted_secrets_are_in_no_byte(tmp_path):
    recorder = RecordingWriter(tmp_path / "run.gz", redact=Redactor(NAMES))
    for item in items():
        recorder.write(item)
    recorder.close()
    text = gzip.decompress((tmp_path / "run.gz").read_bytes()).lower()
    for secret in SECRETS:
        assert secret.lower().encode() not in text
        assert base64.b64encode(secret.encode()).lower() not in text
    assert b"00000000:1b:00.0" in text


def test_compute_activity_keeps_its_words_and_no_secret(tmp_path):
    everything = "; ".join(SECRETS)
    found = ComputeActivity(0.5, Missing(everything), 0.25, 512.0, "gpm", f"GPM is not read: {everything}")
    recorder = RecordingWriter(tmp_path / "run", redact=Redactor(NAMES))
    recorder.write(Inventory(1.0, 1.79e9, hostname="Aurora-GPU17.cluster.acme.example"))
    recorder.write(Reading(UUID, 1.0, 1.25, 1.79e9, found))
    recorder.close()
    text = (tmp_path / "run").read_text().lower()
    for secret in SECRETS:
        assert secret.lower() not in text
    plain = ComputeActivity(0.5, Missing("needs GPM"), 0.25, 512.0, "samples", NO_PERMISSION_NOTE)
    assert Redactor({"samples": "user-"})(plain) == plain


def test_the_same_thing_has_the_same_name_throughout():
    redact = Redactor(NAMES)
    inventory, _, fabric, _, event, tick = map(redact, items())
    assert [g.uuid for g in inventory.gpus] == ["GPU-a1", "GPU-a2"]
    assert inventory.gpus[0].remotes[0].gpu == event.gpu == inventory.pairs[0].b == "GPU-a2"
    assert inventory.hostname == "node-1"
    assert fabric.data.cluster_uuid == "cluster-1"
    assert fabric.gpu == "GPU-a1"
    assert "node-2" in tick.note
    assert "/home/user-1/run" in tick.note
    assert tick.calls == (Call("slow", "nvmlDeviceGetUUID", 0, 2.0),)


def test_nics_keep_their_names_except_addresses_in_them(bench):
    node = bench("dgx1-v100")
    listed = node.inventory.nics
    guid = "ibx506b4b0300a1b2c3"
    named = replace(listed[0], device=guid, interfaces=("enx0c42a1b2c3d4", "ens1f0np0"))
    redact = Redactor({})
    node.monitor.update(replace(node.inventory, driver_version="440.33.01", nics=(named, *listed[1:])))
    frame = redact(node.poll())
    assert known(frame.inventory.nics)
    assert frame.inventory.nics[0].device == "ibxaddress-1"
    assert frame.inventory.nics[0].interfaces == ("enxaddress-2", "ens1f0np0")
    assert frame.matrix.labels[8:10] == ("ibxaddress-1", "mlx5_1")
    assert frame.inventory.nics[1] == listed[1]
    assert guid not in repr(frame)


@pytest.mark.parametrize("node", NODES)
def test_names_that_drivers_and_udev_give_to_nics_stay(node):
    nics = SimulatedNics(simulated.install(node, "training")).find()
    if known(nics):
        assert Redactor({})(nics) == nics


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("mlx5_bond_0", True), ("mlx5_ib3", True), ("rocep8s0f0", True), ("enP5p1s0f1np1", True),
        ("eno1", True), ("rdmap0s6", True), ("bnxt_re1", True), ("gpu0rdma0", True), ("ens1f0.100", True),
        ("hsn3", True), ("rail3", False), ("ens0-zsecrethost", False), ("storage", False),
        ("rdma0c42a10300b1c2d3", False),
    ],
)  # fmt: skip
def test_names_given_by_administrators_are_removed(name, stays):
    redact = Redactor({})
    assert (redact(Nic(name, True)).device == name) is stays
    assert (redact.text(f"{name} is down") == f"{name} is down") is stays


@pytest.mark.parametrize("guid", ["0c42:a103:00b1:c2d3", "0x0c42a10300b1c2d3"])
def test_infiniband_guids_are_addresses(guid):
    assert Redactor({}).text(f"--guid {guid} --lr 3e-4") == "--guid address-1 --lr 3e-4"
    assert Redactor({}).text("mask 0x00000004 on 0000:1b:00.0") == "mask 0x00000004 on 0000:1b:00.0"


def test_the_host_name_of_the_inventory_is_looked_for_in_texts():
    redact = Redactor({})
    redact(Inventory(1.0, 2.0, hostname="aurora-gpu17"))
    assert redact(Missing("no answer from Aurora-gpu17")) == Missing("no answer from node-1")


@pytest.mark.parametrize(
    "text",
    [
        "driver error 999",
        "implausible value 18446744073709551615",
        "0000:1B:00.0 and 00000000:86:00.0",
        "12.570.86.15",
        "GPU is lost",
        "FFFFFFFF:FF:FF.0",
        "took 3.5 s at 14:02:11",
    ],
)
def test_plain_words_stay(text):
    assert Redactor({"lost-node": "node-", "x": "user-", "root": "user-"})(Missing(text)) == Missing(text)


def test_words_of_ours_stay_whatever_a_user_is_called():
    tick = Tick(1.0, 2.0, 1.0, "running", (), "running late")
    assert Redactor({"running": "user-"})(tick) == Tick(1.0, 2.0, 1.0, "running", (), "user-1 late")


def test_gpus_are_called_the_same_wherever_they_are_listed():
    redact = Redactor({})
    odd = Activity("torchrun:1", (UUID, "not a UUID"))
    gpu = redact(Gpu(0, "not a UUID")).uuid
    assert redact(odd).gpus == (redact(Gpu(1, UUID)).uuid, gpu)
    assert redact.but_gpus(odd) == odd


def test_only_launchers_are_kept_of_the_ancestors():
    ancestors = (Ancestor(7, "torchrun"), Ancestor(6, "launch_project_x.py"), Ancestor(5, "mpirun"))
    found = Redactor({})(Process(8, (), ancestors=ancestors)).ancestors
    assert [a.name for a in found] == ["torchrun", "left out", "mpirun"]
    assert [a.pid for a in found] == [7, 6, 5]


def test_the_key_of_a_finding_is_redacted():
    assert Redactor({})(finding_key("gpu-lost", UUID)) == "gpu-lost/GPU-a1"


def test_users_of_a_domain_are_looked_for_without_it():
    redact = Redactor({})
    assert redact(Process(1, (), user="CORP\\asmith")).user == "user-1"
    redact(Process(1, (), user="jdoe@corp"))
    assert "asmith" not in redact.text("of asmith")
    assert "jdoe" not in redact.text("of jdoe")


def test_the_number_of_a_user_without_a_name_is_not_searched_for():
    redact = Redactor({})
    assert redact(Process(1, (), user="1004")).user == "user-1"
    assert redact.text("took 1004 ms") == "took 1004 ms"


def test_what_has_nothing_to_hide_is_not_copied():
    redact, reading = Redactor(NAMES), Reading(None, 1.0, 1.1, 2.0, Host(Missing("timed out"), 1, 2))
    assert redact(reading) is reading
    gauges = Reading(UUID, 1.0, 1.1, 2.0, Gauges(99.0))
    assert redact(gauges).data is gauges.data
    counters = Reading(
        UUID, 1.0, 1.1, 2.0, LinkCounters(Counter.DATA, Scope.LINK, (1, Missing("down")), (1, 2))
    )
    assert redact(counters).data is counters.data


def test_the_names_of_this_machine(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "aurora-gpu17.acme.example")
    monkeypatch.setenv("SUDO_USER", "jdoe")
    names = local_names()
    assert names["aurora-gpu17.acme.example"] == names["aurora-gpu17"] == "node-"
    assert names["acme.example"] == "domain-"
    assert names["jdoe"] == "user-"


@pytest.mark.parametrize("flags", [[], ["--no-redact"]])
def test_a_recording_keeps_uuids_only_on_request(tmp_path, capsys, flags):
    file = tmp_path / "node.rec"
    assert main(["--demo", "hgx-a100-4", "--json", "--interval", "0.2", "--record", str(file), *flags]) == 0
    uuid = json.loads(capsys.readouterr().out)["gpus"][0]["uuid"]
    assert (uuid.encode() in file.read_bytes()) is bool(flags)
    assert main(["--replay", str(file), "--json"]) == 0
    assert (json.loads(capsys.readouterr().out)["gpus"][0]["uuid"] == uuid) is bool(flags)
