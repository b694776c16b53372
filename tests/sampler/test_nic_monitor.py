"""NICs of a tree are in the inventory and read once a second; a NIC that is plugged or pulled is reported."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace

import pytest

from nvltop.host.nics import NicTable
from nvltop.model import Gpu, Inventory, NicPorts, Reading, known
from nvltop.sampler import schedule
from nvltop.sampler.nic_monitor import NicMonitor
from nvltop.sampler.task_threads import TaskThreads
from tests.sysfs import Tree

BRIDGES = ("pci0000:15", "0000:15:01.0", "0000:16:00.0")
PATIENT_S = 10.0


@pytest.fixture
def watch(tmp_path, monkeypatch):
    tree = Tree(tmp_path / "sys")
    tree.rdma("mlx5_0", tree.pci("0000:18:00.0", (*BRIDGES, "0000:17:00.0")))
    tree.pci("0000:1b:00.0", (*BRIDGES, "0000:17:01.0"))
    monkeypatch.setattr(schedule, "FIRST_NICS_S", 0.02)
    monkeypatch.setattr(schedule, "NICS_S", 0.02)
    sent: queue.Queue[Inventory | Reading] = queue.Queue()
    stop = threading.Event()
    watch = NicMonitor(NicTable(tree.root), sent.put)

    def send(*items) -> None:
        for item in items:
            sent.put(item)

    run = TaskThreads(send, stop).run_alone
    thread = threading.Thread(target=lambda: run(watch.task()), daemon=True)
    yield SimpleNamespace(tree=tree, send=watch.send, sent=sent, start=thread.start)
    stop.set()
    if thread.ident:
        thread.join(PATIENT_S)


def first(sent, kind):
    """Return the next item of a kind."""
    while not isinstance(item := sent.get(timeout=PATIENT_S), kind):
        pass
    return item


def test_the_inventory_has_nics_and_places(watch):
    watch.send(Inventory(1.0, 2.0, gpus=(Gpu(0, "GPU-a", pci_bus_id="00000000:1B:00.0"),)))
    inventory = watch.sent.get_nowait()
    assert known(inventory.nics)
    assert [nic.device for nic in inventory.nics] == ["mlx5_0"]
    assert [place.pci_bus_id for place in inventory.gpu_locations] == ["0000:1b:00.0"]


def test_a_port_that_hangs_does_not_hold_up_the_inventory(watch, monkeypatch):
    inside, let_go = threading.Event(), threading.Event()

    def hang(table, now_s):
        inside.set()
        assert let_go.wait(PATIENT_S)
        return NicPorts(())

    monkeypatch.setattr(NicTable, "read", hang)
    watch.send(Inventory(1.0, 2.0))
    watch.start()
    assert inside.wait(PATIENT_S)
    watch.send(Inventory(3.0, 4.0, gpus=(Gpu(0, "GPU-a"),)))
    inventories = [watch.sent.get_nowait(), watch.sent.get_nowait()]
    assert [item.mono_s for item in inventories] == [1.0, 3.0]
    assert known(inventories[1].nics)
    let_go.set()


def test_a_new_nic_is_reported_at_once(watch):
    watch.send(Inventory(1.0, 2.0))
    assert isinstance(watch.sent.get_nowait(), Inventory)
    watch.start()
    before = first(watch.sent, Reading)
    assert [port.device for port in before.data.ports] == ["mlx5_0"]
    watch.tree.rdma("mlx5_1", watch.tree.pci("0000:28:00.0", ("pci0000:25",)))
    inventory = first(watch.sent, Inventory)
    assert [nic.device for nic in inventory.nics] == ["mlx5_0", "mlx5_1"]
    assert inventory.mono_s > 1.0
    after = first(watch.sent, Reading)
    assert [port.device for port in after.data.ports] == ["mlx5_0", "mlx5_1"]
