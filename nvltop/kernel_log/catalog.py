"""Meaning, action and severity of each Xid (docs.nvidia.com/deploy/xid-errors, sheet of 2025-10-29)."""

from __future__ import annotations

from typing import Final

from nvltop.frozen import frozen
from nvltop.kernel_log.xid_actions import (
    COPY_ENGINES,
    DECODERS,
    JPEG_ENGINES,
    NONE,
    OPTICAL_FLOW,
    RESOLUTIONS,
    Resolution,
)
from nvltop.model import Severity

RESET: Final = "Drain the GPU and reset it (`nvidia-smi -r`)"
LOST: Final = "Run nvidia-bug-report.sh, then restart the machine; if it comes back, contact support"
"""The report comes first, because a restart clears what it collects."""
SUPPORT: Final = "; if it comes back, run nvidia-bug-report.sh and contact support"
NVLINK5: Final = (
    "Keep the full Xid line from `dmesg`, it says what failed; reset the GPU, on a rack check cable and tray"
)
APPLICATION: Final = "Look at the program that ran there; the GPU itself may be fine"
UNPUBLISHED: Final = "NVIDIA publishes no action; keep the full Xid line from `dmesg`"
SEE_CATALOG: Final = "See NVIDIA's XID catalog, and keep the full Xid line from `dmesg`"
UNKNOWN_XID: Final = 999
"""NVML's value for an XID it does not know."""


@frozen
class Xid:
    """One code of the catalog."""

    short: str
    """At most 20 characters, for headlines."""
    meaning: str
    action: str
    severity: Severity
    nvlink: bool = False


def _nvlink(short: str, meaning: str, action: str = NVLINK5, severity: Severity = Severity.CRITICAL) -> Xid:
    return Xid(short, meaning, action, severity, nvlink=True)


def _engine(name: str) -> Xid:
    return Xid(f"{name} error", f"error of the {name} engine", APPLICATION + SUPPORT, Severity.INFO)


def _unpublished(short: str, meaning: str, severity: Severity = Severity.NOTICE, nvlink: bool = False) -> Xid:
    return Xid(short, meaning, UNPUBLISHED, severity, nvlink)


