"""Traffic between a GPU and the host: PCIe and C2C, from the best source that the board has."""

from __future__ import annotations

import time
from dataclasses import field
from typing import Final, NamedTuple

from nvltop.frozen import mutable
from nvltop.model import NOT_READ, C2cTraffic, Maybe, Missing, PcieTraffic
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.compute import GPM_METRICS as GPM_COMPUTE
from nvltop.nvml.gpm import GpmSpan, GpmStream, mib_to_bytes_per_s
from nvltop.nvml.pcie import PcieReader

GPM_PCIE: Final = (20, 21)
GPM_C2C: Final = (100, 101)
"""GPM metric ids of TX and RX, in MiB/s."""
GPM_METRICS: Final = (*GPM_COMPUTE, *GPM_PCIE, *GPM_C2C)
MAX_GPM_SPAN_S: Final = 60.0
"""Longest time between two GPM samples that are compared, seconds."""
MAX_GPM_SHARE: Final = 0.004
"""Share of the time that GPM samples of this reader may take."""


class HostTraffic(NamedTuple):
    """Result of one reading; None where a value was not read this time."""

    pcie: PcieTraffic | None
    c2c: C2cTraffic | None
    span: Maybe[GpmSpan]
    """GPM metrics, which begin with those of `GPM_COMPUTE`."""
    power_w: Maybe[float]
    """Power at the reading, watts."""


@mutable
class HostTrafficReader:
    """Reader of the PCIe and C2C traffic of one GPU."""

    pcie: PcieReader
    gpm: GpmStream
    """Stream of `GPM_METRICS`."""
    _gpm_cost_s: float = field(default=0.0, init=False)
    """Duration of the last GPM sample, seconds."""
    _gpm_next_s: float = field(default=0.0, init=False)
    _no_c2c: C2cTraffic | None = field(default=None, init=False)
    """What GPM returned for a board without C2C; None if it was something else."""

    def read(self, *, with_activity: bool = True) -> HostTraffic:
        """Read PCIe and C2C throughput: from byte counters, else GPM, else the call that takes 20 ms.

        Without `with_activity` the caller does not use the GPM metrics of `GPM_COMPUTE`.
        """
        counted, power_w = self.pcie.read_counters(), self.pcie.power_w
        if counted and self._no_c2c and not with_activity:
            return HostTraffic(counted, self._no_c2c, NOT_READ, power_w)
        start_s = time.monotonic()
        if start_s < self._gpm_next_s:
            return HostTraffic(counted, None, NOT_READ, power_w)
        span = self.gpm.read(MAX_GPM_SPAN_S)
        last_cost_s, self._gpm_cost_s = self._gpm_cost_s, time.monotonic() - start_s
        # The smaller of two, because a single sample may take long by chance, as the first one does.
        self._gpm_next_s = start_s + min(last_cost_s, self._gpm_cost_s) / MAX_GPM_SHARE
        if isinstance(span, Missing):
            pcie, c2c = PcieTraffic(span, span, "gpm"), C2cTraffic(span, span)
        else:
            tx, rx, c2c_tx, c2c_rx = map(mib_to_bytes_per_s, span.values[len(GPM_COMPUTE) :])
            pcie, c2c = PcieTraffic(tx, rx, "gpm"), C2cTraffic(c2c_tx, c2c_rx)
            self._no_c2c = c2c if c2c_tx in UNSUPPORTED and c2c_rx in UNSUPPORTED else None
        if counted:
            return HostTraffic(counted, c2c, span, power_w)
        if pcie.tx_bytes_per_s in UNSUPPORTED:
            return HostTraffic(self.pcie.measure(start_s), c2c, span, power_w)
        return HostTraffic(pcie, c2c, span, power_w)
