"""Snapshots: their contents, what no byte of them contains, and how they are written."""

from __future__ import annotations

import base64
import errno
import gzip
import io
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.analysis.timeline.build import timeline
from nvltop.cli import main
from nvltop.config.settings import Settings
from nvltop.model import (
    Activity,
    Ancestor,
    Call,
    Event,
    Frame,
    GpuUse,
    Missing,
    Process,
    Processes,
    Reading,
    Tick,
    known,
)
from nvltop.nvml.demo_nodes import NODES
from nvltop.record.flight_recorder import FlightRecorder
from nvltop.record.redact import Redactor
from nvltop.report.json import to_json
from nvltop.report.phrases import rates_window
from nvltop.report.secrets import without_secrets
from nvltop.snapshot.bundle import SnapshotFiles, redacted, snapshot_files
from nvltop.snapshot.observe import observe_recording
from nvltop.snapshot.sections import MAX_CHARS
from nvltop.snapshot.sections.files import EXISTS_MESSAGE, SnapshotError
from nvltop.snapshot.sections.inputs import escape_markdown

NAMES = {"aurora-gpu17": "node-", "acme.example": "domain-", "jdoe": "user-"}
USER, HOST = "asmith-lab", "aurora-gpu17.acme.example"
POD = "1b2c3d4e-1111-2222-3333-444455556666"
WITHOUT_GPU = ("no-gpu", "no-driver", "no-library", "version-mismatch")
WORDS = ("Tr0ub4dor", "hunter2", "sk-proj-AbC123xyz789", "ghp_16C7e42F292c69")
ARGUMENTS = (
    f"train.py --password={WORDS[0]} --api-key {WORDS[1]} OPENAI={WORDS[2]} "
    f"https://u:{WORDS[1]}@acme.example/x {WORDS[3]} --data /home/{USER}/run --lr 3e-4"
)


def with_processes(frame: Frame, secret: bool = False) -> Frame:
    """Return the frame with processes of a user."""
    uuid = frame.gpus[0].gpu.uuid
    process = Process(
        4711, (GpuUse(uuid, "compute", 1 << 30),), f"/home/{USER}/bin/python3.11 --token {WORDS[1]}", USER,
        ARGUMENTS, 104.0, 6 << 30, frame.tick.wall_s - 60, (Ancestor(4000, f"torchrun of {USER}"),),
        "kubernetes", POD,
    )  # fmt: skip
    other = Process(4712, (GpuUse(uuid, "mps"),), "ok", "root", Missing(f"{USER}'s alone"))
    return replace(
        frame,
        inventory=replace(frame.inventory, hostname=HOST),
        processes=Processes((process, other), 1, f"{USER} hides them"),
        tick=replace(frame.tick, note=f"left out GPU of {USER} on {HOST}"),
    )


@pytest.fixture
def shoot(bench):
    """Return a function that runs a simulated node and takes a snapshot."""

    def make(node="dgx-h100", scenario="errors", seconds=6.0, change=with_processes, full=False):
        b = bench(node, scenario)
        b.interval_s = 1.0
        b.history = RateHistory()
        redact = Redactor(NAMES, without_secrets if full else None)
        ring = FlightRecorder(lambda: redact)
        inner = b.monitor.update

        def update(item):
            inner(item)
            ring.write(item)

        b.monitor.update = update
        update(replace(b.inventory, hostname=HOST))
        frame = b.run(seconds)
        made = change(frame)
        if known(made.processes):
            ring.write(Reading(None, b.clock.now, b.clock.now, made.tick.wall_s, made.processes))
        return snapshot_files(made, b.history, ring, "<svg></svg>", f"{USER} asked"), made

    return make


def every_byte(path: Path) -> bytes:
    """Return the bytes of a snapshot, packed and unpacked, and its names."""
    out = [str(path).encode()] if path.is_file() else []
    files = [path] if path.is_file() else list(path.iterdir())
    for file in files:
        data = file.read_bytes()
        out += [file.name.encode(), data]
        if data.startswith(b"\x1f\x8b"):
            out.append(data := gzip.decompress(data))
        if data[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    inner = tar.extractfile(member).read()
                    out += [inner, gzip.decompress(inner) if inner.startswith(b"\x1f\x8b") else b""]
    return b"\n".join(out).lower()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["shot", "shot.tar.gz"])
