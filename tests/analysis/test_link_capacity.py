"""What the links carry as a share of what they can carry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.link_capacity import NO_LINK_UP, busier_share, pcie_share
from nvltop.model import Gauges, Gpu, GpuFrame, Missing, PcieTraffic, known

RATES = st.one_of(st.just(Missing("timed out")), st.floats(0.0, 1e12))


@given(RATES, RATES, st.one_of(st.just(Missing("not read yet")), st.just(0.0), st.floats(1.0, 1e12)))
def test_the_busier_of_the_known_directions_counts(tx, rx, speed):
    rates = [rate for rate in (tx, rx) if known(rate)]
    found = busier_share(tx, rx, speed)
    if not rates or not known(speed):
        assert isinstance(found, Missing)
    else:
        assert found == (max(rates) / speed if speed else NO_LINK_UP)


@given(RATES, RATES, st.sampled_from([0, 8, 16, Missing("timed out")]))
def test_the_share_of_pcie_is_0_where_it_is_unknown(tx, rx, width):
    g = GpuFrame(Gpu(0, "GPU-0"), pcie=PcieTraffic(tx, rx), gauges=Gauges(pcie_gen=4, pcie_width=width))
    rates = [rate for rate in (tx, rx) if known(rate)]
    assert pcie_share(g) == (max(rates) / (1.969e9 * width) if rates and known(width) and width else 0.0)
