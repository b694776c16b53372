"""The simulated library, called through nvidia-ml-py."""

from __future__ import annotations

import ctypes
import struct

import pynvml
import pytest

from nvltop.nvml import demo_nodes, simulated
from nvltop.nvml.simulated.fields import ENTRY
from nvltop.nvml.simulated.nodes import BUILDERS


@pytest.fixture
def library():
    yield simulated.install("dgx-h100", "training")
    simulated.uninstall()


def test_every_simulated_node_has_a_description():
    assert set(demo_nodes.NODES) == set(BUILDERS)


def test_a_wrong_argument_fails_as_on_the_real_library(library):
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    with pytest.raises(ctypes.ArgumentError):
        # A tuple, because of a stray comma in nvidia-ml-py.
        pynvml.nvmlDeviceGetP2PStatus(handle, handle, pynvml.NVML_P2P_CAPS_INDEX_READ)


def test_an_unknown_function_is_not_found(library):
    with pytest.raises(pynvml.NVMLError_FunctionNotFound):
        pynvml.nvmlDeviceGetC2cModeInfoV(pynvml.nvmlDeviceGetHandleByIndex(0))


def test_an_exception_in_a_callback_is_an_error_and_is_recorded(library):
    library.machine.node = None
    with pytest.raises(pynvml.NVMLError_Unknown):
        pynvml.nvmlDeviceGetNvLinkState(ctypes.c_void_p(0x1000), 0)
    assert library.crashes


def test_links_past_the_last_are_an_invalid_argument(library):
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetNvLinkState(handle, 18)
    assert pynvml.nvmlDeviceGetFieldValues(handle, [(138, 18)])[0].nvmlReturn == 2


def test_no_driver():
    simulated.install("no-driver", "training")
    with pytest.raises(pynvml.NVMLError_DriverNotLoaded):
        pynvml.nvmlInit()
    simulated.uninstall()


def test_field_values_are_laid_out_as_in_pynvml():
    members = ("fieldId", "scopeId", "timestamp", "latencyUsec", "valueType", "nvmlReturn", "value")
    assert ctypes.sizeof(pynvml.c_nvmlFieldValue_t) == ENTRY.size
    letters = ENTRY.format.removeprefix("@")
    assert len(letters) == len(members)
    for i, member in enumerate(members):
        described = getattr(pynvml.c_nvmlFieldValue_t, member)
        # The size up to and including a member, minus the member's size, is its offset.
        size = struct.calcsize(letters[i])
        assert (described.offset, described.size) == (struct.calcsize("@" + letters[: i + 1]) - size, size)
