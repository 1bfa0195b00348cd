import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from alexnet_tf.training import checkpoints


def write(folder, step, run="a"):
    tensors = {"model/w": np.full((3, 4), step, np.float32)}
    return checkpoints.write(folder, tensors, {"epoch": step // 10, "step": step}, run)


def test_checkpoint_round_trips(tmp_path):
    write(tmp_path, 10)
    tensors, state, warnings = checkpoints.read_newest(tmp_path)
    np.testing.assert_array_equal(tensors["model/w"], np.full((3, 4), 10, np.float32))
    assert state == {"epoch": 1, "step": 10}
    assert warnings == []


def test_checkpoints_keep_the_last_two(tmp_path):
    for step in (10, 20, 30):
        write(tmp_path, step)
    assert [p.name for p in sorted(tmp_path.glob("*.safetensors"))] == [
        "epoch-0002-step-00000020.safetensors",
        "epoch-0003-step-00000030.safetensors",
    ]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("before", "newest"), [((9_998, 9_999, 10_000), 10_000), ((1, 99_999_999, 100_000_000), 1)]
)
def test_newest_checkpoint_is_chosen_by_number_not_by_text(before, newest, tmp_path):
    for number in before:
        state = {"epoch": min(number, newest), "step": number}
        checkpoints.write(tmp_path, {"model/w": np.zeros(3, np.float32)}, state, "a")
    _, state, _ = checkpoints.read_newest(tmp_path)
    assert (state["epoch"], state["step"]) == (newest, before[-1])
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_checksum_file_is_accepted_by_sha256sum(tmp_path):
    path = write(tmp_path, 10)
    subprocess.run(["sha256sum", "-c", f"{path.name}.sha256"], cwd=tmp_path, check=True)


def test_read_newest_returns_none_without_checkpoints(tmp_path):
    assert checkpoints.read_newest(tmp_path / "none") is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip_one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty_checksum(path):
    path.with_name(path.name + ".sha256").write_text("")


@pytest.mark.parametrize("damage", [truncate, zero, flip_one_bit, empty_checksum])
def test_damaged_newest_checkpoint_is_set_aside_and_the_one_before_is_read(tmp_path, damage):
    write(tmp_path, 10)
    newest = write(tmp_path, 20)
    damage(newest)
    tensors, state, warnings = checkpoints.read_newest(tmp_path)
    assert state["step"] == 10
    assert tensors["model/w"][0, 0] == 10
    assert newest.name in warnings[0]
    assert newest.with_suffix(".damaged").is_file()
    assert not newest.exists()


def test_swapped_checkpoints_are_rejected(tmp_path):
    first, second = write(tmp_path, 10), write(tmp_path, 20)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    there = sorted(path.name for path in tmp_path.iterdir())
    for _ in range(2):  # nothing is renamed if no checkpoint is intact
        with pytest.raises(checkpoints.DamagedCheckpointError, match=r"step-00000020.*-00000010"):
            checkpoints.read_newest(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_intact_checkpoint_of_another_name_or_run_is_rejected(tmp_path):
    write(tmp_path, 10)
    newest = write(tmp_path, 20)
    # With another checkpoint's name and its checksum; then one of another run.
    older = newest.with_name("epoch-0001-step-00000010.safetensors")
    moved = newest.with_name("epoch-0003-step-00000030.safetensors")
    moved.write_bytes(older.read_bytes())
    checksum = (tmp_path / f"{older.name}.sha256").read_text()
    (tmp_path / f"{moved.name}.sha256").write_text(checksum.replace(older.name, moved.name))
    theirs = write(tmp_path / "other", 40, run="b")
    for path in theirs.parent.iterdir():
        path.rename(tmp_path / path.name)
    _, state, warnings = checkpoints.read_newest(tmp_path, "a")
    assert state["step"] == 20
    assert [theirs.name in warnings[0], moved.name in warnings[1]] == [True, True]
    assert "another run's (b, not a)" in warnings[0]
    assert f"inside it is {older.name}" in warnings[1]


def test_full_disk_keeps_the_earlier_checkpoints(tmp_path, monkeypatch):
    write(tmp_path, 10)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"a part of it")
        raise SafetensorError("Error while serializing: I/O error: (os error 28)")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write(tmp_path, 20)
    assert Path(raised.value.filename).name == "epoch-0002-step-00000020.safetensors"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_checkpoint_without_checksum_is_ignored_and_removed_by_the_next(tmp_path):
    write(tmp_path, 10)
    cut_short = write(tmp_path, 20)
    cut_short.with_name(cut_short.name + ".sha256").unlink()
    assert checkpoints.read_newest(tmp_path)[1]["step"] == 10
    write(tmp_path, 30)
    assert not cut_short.exists()