XIDS: Final[dict[int, Xid]] = {
    **dict.fromkeys(COPY_ENGINES, _engine("copy")),
    **dict.fromkeys(DECODERS, _engine("video decoder")),
    **dict.fromkeys(JPEG_ENGINES, _engine("JPEG decoder")),
    **dict.fromkeys(OPTICAL_FLOW, _engine("optical flow")),
    8: Xid("GPU stopped", "the GPU stopped processing", APPLICATION + SUPPORT, Severity.INFO),
    11: Xid("bad push buffer", "invalid or corrupted push buffer", APPLICATION, Severity.INFO),
    25: Xid("bad push buffer", "invalid push buffer", APPLICATION, Severity.INFO),
    37: Xid("firmware method", "the driver's firmware met an unknown request", APPLICATION, Severity.INFO),
    38: Xid(
        "firmware watchdog",
        "a watchdog of the driver's firmware ran out",
        "Nothing now" + SUPPORT,
        Severity.INFO,
    ),
    44: Xid(
        "context switch", "graphics fault during a context switch", "Nothing now" + SUPPORT, Severity.INFO
    ),
    46: Xid("GPU stopped", "the GPU stopped processing", RESET + SUPPORT, Severity.CRITICAL),
    54: Xid(
        "no auxiliary power",
        "auxiliary power is not connected",
        "Check the power cables" + SUPPORT,
        Severity.CRITICAL,
    ),
    60: Xid("video processor", "exception of the video processor", APPLICATION, Severity.INFO),
    62: Xid("controller halted", "an internal microcontroller halted", RESET + SUPPORT, Severity.CRITICAL),
    66: Xid(
        "illegal access",
        "illegal access by the driver",
        "Nothing now; look for a newer driver",
        Severity.INFO,
    ),
    67: Xid("illegal access", "illegal access by the driver", "Nothing now" + SUPPORT, Severity.INFO),
    69: Xid("graphics class", "graphics engine class error", APPLICATION, Severity.INFO),
    78: Xid(
        "vGPU start", "a vGPU could not be started", "Update the driver and the firmware", Severity.WARNING
    ),
    80: Xid("corrupted data", "corrupted data was sent to the GPU", APPLICATION, Severity.INFO),
    93: Xid(
        "InfoROM wear",
        "the InfoROM was written more often than planned",
        "Nothing now" + SUPPORT,
        Severity.INFO,
    ),
    106: Xid("test message", "test message of the management bus", "Nothing now", Severity.INFO),
    107: Xid("test message", "test message of the management bus", "Nothing now", Severity.INFO),
    141: Xid("fast path error", "error of the CUDA fast path", "Nothing now" + SUPPORT, Severity.INFO),
    142: _engine("video encoder"),
    151: Xid(
        "key rotation", "key rotation failed", "Restart the virtual machine" + SUPPORT, Severity.WARNING
    ),
    152: Xid("DLA SMMU", "address translation error of the DLA", "Nothing now" + SUPPORT, Severity.INFO),
    153: Xid("DLA timeout", "timeout of the DLA", "Nothing now" + SUPPORT, Severity.INFO),
    13: Xid("graphics exception", "graphics engine exception", APPLICATION, Severity.INFO),
    31: Xid("page fault", "GPU memory page fault", APPLICATION, Severity.INFO),
    32: Xid("bad push buffer", "invalid or corrupted push buffer", APPLICATION, Severity.INFO),
    43: Xid("work stopped", "a program's work on the GPU was stopped", APPLICATION, Severity.INFO),
    45: Xid(
        "work torn down",
        "a process's GPU work was torn down, usually because of another fault",
        "Follow the other Xids near it, which say why",
        Severity.INFO,
    ),
    48: Xid("double-bit ECC", "double-bit memory error", RESET + SUPPORT, Severity.CRITICAL),
    63: Xid(
        "row remap pending",
        "a memory row is to be replaced",
        "Nothing now; the repair ends with the next reset",
        Severity.INFO,
    ),
    64: Xid("row remap failed", "a memory row could not be replaced", RESET + SUPPORT, Severity.CRITICAL),
    74: _nvlink(
        "NVLink error",
        "NVLink error, here or at the other end",
        "Keep the full Xid line from `dmesg`; drain both ends and reset them" + SUPPORT,
    ),
    79: Xid("fell off the bus", "the GPU has fallen off the bus", LOST, Severity.CRITICAL),
    92: Xid(
        "many ECC errors",
        "many single-bit memory errors",
        "Nothing now; contact support if it goes on",
        Severity.INFO,
    ),
    94: Xid(
        "contained ECC error",
        "memory error, contained to one program",
        "Restart that program",
        Severity.WARNING,
    ),
    95: Xid("uncontained ECC", "memory error that could not be contained", RESET, Severity.CRITICAL),
    109: Xid("ctx switch timeout", "a context switch timed out", RESET, Severity.WARNING),
    110: Xid("security fault", "security fault", RESET, Severity.WARNING),
    119: Xid(
        "GSP timeout",
        "the GPU's firmware (GSP) did not answer",
        RESET + "; look for a newer driver",
        Severity.CRITICAL,
    ),
    120: Xid(
        "GSP error",
        "error in the GPU's firmware (GSP)",
        RESET + "; look for a newer driver",
        Severity.CRITICAL,
    ),
    121: Xid(
        "C2C link error",
        "error on the chip-to-chip link (C2C)",
        "Nothing now; contact support if it goes on",
        Severity.WARNING,
    ),
    136: _nvlink(
        "link training", "a link could not be trained", RESET + ", then check the signal of that link"
    ),
    137: _nvlink(
        "illegal peer access",
        "a program made a forbidden access to a peer over NVLink",
        APPLICATION,
        Severity.INFO,
    ),
    140: Xid("unrecovered ECC", "memory error without recovery", RESET, Severity.CRITICAL),
    143: Xid("GPU init failed", "the GPU could not be initialised", RESET, Severity.CRITICAL),
    144: _nvlink("NVLink SAW", "NVLink 5 fault (SAW)"),
    145: _nvlink("NVLink RLW", "NVLink 5 fault (RLW)"),
    146: _nvlink("NVLink TLW", "NVLink 5 fault (TLW)"),
    147: _nvlink("NVLink TREX", "NVLink 5 fault (TREX)"),
    148: _nvlink("NVLink NVLPW_CTRL", "NVLink 5 fault (NVLPW_CTRL)"),
    149: _nvlink("NVLink NETIR", "NVLink 5 link fault (NETIR)"),
    150: _nvlink("NVLink MSE", "NVLink 5 fault (MSE)"),
    154: Xid(
        "recovery action",
        "the driver changed the recovery action",
        "See the recovery action of this GPU",
        Severity.INFO,
    ),
    155: _nvlink(
        "NVLink, software", "NVLink fault defined by software", RESET + "; look at the program that ran there"
    ),
    156: Xid("resource retired", "a resource was taken out of use", "Nothing now", Severity.INFO),
    157: Xid(
        "retirement failed", "a resource could not be taken out of use", RESET + SUPPORT, Severity.WARNING
    ),
    158: Xid("fatal GPU timeout", "fatal timeout of the GPU", RESET, Severity.WARNING),
    159: Xid(
        "CHI non-data error",
        "error without data on the link to the CPU (CHI)",
        "Check the lines of the UVM driver near it; report it if it is alone",
        Severity.WARNING,
    ),
    160: Xid(
        "channel retired",
        "a memory channel was taken out of use",
        "Nothing now; look for a newer driver",
        Severity.INFO,
    ),
    161: Xid(
        "channel retirement",
        "a memory channel could not be taken out of use",
        "Nothing now; look for a newer driver",
        Severity.WARNING,
    ),
    162: _unpublished("power smoothing on", "the power smoothing circuit is in use again", Severity.INFO),
    163: _unpublished("power smoothing off", "the power smoothing circuit is out of use"),
    164: _unpublished("power smoothing", "the power smoothing circuit has little life left"),
    165: _unpublished("power smoothing", "the power smoothing circuit has no life left"),
    166: _unpublished(
        "NVLink encryption",
        "traffic came over a link before its encryption was set up",
        Severity.WARNING,
        nvlink=True,
    ),
    167: _unpublished("PCIe fatal timeout", "fatal timeout of PCIe", Severity.WARNING),
    168: _unpublished("less GPU memory", "errors in the write-protected memory region", Severity.WARNING),
    169: _unpublished("SEC2 halted", "an internal microcontroller (SEC2) halted", Severity.WARNING),
    170: _unpublished(
        "NVLink security",
        "security interrupt of a link in confidential computing mode",
        Severity.WARNING,
        nvlink=True,
    ),
    171: _unpublished(
        "DRAM error", "uncorrectable memory (DRAM) error, in addition to Xid 48", Severity.WARNING
    ),
    172: _unpublished(
        "SRAM error", "uncorrectable cache (SRAM) error, in addition to Xid 48", Severity.WARNING
    ),
    173: _unpublished("C2C link failed", "fatal failure of the chip-to-chip link (C2C)", Severity.WARNING),
    174: _unpublished("process killed", "a process was ended without further message", Severity.INFO),
    175: _unpublished("memory subsystem", "error of the memory subsystem", Severity.WARNING),
    176: _unpublished("PCIe corrected", "many corrected errors of PCIe"),
    185: _unpublished("memory sparing", "a spare took the place of a part of the memory"),
}
"""Xids by code. Of 173 to 176 and 185 only the names are published (nverror.h 595, R620 release notes)."""

SOURCES: Final = frozenset({48, 64, 79, 95, 119, 120, 136, 140, 143, 149})
"""Codes that the faulty GPU itself logs."""
PEER_ACCESS: Final = 137
UNDECIDED: Final = frozenset({144, 145, 146, 147, 148, 150})
"""NVLink 5 codes whose published rows are mostly non-fatal. The code alone does not show whether the GPU is
damaged; the recovery action, link states and counters do."""
ECHOES: Final = frozenset({45, 74, 137, 144, 145, 146, 147, 148, 150})
"""Codes that the peers of a faulty GPU log (marin-community/marin issue 9086)."""


def lookup(code: int) -> Xid:
    """Return what NVIDIA publishes about a code; an unpublished code is described as such, never guessed."""
    if code == UNKNOWN_XID:
        return Xid("unknown to NVML", "an Xid that NVML does not know", SEE_CATALOG, Severity.NOTICE)
    return XIDS.get(code) or Xid(
        "not in nvltop's list", "not in this version's list", SEE_CATALOG, Severity.NOTICE
    )


def resolution(code: int) -> Resolution:
    """Return NVIDIA's resolution buckets for a code, `NONE` where the sheet has none."""
    return RESOLUTIONS.get(code, NONE)