def test_planted_secrets_are_in_no_byte(shoot, tmp_path, full, name):
    made, frame = shoot(full=full)
    everything = every_byte(made.save(tmp_path / name))
    uuids = [g.gpu.uuid for g in frame.gpus]
    private = [*WORDS, USER, "jdoe", "aurora", "acme.example", POD, *uuids, *(u[4:] for u in uuids)]
    for word in private + ([] if full else ["train.py", "3e-4"]):
        assert word.lower().encode() not in everything, word
        assert base64.b64encode(word.encode()).rstrip(b"=").lower() not in everything
    for word in ("gpu-a1", "python3.11", "4711", "node-1", "user-1", "nvidia h100"):
        assert word.encode() in everything, word
    assert (b"--lr 3e-4" in everything) is full
    assert (b"--password=***" in everything) is full


def test_the_rates_of_the_report_have_their_window(shoot):
    """Beside `NOW` and `MEAN` of another table nothing said what they were."""
    made, frame = shoot(seconds=30.0)
    assert f"\n{rates_window(frame).capitalize()}.\n\n```text\nGPU  NAME" in made.report


def test_the_report_answers_the_first_questions(shoot):
    made, _ = shoot(seconds=30.0)
    text = made.report
    for words in (
        "driver 570.86.15", "CUDA 12.8", "nvltop ", "Python ", "144/144 links up", "SIMULATED",
        "**warning** at GPU 3 link 7, since ", "Evidence: replays ", "Next step: ", "`link-errors-legacy`",
        "NV18", "Peer-to-peer over NVLink is OK between all GPUs that NVLink connects", "The last 30s", "▇",
        "GPU 3: 18 of 18 links up",
        "NVSwitch 00000000:05:00.0", "kubernetes id-1", "user-", "python3.11", "1 process is hidden",
        "No Xid and no change since ",
        "Removed: host names, user names, UUIDs, serial numbers, addresses, job and container ids, ",
    ):  # fmt: skip
        assert words in text, words
    values = json.loads(made.files["snapshot.json"])
    assert values["schema"] == "nvltop/1"
    assert values["gpus"][3]["uuid"] == "GPU-a4"
    assert values["removed"][-1] == "process arguments"
    assert made.files["report.md"].decode() == text


def test_a_host_named_like_a_label_does_not_change_labels(bench):
    b = bench()
    frame, redact = replace(b.run(1.0), processes=Processes()), Redactor({"gpu1": "node-"})
    text = snapshot_files(frame, RateHistory(), FlightRecorder(lambda: redact), "", "gpu1 asked").report
    assert "\tGPU0\tGPU1\tGPU2" in text
    assert "Reason:** node-2 asked" in text


def test_the_recording_of_a_snapshot_replays_the_same_values(shoot, tmp_path):
    made, _ = shoot("hgx-a100-4", "training", change=lambda frame: frame)
    path = made.save(tmp_path / "x.tar.gz")
    seen = observe_recording(str(path), Settings(), None, Redactor({}))
    again, then = to_json(seen.monitor.frame()), json.loads(made.files["snapshot.json"])
    for gpu, its in zip(again["gpus"], then["gpus"], strict=True):
        for group in (gpu, its):
            del group["age_s"]
            # The recording has its mean over a second, the snapshot that over the last reading.
            assert group.pop("compute")["source"] == "samples"
        assert json.loads(json.dumps(gpu)) == its
    assert json.loads(json.dumps(again["matrix"])) == then["matrix"]


@pytest.mark.parametrize(
    ("node", "scenario"),
    [
        ("dgx2", "training"),
        ("rubin", "errors"),
        ("rtx4090-pair", "idle"),
        ("gb10", "idle"),
        ("h100-mig", "training"),
    ],
)
def test_any_node_fits_into_an_issue(shoot, node, scenario):
    made, frame = shoot(node, scenario, 2.0, change=lambda frame: frame)
    assert len(made.report) <= MAX_CHARS
    assert made.report.count("```") % 2 == 0
    assert f"{frame.gpus[0].gpu.name}" in made.report


