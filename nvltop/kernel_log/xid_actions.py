"""NVIDIA's published resolutions for Xids: what to do at once, and what to investigate afterwards.

Source: the Xid catalog sheet of docs.nvidia.com/deploy/xid-errors, as of `SHEET_DATE`. Names of codes that
the sheet lacks come from nverror.h of the open kernel modules 595.45 and the R620 release notes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

SHEET_DATE: Final = "2025-10-29"
"""Date of the catalog sheet."""


class Resolution(NamedTuple):
    """NVIDIA's resolution buckets for one code; an empty string where the sheet names none."""

    immediate: str
    investigate: str = ""

    def __str__(self) -> str:
        """Return both buckets as the sheet spells them."""
        return ", then ".join(filter(None, self)) or "none published"


NONE: Final = Resolution("")


def _each(codes: Iterable[int], immediate: str, investigate: str = "") -> dict[int, Resolution]:
    return dict.fromkeys(codes, Resolution(immediate, investigate))


COPY_ENGINES: Final = (39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136))
DECODERS: Final = (68, 83, 84, 88, 89, 96, 97, 98)
JPEG_ENGINES: Final = (82, *range(99, 106))
OPTICAL_FLOW: Final = (86, 139)

RESOLUTIONS: Final[dict[int, Resolution]] = {
    **_each((*COPY_ENGINES, *DECODERS, *JPEG_ENGINES, *OPTICAL_FLOW, 8), "RESTART_APP", "CONTACT_SUPPORT"),
    **_each((11, 25, 32, 69, 80), "RESTART_APP", "CHECK_APP/CUDA"),
    13: Resolution("RESTART_APP", "WORKFLOW_XID_13"),
    31: Resolution("RESTART_APP", "WORKFLOW_XID_31"),
    60: Resolution("RESTART_APP", "INVESTIGATE_SW"),
    94: Resolution("RESTART_APP", "IGNORE (sympathetic)"),
    **_each((46, 62, 64, 109, 140, 143, 158), "RESET_GPU", "CONTACT_SUPPORT"),
    **_each((110, 119, 120), "RESET_GPU", "INVESTIGATE_SW"),
    95: Resolution("RESET_GPU", "IGNORE (sympathetic)"),
    136: Resolution("RESET_GPU", "INVESTIGATE_LINK_SI"),
    155: Resolution("RESET_GPU", "INVESTIGATE_SW_USER"),
    156: Resolution("RESET_GPU", "IGNORE"),
    **_each((38, 43, 44, 67, 92, 93, 121, 141, 152, 153, 157), "IGNORE", "CONTACT_SUPPORT"),
    **_each((66, 160, 161), "IGNORE", "INVESTIGATE_SW"),
    **_each((63, 106, 107), "IGNORE", "IGNORE"),
    37: Resolution("IGNORE", "CHECK_APP/CUDA"),
    137: Resolution("IGNORE", "XID_137_FLOW"),
    45: Resolution("WORKFLOW_XID_45", "RESTART_FM if alone, else IGNORE (follow the other Xid)"),
    48: Resolution("WORKFLOW_XID_48", "WORKFLOW_XID_48"),
    74: Resolution("WORKFLOW_NVLINK_ERR", "CONTACT_SUPPORT"),
    **_each(range(144, 151), "WORKFLOW_NVLINK5_ERR", "WORKFLOW_NVLINK5_ERR"),
    54: Resolution("CHECK_MECHANICALS", "CONTACT_SUPPORT"),
    78: Resolution("UPDATE_SWFW", "UPDATE_SWFW"),
    79: Resolution("RESTART_BM", "CONTACT_SUPPORT"),
    142: Resolution("CONTACT_SUPPORT"),
    151: Resolution("RESTART_VM", "CONTACT_SUPPORT"),
    154: Resolution("XID_154", "informational, about another Xid"),
    159: Resolution("CHECK_UVM", "SYMPATHETIC_REPORT_SOLO"),
}
"""Resolutions by code. A code that is not listed has no published resolution, or is marked as unused."""

STEPS: Final = {
    "RESET_GPU": "Drain the GPU and reset it (`nvidia-smi -r`)",
    "RESTART_APP": "Restart the program that ran there",
    "RESTART_BM": "Restart the machine",
    "RESTART_VM": "Restart the virtual machine",
    "UPDATE_SWFW": "Update the driver and the firmware",
    "CHECK_MECHANICALS": "Check the power cables of the GPU board",
    "CONTACT_SUPPORT": "Run nvidia-bug-report.sh and contact support",
    "CHECK_UVM": "Check the lines of the UVM driver near it",
    "IGNORE": "Nothing at once",
    "XID_154_EVAL": "Follow the recovery action that the driver requests (Xid 154)",
    "INVESTIGATE_LINK_SI": "check the signal of this link",
    "INVESTIGATE_LINK_SI_AND_CABLES": "check the signal and the cables of this link",
    "INVESTIGATE_PEER_DEVICE": "look for the cause at the device on the other end of this link",
    "INVESTIGATE_SW_USER": "check the software that ran there",
    "INVESTIGATE_SW_USER_LINK_SI": "check the software that ran there, then the signal of this link",
    "INVESTIGATE_HOST": "check the host",
    "CHECK_NVLINK_FAILURE_FLOW": "follow NVIDIA's NVLink failure flow",
    "SYMPATHETIC_REPORT_SOLO": "look for another fault that explains it; report it if there is none",
    "REPORT_ISSUE": "report it if it is seen more than once a day",
}
"""Sentences for the buckets: an immediate step starts a sentence, an investigation ends it."""


def in_words(resolution: Resolution) -> str:
    """Return a resolution as one sentence without its period; empty if neither bucket is known."""
    parts = [STEPS[bucket] for bucket in resolution if bucket in STEPS]
    if len(parts) == 2 and resolution.investigate in ("IGNORE", "CONTACT_SUPPORT"):
        return parts[0] if resolution.investigate == "IGNORE" else f"{parts[0]}; {_lower(parts[1])}"
    return "; ".join(parts)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
