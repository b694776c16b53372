"""The corpus: jobs with a known answer, and the text that each must and must not have.

`python -m tests.analysis.activity.corpus` prints the tables of `nvltop/analysis/activity/README.md`.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nvltop.model import Gauges

from .patterns import Drawn, steps
from .simulated import Job, Node, idle, outcome, spinning, state_of, working

LIMITS = frozenset({"limits"})
PART = frozenset({"limits-part"})
MAY = frozenset({"may-limit"})
HIDDEN = frozenset({"hidden"})
BELOW = frozenset({"below"})
LIGHT = frozenset({"light"})
NOT = frozenset({"below", "light"})
UNCLEAR = frozenset({"unclear"})
DENIALS = ("not the bottleneck", "no bottleneck", "hidden")


def bursts(
    period: float, duty: float, rate: float, seconds: float, jitter: float = 0.01, seed: int = 1,
    end: float | None = None, base: float = 0.0, skew: float = 0.0, rest: float = 0.0,
) -> Drawn:  # fmt: skip
    """Return traffic with one burst at the start of each step; `rest` is the rate during the rest."""
    flow = Drawn(base)
    for t, length, _ in steps(period, seconds + period, jitter, seed):
        if end is not None and t >= end:
            break
        flow.burst(t + skew, 0.999 * duty * length, rate)
        if rest:
            flow.burst(t + skew + duty * length, 0.998 * (1 - duty) * length, rest)
    return flow


def flat(rate: float) -> Drawn:
    """Return traffic of a constant rate."""
    return Drawn(rate)


def computing(
    period: float, duty: float, during: float, otherwise: float, seconds: float, seed: int = 1
) -> Drawn:
    """Return the tensor activity that belongs to `bursts` with the same seed."""
    flow = Drawn()
    for t, length, _ in steps(period, seconds + period, 0.01, seed):
        flow.burst(t, 0.999 * duty * length, during)
        flow.burst(t + duty * length, 0.998 * (1 - duty) * length, otherwise)
    return flow


def irregular(mean_gap: float, rate: float, seconds: float, seed: int, longest: float = 2.0) -> Drawn:
    """Return the bursts of an inference server."""
    rng, flow, t = random.Random(seed), Drawn(), 0.3
    while t < seconds:
        length = rng.uniform(0.9, longest)
        flow.burst(t, length, rate)
        t += length + rng.expovariate(1 / mean_gap) + 0.3
    return flow


def hot(gpu: int, t: float) -> Gauges:
    return replace(working(gpu, t), event_reasons=0x40, sm_clock_mhz=1100.0) if gpu == 2 else working(gpu, t)


def capped(gpu: int, t: float) -> Gauges:
    return replace(working(gpu, t), event_reasons=0x4)


def waiting_for_data(gpu: int, t: float) -> Gauges:
    return replace(working(gpu, t), util_percent=100.0 if t % 5 < 2.5 else 0.0)


def hanging(at: float, odd: int | None = 2):
    def gauges(gpu: int, t: float) -> Gauges:
        if t < at:
            return working(gpu, t)
        resting = replace(idle(gpu, t), memory_used_bytes=60 << 30)
        return resting if gpu == odd else spinning(gpu, t)

    return gauges


def ring(count: int):
    """Return a function that sends the traffic of each GPU to its neighbours only."""
    return lambda gpu: {gpu ^ 1: 1.0}


def four(flow: Drawn, count: int = 4) -> Sequence[Drawn]:
    return [flow] * count


def named() -> Iterator[Job]:
    """Yield the corpus."""
    yield from _at_the_limit()
    yield from _in_bursts()
    yield from _overlap()
    yield from _below()
    yield from _too_short()
    yield from _slow_drivers()
    yield from _topology()
    yield from _several()
    yield from _stopped()
    yield from _others()


def _at_the_limit() -> Iterator[Job]:
    for on, rate in (("h100", 0.98), ("h100", 0.93), ("b200", 0.97), ("a100", 1.0), ("a100-16", 0.95)):
        count = 16 if on == "a100-16" else 4
        yield Job(f"ring without a pause, {rate:.0%}, {on}", "constant", on, four(flat(rate), count), LIMITS,
                  seconds=40.0, never=DENIALS, says=("100%",))  # fmt: skip
    yield Job("NVLS all-reduce without a pause, h100", "NVLS", "h100", four(flat(0.80)), MAY,
              seconds=40.0, never=DENIALS, says=("NVLS", "80% of NCCL max"))  # fmt: skip
    yield Job("NVLS all-reduce without a pause, b200", "NVLS", "b200", four(flat(0.69)), MAY,
              seconds=40.0, never=DENIALS, says=("NVLS",))  # fmt: skip
    yield Job("constant 88 % of NCCL max, a100", "constant", "a100", four(flat(0.88)), MAY,
              seconds=40.0, never=DENIALS)  # fmt: skip
    yield Job("ring, 5 s steps, 85 % at the limit", "bursts", "h100", four(bursts(5.0, 0.85, 0.97, 75)),
              LIMITS, never=DENIALS)  # fmt: skip
    yield Job("ring, 2 s steps, 90 % at the limit", "bursts", "h100", four(bursts(2.0, 0.9, 0.97, 75)),
              LIMITS, never=DENIALS)  # fmt: skip


def _in_bursts() -> Iterator[Job]:
    for step, duty in ((2.0, 0.6), (2.0, 0.3), (4.0, 0.5), (8.0, 0.2), (20.0, 0.6)):
        seconds = 90.0 if step == 20.0 else 75.0
        yield Job(f"ring, {step:g} s steps, {duty:.0%} at the limit", "bursts", "h100",
                  four(bursts(step, duty, 0.96, seconds)), MAY, seconds=seconds, never=DENIALS,
                  says=("between",))  # fmt: skip
    yield Job("ring, 40 s steps, 50 % at the limit", "bursts", "a100", four(bursts(40.0, 0.5, 0.96, 150)),
              MAY, seconds=150.0, never=DENIALS)  # fmt: skip
    yield Job("ring, 4 s steps read each second", "bursts", "h100", four(bursts(4.0, 0.75, 0.98, 75)),
              MAY, interval_s=1.0, never=DENIALS)  # fmt: skip
    yield Job("NVLS, 2 s steps, 60 %", "NVLS", "h100", four(bursts(2.0, 0.6, 0.80, 75)), MAY,
              never=DENIALS, says=("NVLS",))  # fmt: skip
    yield Job("NVLS, 3 s steps, 50 %, b200", "NVLS", "b200", four(bursts(3.0, 0.5, 0.69, 75)), MAY,
              never=DENIALS, says=("NVLS",))  # fmt: skip
    yield Job("broadcasts: one GPU sends, the others receive", "one direction", "h100",
              [bursts(3.0, 0.6, 0.96, 75), *[flat(0.0)] * 3], MAY,
              received=[flat(0.0), *[bursts(3.0, 0.6, 0.96, 75)] * 3], never=DENIALS)  # fmt: skip
    yield Job("parameter server: one GPU receives from all", "one direction", "a100",
              four(bursts(2.0, 0.6, 0.32, 75)), MAY,
              received=[bursts(2.0, 0.6, 0.96, 75), *[bursts(2.0, 0.6, 0.32, 75, seed=1)] * 3],
              says=("GPU 0",), never=DENIALS)  # fmt: skip
    yield Job("KV-cache transfers, TX only", "one direction", "h100",
              [irregular(2.0, 0.97, 75, 5), *[flat(0.0)] * 3], MAY,
              received=[flat(0.0), irregular(2.0, 0.97, 75, 5), flat(0.0), flat(0.0)],
              never=DENIALS)  # fmt: skip


def _overlap() -> Iterator[Job]:
    for step, duty, during, after, right, words in (
        (2.0, 0.6, 0.04, 0.71, LIMITS, ("tensor cores", "exposed")),
        (4.0, 0.7, 0.02, 0.60, LIMITS, ("exposed",)),
        (2.0, 0.3, 0.03, 0.65, PART, ("exposed",)),
        (3.0, 0.25, 0.05, 0.5, PART, ()),
        (2.0, 0.6, 0.62, 0.64, HIDDEN, ("tensor cores",)),
        (5.0, 0.5, 0.55, 0.55, HIDDEN, ()),
        (2.0, 0.6, 0.35, 0.70, PART, ("50% exposed",)),
    ):
        yield Job(f"ring, {step:g} s, {duty:.0%}, tensor cores {during:.0%} / {after:.0%}", "overlap",
                  "h100", four(bursts(step, duty, 0.96, 75)), right,
                  compute=four(computing(step, duty, during, after, 75)), says=words)  # fmt: skip
    yield Job("NVLS, exposed", "overlap", "h100", four(bursts(2.0, 0.6, 0.8, 75)), LIMITS,
              compute=four(computing(2.0, 0.6, 0.03, 0.7, 75)), never=DENIALS)  # fmt: skip
    yield Job("short bursts that computing hides", "overlap", "h100", four(bursts(0.9, 0.4, 0.96, 75)),
              HIDDEN | MAY, compute=four(computing(0.9, 0.4, 0.6, 0.6, 75)))  # fmt: skip


def _below() -> Iterator[Job]:
    for step, duty, rate in ((2.0, 0.6, 0.4), (4.0, 0.7, 0.6), (3.0, 0.5, 0.25), (6.0, 0.4, 0.7)):
        yield Job(f"{rate:.0%} of NCCL max, {step:g} s steps, {duty:.0%}", "below the limit", "h100",
                  four(bursts(step, duty, rate, 75)), BELOW,
                  never=("limits the job", "may limit"))  # fmt: skip
    yield Job("75 % of NCCL max, a100", "below the limit", "a100", four(bursts(4.0, 0.6, 0.75, 75)), BELOW,
              never=("may limit",))  # fmt: skip
    yield Job("constant half of NCCL max", "below the limit", "a100", four(flat(0.5)), BELOW, seconds=40.0,
              never=("not the bottleneck",))  # fmt: skip
    for rate in (0.01, 0.05, 0.1):
        yield Job(f"constant {rate:.0%} of NCCL max", "light", "h100", four(flat(rate)), LIGHT,
                  seconds=40.0)  # fmt: skip
    yield Job("5 % of each 4 s step at the limit", "light", "h100", four(bursts(4.0, 0.05, 0.96, 75)),
              LIGHT)  # fmt: skip
    yield Job("a burst of 1 s every 20 s", "light", "h100", four(bursts(20.0, 0.05, 0.96, 130)), LIGHT,
              seconds=130.0)  # fmt: skip


def _too_short() -> Iterator[Job]:
    for period, duty in ((0.3, 0.6), (0.17, 0.5), (0.4, 0.4), (0.11, 0.7)):
        yield Job(f"bursts of {period * duty * 1e3:.0f} ms every {period:g} s", "shorter than a reading",
                  "h100", four(bursts(period, duty, 0.97, 60, jitter=0.05)), UNCLEAR, seconds=60.0,
                  never=(*DENIALS, "limits the job"), says=("% to ",))  # fmt: skip
    yield Job("2 s steps read each second", "shorter than a reading", "h100",
              four(bursts(2.03, 0.45, 0.96, 75)), UNCLEAR | MAY, interval_s=1.0, never=DENIALS)  # fmt: skip


def _slow_drivers() -> Iterator[Job]:
    for every, step, duty, rate, right in (
        (0.5, 4.0, 0.6, 0.97, MAY), (1.0, 8.0, 0.6, 0.97, MAY), (0.2, 2.0, 0.6, 0.97, MAY),
        (0.5, 6.0, 0.6, 0.4, BELOW),
    ):  # fmt: skip
        yield Job(f"counters refreshed every {every:g} s, {step:g} s, {rate:.0%}", "slow driver", "h100",
                  four(bursts(step, duty, rate, 75)), right, refresh_s=every)  # fmt: skip
    yield Job("counters refreshed every 0.5 s, constant", "slow driver", "a100", four(flat(0.97)), LIMITS,
              refresh_s=0.5, seconds=40.0, never=DENIALS)  # fmt: skip


def _topology() -> Iterator[Job]:
    yield Job("ring over 4 of 12 straight links, constant", "direct links", "a100-direct", four(flat(0.97)),
              LIMITS, toward=ring(4), seconds=40.0, never=DENIALS)  # fmt: skip
    yield Job("ring over 4 of 12 straight links, bursts", "direct links", "a100-direct",
              four(bursts(3.0, 0.6, 0.97, 75)), MAY, toward=ring(4), never=DENIALS)  # fmt: skip
    yield Job("all to all over straight links at the limit", "direct links", "a100-direct",
              four(flat(0.96)), LIMITS, seconds=40.0, never=DENIALS)  # fmt: skip
    yield Job("all to all over straight links at 40 %", "direct links", "a100-direct",
              four(bursts(3.0, 0.6, 0.4, 75)), BELOW)  # fmt: skip
    yield Job("one pair of a cube mesh at its limit", "direct links", "v100",
              [flat(0.96) if g in (0, 3) else flat(0.1) for g in range(8)], LIMITS,
              toward=lambda gpu: {3: 1.0} if gpu == 0 else {0: 1.0} if gpu == 3 else {gpu ^ 1: 1.0},
              seconds=40.0, says=("GPU",), never=DENIALS)  # fmt: skip
    yield Job("a bridge at its limit", "direct links", "pair", four(bursts(2.0, 0.6, 0.97, 75), 2), MAY,
              never=DENIALS)  # fmt: skip
    yield Job("a bridge at a third", "direct links", "pair", four(bursts(2.0, 0.6, 0.33, 75), 2), BELOW)


def _several() -> Iterator[Job]:
    busy, none = flat(0.97), flat(0.0)
    yield Job("one job saturated, one idle", "two jobs", "h100", [busy, busy, none, none], LIMITS,
              jobs=((0, 1), (2, 3)), gauges=lambda g, t: working(g, t) if g < 2 else idle(g, t),
              seconds=40.0, never=("+1 job",))  # fmt: skip
    yield Job("one job saturated, one light", "two jobs", "h100", [busy, busy, flat(0.03), flat(0.03)],
              LIMITS, jobs=((0, 1), (2, 3)), seconds=40.0, says=("(+1 job)",))  # fmt: skip
    yield Job("the light one of the two", "two jobs", "h100", [busy, busy, flat(0.03), flat(0.03)],
              LIGHT, jobs=((0, 1), (2, 3)), seconds=40.0, about=2)  # fmt: skip
    a, b = bursts(2.0, 0.6, 0.96, 75), bursts(3.1, 0.5, 0.4, 75)
    yield Job("two jobs with different steps", "two jobs", "h100", [a, a, b, b], MAY,
              jobs=((0, 1), (2, 3)), says=("2 s", "(+1 job)"))  # fmt: skip
    yield Job("inference, irregular bursts at the limit", "inference", "h100",
              four(irregular(2.0, 0.97, 75, 7)), MAY, never=DENIALS)  # fmt: skip
    yield Job("inference, irregular bursts at 30 %", "inference", "h100", four(irregular(2.0, 0.3, 75, 8)),
              NOT)  # fmt: skip
    yield Job("tensor-parallel inference, flat 8 %", "inference", "h100", four(flat(0.08)), LIGHT,
              seconds=40.0)  # fmt: skip


def _stopped() -> Iterator[Job]:
    silent = frozenset({"silent"})
    for polling, interval in ((0.0, 0.25), (0.033, 0.25), (0.0, 1.0), (0.033, 1.0)):
        yield Job(f"hang, polling at {polling:.1%}, read every {interval:g} s", "stopped", "h100",
                  four(bursts(2.0, 0.6, 0.96, 75, end=50.0, base=polling)), silent, gauges=hanging(50.0),
                  interval_s=interval, seconds=66.0, says=("No NVLink traffic for",))  # fmt: skip
    yield Job("hang of a job with 6 s steps", "stopped", "a100",
              four(bursts(6.0, 0.5, 0.96, 75, end=60.0)), silent, gauges=hanging(60.0, None), seconds=90.0,
              says=("step was 6 s",))  # fmt: skip
    yield Job("not yet silent: 6 s after the last traffic of 2 s steps", "stopped", "h100",
              four(bursts(2.0, 0.6, 0.96, 75, end=60.0)), MAY, gauges=hanging(60.0), seconds=67.0,
              says=("60% of each 2 s step",))  # fmt: skip
    yield Job("the job has ended", "stopped", "h100", four(bursts(2.0, 0.6, 0.96, 75, end=40.0)),
              frozenset({"idle"}), gauges=lambda g, t: working(g, t) if t < 41 else idle(g, t),
              never=("may limit",))  # fmt: skip
    yield Job("nothing runs", "stopped", "h100", four(flat(0.0)), frozenset({"idle"}), gauges=idle,
              seconds=30.0)  # fmt: skip
    yield Job("GPUs compute and send nothing", "stopped", "h100", four(flat(0.0)),
              frozenset({"no-traffic"}), seconds=30.0)  # fmt: skip


def _others() -> Iterator[Job]:
    light = bursts(2.0, 0.3, 0.3, 75)
    yield Job("PCIe at its limit, NVLink light", "another limit", "h100", four(light), NOT,
              pcie=lambda g, t: 57e9, says=("PCIe", "57 of 63"), never=("no bottleneck",))  # fmt: skip
    yield Job("over PCIe only", "another limit", "h100", four(flat(0.0)), frozenset({"no-traffic"}),
              pcie=lambda g, t: 40e9, says=("PCIe",), seconds=30.0)  # fmt: skip
    yield Job("heat slows one GPU", "another limit", "h100", four(light), NOT, gauges=hot,
              says=("GPU 2 is slowed by heat",))  # fmt: skip
    yield Job("heat slows one GPU, NVLink at its limit too", "another limit", "h100",
              four(bursts(2.0, 0.6, 0.96, 75)), MAY, gauges=hot, says=("slowed by heat",))  # fmt: skip
    yield Job("the power limit", "another limit", "h100", four(light), NOT, gauges=capped,
              says=("power limit",))  # fmt: skip
    yield Job("the host: GPUs idle together", "another limit", "h100", four(bursts(5.0, 0.2, 0.4, 75)), NOT,
              gauges=waiting_for_data, says=("idle together",))  # fmt: skip
    late = [bursts(3.0, 0.5, 0.3, 75, skew=0.6 if g == 1 else 0.0) for g in range(4)]
    yield Job("one rank is late", "another limit", "h100", late, NOT, says=("waits for GPU 1",),
              gauges=lambda g, t: replace(working(g, t), sm_clock_mhz=1200.0 if g == 1 else 1700.0),
              )  # fmt: skip


def drawn(count: int = 200, seed: int = 731) -> Iterator[Job]:
    """Yield random jobs, whose true answer follows from their parameters.

    They were first drawn after the thresholds had been fixed.
    """
    rng = random.Random(seed)
    makers = [
        _draw_constant, _draw_nvls, _draw_bursts, _draw_bursts, _draw_overlap, _draw_overlap, _draw_below,
        _draw_below, _draw_light, _draw_short, _draw_direct, _draw_one_way, _draw_hang, _draw_irregular,
        _draw_two,
    ]  # fmt: skip
    for n in range(count):
        job = makers[n % len(makers)](rng)
        yield replace(job, name=f"{n}: {job.name}", seed=n)


def _pick(rng: random.Random) -> str:
    return rng.choice(("h100", "b200", "a100"))


def _draw_constant(rng: random.Random) -> Job:
    rate = rng.uniform(0.92, 1.02)
    return Job(f"constant {rate:.2f}", "constant", _pick(rng), four(flat(rate)), LIMITS, seconds=40.0)


def _draw_nvls(rng: random.Random) -> Job:
    on, duty, step = rng.choice((("h100", 0.8), ("b200", 0.69))), rng.uniform(0.2, 0.9), rng.uniform(2, 8)
    rate = on[1] * rng.uniform(0.96, 1.03)
    flow = bursts(step, duty, rate, 75, rng.uniform(0, 0.03), rng.randrange(99))
    return Job(f"NVLS {rate:.2f}, {step:.1f} s, {duty:.2f}", "NVLS", on[0], four(flow), MAY)


def _draw_bursts(rng: random.Random) -> Job:
    step, duty, rate = rng.uniform(1.5, 15), rng.uniform(0.15, 0.95), rng.uniform(0.92, 1.02)
    flow = bursts(step, duty, rate, 100, rng.uniform(0, 0.03), rng.randrange(99))
    right = LIMITS if duty > 0.83 else MAY if duty < 0.77 else LIMITS | MAY
    if step * duty < 0.8:
        right |= UNCLEAR
    return Job(f"ring {rate:.2f}, {step:.1f} s, {duty:.2f}", "bursts", _pick(rng), four(flow), right,
               seconds=100.0)  # fmt: skip


def _draw_overlap(rng: random.Random) -> Job:
    step, duty, seed = rng.uniform(1.8, 8), rng.uniform(0.2, 0.75), rng.randrange(99)
    otherwise = rng.uniform(0.3, 0.8)
    kind = rng.choice(("exposed", "hidden", "half"))
    during = (
        otherwise * {"exposed": rng.uniform(0, 0.08), "hidden": rng.uniform(0.95, 1.0), "half": 0.5}[kind]
    )
    cost = duty * (1 - during / otherwise)
    right = LIMITS if cost > 0.54 else PART if 0.13 < cost < 0.46 else LIMITS | PART
    if kind == "hidden":
        right = HIDDEN
    elif cost <= 0.13:
        right = PART | HIDDEN
    return Job(f"{kind}, {step:.1f} s, {duty:.2f}, {during:.2f}/{otherwise:.2f}", "overlap", "h100",
               four(bursts(step, duty, rng.uniform(0.93, 1.0), 75, 0.01, seed)), right,
               compute=four(computing(step, duty, during, otherwise, 75, seed)))  # fmt: skip


def _draw_below(rng: random.Random) -> Job:
    on = _pick(rng)
    rate = rng.uniform(0.2, {"h100": 0.7, "b200": 0.6, "a100": 0.8}[on])
    step, duty = rng.uniform(1.8, 12), rng.uniform(0.4, 0.9)
    flow = bursts(step, duty, rate, 75, rng.uniform(0, 0.03), rng.randrange(99))
    right = BELOW if rate * duty > 0.17 else NOT
    return Job(f"{rate:.2f} of NCCL max, {step:.1f} s, {duty:.2f}", "below the limit", on, four(flow), right)


def _draw_light(rng: random.Random) -> Job:
    step, duty, rate = rng.uniform(2, 12), rng.uniform(0.01, 0.07), rng.uniform(0.1, 1.0)
    flow = bursts(step, duty, rate, 75, rng.uniform(0, 0.03), rng.randrange(99))
    return Job(f"{rate:.2f}, {step:.1f} s, {duty:.2f}", "light", _pick(rng), four(flow), LIGHT)


def _draw_short(rng: random.Random) -> Job:
    period, duty = rng.uniform(0.08, 0.45), rng.uniform(0.3, 0.65)
    flow = bursts(period, duty, 0.97, 60, rng.uniform(0.02, 0.1), rng.randrange(99))
    right = UNCLEAR | MAY if period * duty > 0.19 else UNCLEAR
    return Job(f"{period:.2f} s, {duty:.2f}", "shorter than a reading", _pick(rng), four(flow), right,
               seconds=60.0, never=DENIALS)  # fmt: skip


def _draw_direct(rng: random.Random) -> Job:
    step, duty, rate = rng.uniform(2, 8), rng.uniform(0.3, 0.7), rng.choice((0.3, 0.5, 0.97))
    flow = bursts(step, duty, rate, 75, 0.01, rng.randrange(99))
    heavy = duty >= 0.35
    right = MAY if rate > 0.9 else BELOW if heavy and rate * duty > 0.17 else NOT
    return Job(f"pairs at {rate}, {step:.1f} s, {duty:.2f}", "direct links", "a100-direct", four(flow), right,
               toward=ring(4))  # fmt: skip


def _draw_one_way(rng: random.Random) -> Job:
    step, duty = rng.uniform(2, 8), rng.uniform(0.3, 0.7)
    flow = bursts(step, duty, rng.uniform(0.93, 1.0), 75, 0.01, rng.randrange(99))
    return Job(f"one way, {step:.1f} s, {duty:.2f}", "one direction", _pick(rng),
               [flow, *[flat(0.0)] * 3], MAY, received=[flat(0.0), flow, flow, flow])  # fmt: skip


def _draw_hang(rng: random.Random) -> Job:
    step, end, polling = rng.uniform(1.5, 6), rng.uniform(45, 60), rng.choice((0.0, 0.02, 0.033))
    flow = bursts(step, rng.uniform(0.3, 0.7), 0.96, 90, 0.01, rng.randrange(99), end=end, base=polling)
    return Job(f"hang at {end:.0f} s, {step:.1f} s, polling {polling}", "stopped", _pick(rng), four(flow),
               frozenset({"silent"}), gauges=hanging(end, rng.choice((None, 1))),
               seconds=end + max(14.0, 3 * step + 4 + step))  # fmt: skip


def _draw_irregular(rng: random.Random) -> Job:
    rate = rng.choice((0.3, 0.5, 0.97))
    flow = irregular(rng.uniform(0.8, 3.0), rate, 75, rng.randrange(999), longest=3.0)
    right = MAY | LIMITS if rate > 0.9 else NOT
    return Job(f"irregular at {rate}", "inference", "h100", four(flow), right)


def _draw_two(rng: random.Random) -> Job:
    a = bursts(rng.uniform(1.8, 5), rng.uniform(0.3, 0.7), 0.97, 75, 0.01, rng.randrange(99))
    b = bursts(
        rng.uniform(1.8, 5), rng.uniform(0.3, 0.7), rng.choice((0.2, 0.5)), 75, 0.01, rng.randrange(99)
    )
    return Job("two jobs", "two jobs", _pick(rng), [a, a, b, b], MAY, jobs=((0, 1), (2, 3)),
               says=("(+1 job)",))  # fmt: skip


HEAD = "| family | jobs | right | silent | wrong |\n|---|---:|---:|---:|---:|"


def table(results: Sequence[tuple[Job, str]]) -> list[str]:
    """Return a table of right, silent and wrong answers by family."""
    families = dict.fromkeys(job.family for job, _ in results)
    rows = []
    for name in (*families, "all"):
        counts = Counter(found for job, found in results if name in (job.family, "all"))
        total = counts.total()
        rows.append(f"| {name} | {total} | {counts['right']} | {counts['silent']} | {counts['wrong']} |")
    return rows


def main() -> None:
    """Print the tables, and the answers that are not right to stderr."""
    for title, jobs in (
        ("The corpus", named()),
        ("200 drawn jobs, read every 0.25 s", drawn()),
        ("The same, read every second", (replace(job, interval_s=1.0) for job in drawn())),
    ):
        results = []
        for job in jobs:
            frame = Node(job).run()
            found = outcome(job, frame)
            results.append((job, found))
            if found != "right":
                print(
                    f"{found}: {job.family}: {job.name} ({job.board}): {state_of(job, frame)} |"
                    f" {frame.verdict.headline} | {frame.verdict.summary}",
                    file=sys.stderr,
                )
        print(f"\n{title}\n")
        print("\n".join([HEAD, *table(results)]))


if __name__ == "__main__":
    main()
