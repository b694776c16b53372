"""Which GPU is which after an inventory has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from nvltop.model import NOT_LISTED, Gpu, Inventory, Remote, RemoteKind, known
from nvltop.text import bus_number

MAX_GPUS: Final = 1024
"""Highest number of GPUs in a frame, including GPUs that are no longer listed."""


def keep_identities(new: Inventory, before: Inventory) -> Inventory:
    """Return an inventory in which lost GPUs keep their identity.

    GPUs that can no longer be opened keep their name and UUID, and GPUs that are no longer listed keep
    their rows; without a driver, all do. Links of other GPUs still lead to them. After a loss, the indices
    of the other GPUs may change, so an index identifies a GPU only if no other GPU now has it. A single
    unidentified GPU is the single missing one.
    """
    if new.problem:
        silent = tuple(replace(gpu, problem=new.problem.summary) for gpu in before.gpus)
        return replace(new, gpus=silent, pairs=before.pairs)
    present = {gpu.uuid for gpu in new.gpus}
    missed = {gpu.index: gpu for gpu in before.gpus if gpu.uuid not in present}
    was: dict[int, Gpu] = {}
    for gpu in new.gpus:
        if gpu.problem and gpu.index in missed:
            was[gpu.index] = missed.pop(gpu.index)
    unknown = [gpu.index for gpu in new.gpus if gpu.problem and gpu.index not in was]
    if len(unknown) == 1 and len(missed) == 1:
        was[unknown[0]] = missed.popitem()[1]
        unknown = []
    gpus = [
        replace(was[g.index], index=g.index, problem=g.problem) if g.index in was else g for g in new.gpus
    ]
    if not unknown:
        # Keep the rows of GPUs that are no longer listed, so that their loss is shown.
        gpus += [replace(gpu, problem=NOT_LISTED.reason) for gpu in missed.values()]
    lost = {
        bus: gpu.uuid
        for gpu in gpus
        if gpu.problem and known(gpu.pci_bus_id) and (bus := bus_number(gpu.pci_bus_id))
    }
    return replace(new, gpus=tuple([_with_ends(gpu, lost) for gpu in gpus[:MAX_GPUS]]))


def _with_ends(gpu: Gpu, lost: Mapping[tuple[int, ...], str]) -> Gpu:
    """Return a GPU with the UUIDs of lost GPUs as ends of its links; the driver gives only their bus ids.

    `lost` holds these UUIDs by PCI bus id.
    """
    if not lost or not known(gpu.remotes):
        return gpu
    return replace(gpu, remotes=tuple([_known_end(remote, lost) for remote in gpu.remotes]))


def _known_end(remote: Remote, lost: Mapping[tuple[int, ...], str]) -> Remote:
    if remote.gpu or not known(remote.pci_bus_id):
        return remote
    uuid = lost.get(bus_number(remote.pci_bus_id) or ())
    return replace(remote, kind=RemoteKind.GPU, gpu=uuid) if uuid else remote