def test_hostile_text_cannot_leave_its_block(shoot):
    hostile = "</details><script>x</script>```[a](http://x)|**b**"

    def change(frame):
        gpus = tuple(replace(g, gpu=replace(g.gpu, name=hostile)) for g in frame.gpus)
        process = Process(1, (GpuUse(gpus[0].gpu.uuid, "compute"),), "```", "u")
        return replace(frame, gpus=gpus, processes=Processes((process,)))

    text = shoot(change=change)[0].report
    blocks = text.split("```")
    assert len(blocks) % 2 == 1
    outside = "".join(blocks[::2])
    assert "<script>" not in outside.replace("\\<", "")
    assert "](http" not in outside.replace("\\]", "")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("driver of @torvalds", "driver of @<!-- -->torvalds"),
        ("see https://x.example/a", "see https:<!-- -->//x.example/a"),
        ("see WWW.x.example", "see WWW<!-- -->.x.example"),
        ("a <b> @org/team", "a \\<b\\> @<!-- -->org/team"),
        ("12.570.86.15: 50 %", "12.570.86.15: 50 %"),
    ],
)
def test_nobody_is_mentioned_and_nothing_is_linked(text, escaped):
    assert escape_markdown(text) == escaped


def test_why_processes_are_unknown_is_escaped(shoot):
    reason = "ask @root <b> or https://x.example"
    text = shoot(change=lambda frame: replace(frame, processes=Missing(reason)))[0].report
    assert f"Processes unknown: {escape_markdown(reason)}." in text
    assert (
        "@root"
        not in text.replace("```text", "").split("Jobs and processes</summary>")[1].split("</details>")[0]
    )


def test_ids_of_jobs_and_containers_and_names_given_to_nics_are_removed(shoot, tmp_path):
    """A name has the same placeholder everywhere, so that jobs stay together."""

    def change(frame):
        uuid = frame.gpus[0].gpu.uuid
        ids = [("slurm", "880417")] * 2 + [("container", "0a1b2c3d4e5f"), ("pbs", "77318[4].pbs01")]
        use = GpuUse(uuid, "compute", 1 << 30)
        processes = tuple(
            Process(4000 + i, (use,), "python3", "root", group_kind=kind, group_id=number)
            for i, (kind, number) in enumerate(ids)
        )
        nic = replace(
            frame.inventory.nics[0], device="storage-rail7", interfaces=("zsecretport", "ens1f0np0")
        )
        port = replace(frame.nics[0], nic=nic, port=replace(frame.nics[0].port, device=nic.device))
        text = "slurm 880417 waits for storage-rail7, GUID 0c42:a103:00b1:c2d3"
        return replace(
            frame,
            inventory=replace(frame.inventory, nics=(nic, *frame.inventory.nics[1:])),
            nics=(port, *frame.nics[1:]),
            processes=Processes(processes),
            activity=(Activity("slurm:880417", (uuid,)),),
            verdict=replace(frame.verdict, summary=text),
        )

    made, _ = shoot(change=change)
    everything = every_byte(made.save(tmp_path / "shot"))
    for word in ("880417", "0a1b2c3d4e5f", "77318", "pbs01", "storage-rail7", "zsecretport", "0c42:a103"):
        assert word.encode() not in everything, word
    values = json.loads(made.files["snapshot.json"])
    assert values["activity"][0]["job"] == "slurm:id-1"
    assert {job["id"] for job in values["jobs"]} == {"slurm:id-1", "container:id-2", "pbs:id-3"}
    assert {job["label"] for job in values["jobs"]} == {"slurm id-1", "container id-2", "pbs id-3"}
    assert values["verdict"]["summary"] == "slurm id-1 waits for nic-1, GUID address-1"
    assert values["nics"][0]["name"] == "nic-1"


def test_a_snapshot_reports_a_driver_that_hangs(shoot):
    def change(frame):
        call = Call("slow", "nvmlDeviceGetFieldValues", 3, frame.tick.mono_s - 42.0)
        tick = replace(frame.tick, worker="stuck", calls=(call,))
        return replace(frame, tick=tick)

    text = shoot(change=change)[0].report
    assert "Reading process: stuck." in text
    assert "has not returned from nvmlDeviceGetFieldValues on GPU 3 for 42s." in text


def test_a_snapshot_before_the_first_reading():
    ring = FlightRecorder(lambda: Redactor(NAMES))
    tick = Tick(12.0, 1e9, 0.25, "starting", (Call("main", "nvmlInit", None, 2.0),))
    ring.write(tick)
    monitor = Monitor()
    monitor.update(tick)
    text = snapshot_files(monitor.frame(), RateHistory(), ring, "", "test").report
    assert "has not returned from nvmlInit for 10s" in text
    assert "No GPU has been read." in text


def test_jobs_are_named_after_their_redacted_processes(shoot):
    frame = shoot()[1]
    hidden = redacted(frame, Redactor(NAMES))
    assert hidden.jobs[0].label == "kubernetes id-1"
    assert hidden.jobs[0].gpus == ("GPU-a1",)
    kept = redacted(frame, Redactor(NAMES), uuids=True)
    assert kept.jobs[0].gpus == (frame.gpus[0].gpu.uuid,)


def test_events_and_past_findings(shoot):
    def change(frame):
        uuid = frame.gpus[2].gpu.uuid
        over = replace(frame.findings[0], ended_s=frame.tick.wall_s)
        events = tuple(Event(1.0, frame.tick.wall_s - 86_400 - i, uuid, "xid", 79) for i in range(60))
        listed = timeline(frame.timeline, events, (), (), (over,), (), frame.started_s)
        return replace(frame, events=events, past_findings=(over,), timeline=listed)

    text = shoot("hgx-a100-4", "link-down", 20.0, change)[0].report
    day = "2026-09-20 14:30:20"
    assert re.search(rf"^{day} +GPU 2 +Xid 79: the GPU has fallen off the bus", text, re.MULTILINE)
    assert "12 earlier events are omitted." in text
    changed = re.search(r"^14:30:\d\d +lasts +GPU (\d) link (\d+) +link DOWN +up +down ", text, re.MULTILINE)
    assert changed is not None
    assert f"**critical** at GPU {changed[1]} link {changed[2]}, since 14:30:" in text
    assert re.search(r"Past findings:\n\n```text\nFROM .*\n14:30:\d\d +14:30:20 +critical", text)


MADE = SnapshotFiles(
    "# x", {"report.md": b"# x"}, FlightRecorder(lambda: Redactor({})).held(), 1_790_000_000.0
)
FILES = {**MADE.files, "recording.gz": MADE.held.recording()}


def test_only_its_owner_can_read_it(tmp_path):
    os.umask(0)
    try:
        folder = MADE.save(tmp_path / "shot")
        archive = MADE.save(tmp_path / "shot.tar.gz")
    finally:
        os.umask(0o022)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == FILES
    assert {stat.S_IMODE(f.stat().st_mode) for f in (archive, *folder.iterdir())} == {0o600}
    with tarfile.open(archive) as tar:
        for member in tar:
            assert (member.uid, member.uname, member.mode) == (0, "", 0o600)
            assert member.name.startswith("nvltop-snapshot-2026")
    assert {p.name for p in tmp_path.iterdir()} == {"shot", "shot.tar.gz"}


def test_twice_in_a_second_makes_two(tmp_path):
    first, second, third = (MADE.save(tmp_path) for _ in range(3))
    assert first.name.startswith("nvltop-snapshot-2026")
    assert [second.name, third.name] == [f"{first.name}-2", f"{first.name}-3"]


@pytest.mark.parametrize("name", ["shot", "shot.tar.gz"])
def test_no_file_is_replaced_and_no_link_followed(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "not-there")
    with pytest.raises(SnapshotError, match=f"{name}: {EXISTS_MESSAGE}; no snapshot was written"):
        MADE.save(tmp_path / name)
    assert {p.name for p in tmp_path.iterdir()} == {"elsewhere", name}


@pytest.mark.parametrize("name", ["shot", "shot.tar.gz", "."])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, name):
    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SnapshotError, match="No space left on device; no snapshot was written") as caught:
        MADE.save(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_that_is_written_first_keeps_its_name(tmp_path, monkeypatch):
    """Two programs may check for a free name at the same time."""
    first = MADE.save(tmp_path)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    second = MADE.save(tmp_path)
    assert second.name == f"{first.name}-2"
    assert len(list(first.iterdir())) == len(list(second.iterdir())) == 2
    (tmp_path / "x.tgz").write_text("theirs")
    with pytest.raises(SnapshotError, match=EXISTS_MESSAGE):
        MADE.save(tmp_path / "x.tgz")
    assert (tmp_path / "x.tgz").read_text() == "theirs"


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    def refused(source, to):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    archive = MADE.save(tmp_path / "x.tar.gz")
    assert tarfile.is_tarfile(archive)
    assert list(tmp_path.iterdir()) == [archive]


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(SnapshotError, match="No such file or directory"):
        MADE.save(tmp_path / "a" / "b")


def test_from_the_command_line(tmp_path):
    asked = ("--demo", "rtx3090-pair", "--interval", "0.1", "--for", "0.1", "--snapshot")
    command = [sys.executable, "-m", "nvltop", *asked, str(tmp_path / "x.tar.gz")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{tmp_path}/x.tar.gz\n", "")
    again = observe_recording(str(tmp_path / "x.tar.gz"), Settings(), None, Redactor({}))
    assert [g.gpu.uuid for g in again.monitor.frame().gpus] == ["GPU-a1", "GPU-a2"]


def test_without_a_driver_the_snapshot_says_so(tmp_path, capsys):
    assert main(["--demo", "no-driver", "--snapshot", str(tmp_path / "x")]) == 3
    output = capsys.readouterr()
    assert output.out == f"{tmp_path}/x\n"
    assert "not loaded" in output.err
    report = (tmp_path / "x" / "report.md").read_text()
    assert "**Findings:** the NVIDIA kernel driver is not loaded; see " in report


@pytest.mark.parametrize(
    "arguments",
    [
        *(("--snapshot", more) for more in ("--once", "--json", "--serve")),
        ("--snapshot-on-critical", "--json"),
        ("--snapshot-on-critical", "--replay", "x"),
    ],
)
def test_flags_that_snapshots_exclude(arguments, capsys):
    assert main(["--demo", *arguments] if "--replay" not in arguments else arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def visible_lines(markdown: str) -> int:
    """Return the number of lines shown before a reader unfolds anything."""
    count = depth = 0
    for line in markdown.splitlines():
        if line.startswith("<details>"):
            count += depth == 0
            depth += 1
        elif line.startswith("</details>"):
            depth -= 1
        else:
            count += depth == 0
    return count


@pytest.mark.parametrize("node", [node for node in NODES if node not in WITHOUT_GPU])
def test_the_report_of_a_healthy_node_is_short(shoot, node):
    report = shoot(node, "training", 3.0, change=lambda frame: frame)[0].report
    assert visible_lines(report) <= 60
    assert "<summary>Versions</summary>" in report
    assert "## Link errors" not in report


def test_what_is_wrong_is_not_folded(shoot):
    report = shoot(scenario="errors", seconds=30.0)[0].report
    assert "## Link errors" in report


def test_a_picture_from_the_command_line(shoot, tmp_path, capsys):
    shot = shoot("hgx-a100-4", "training", 6.0)[0].save(tmp_path / "shot")
    file = tmp_path / "main.svg"
    assert main(["--replay", str(shot), "--picture", str(file), "--size", "100x30"]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    svg = file.read_text()
    assert 'viewBox="0 0 1238 782.0"' in svg
    assert "A100" in svg
    assert main(["--replay", str(shot), "--picture", str(file)]) == 1
    assert "a picture replaces no file" in capsys.readouterr().err
    assert main(["--picture", str(file), "--json"]) == 2
    assert main(["--size", "80x24"]) == 2
