"""What of an archive is replayed, file by file."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from storecredit.postgres.programs.base_backup import WalRange
from storecredit.postgres.programs.wal_archive import ArchiveUnusable, WalArchive

CLUSTER = "7713828555035050873"
BACKUP = WalRange(timeline=1, start="0/2000028", end="0/3000100")


def archive(directory: Path, *paths: str) -> WalArchive:
    """An archive with these files below the cluster's directory."""
    for path in paths:
        file = directory / CLUSTER / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1\t0/5000000\tbefore 2026-11-30\n" if path.endswith("history") else path)
    return WalArchive(directory, CLUSTER)


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{0:08X}{number:08X}"


def names(found: WalArchive, timeline: int = 1) -> tuple[list[str], str | None]:
    replay = found.replay(BACKUP, timeline)
    return [each.path.name for each in replay.segments], replay.gap


def test_what_the_backup_brings_along_is_not_needed(tmp_path: Path) -> None:
    found = archive(tmp_path, *(f"1/{segment(n)}" for n in (1, 2, 3, 4)), f"1/{segment(5)}.partial")
    assert names(found) == ([segment(3), segment(4), f"{segment(5)}.partial"], None)
    assert found.timelines_after(BACKUP) == [1]


def test_a_full_segment_goes_before_one_that_is_being_written(tmp_path: Path) -> None:
    found = archive(tmp_path, f"1/{segment(3)}", f"1/{segment(3)}.partial", f"1/{segment(4)}")
    assert names(found) == ([segment(3), segment(4)], None)


@pytest.mark.parametrize(
    "present, replayed, gap",
    [
        ([], [], 3),
        ([4, 5], [], 3),
        ([3, 4, 6], [3, 4], 5),
    ],
)
def test_a_gap_is_named_and_nothing_after_it_is_replayed(
    tmp_path: Path, present: list[int], replayed: list[int], gap: int
) -> None:
    found = archive(tmp_path, *(f"1/{segment(n)}" for n in present))
    assert names(found) == ([segment(n) for n in replayed], segment(gap))


def test_what_was_never_filled_is_a_gap_if_there_is_more(tmp_path: Path) -> None:
    found = archive(tmp_path, f"1/{segment(3)}", f"1/{segment(4)}.partial", f"1.1/{segment(5)}")
    assert names(found) == ([segment(3), f"{segment(4)}.partial"], segment(4))
    assert [folder.name for folder in found.folders(1)] == ["1", "1.1"]
    assert found.next_folder(1).name == "1.2"


def test_a_timeline_goes_over_its_ancestor_up_to_where_it_left_it(tmp_path: Path) -> None:
    found = archive(
        tmp_path,
        *(f"1/{segment(n)}" for n in (3, 4, 5, 6, 7)),
        *("2/00000002.history", f"2/{segment(5, 2)}", f"2/{segment(6, 2)}.partial"),
    )
    assert found.timelines_after(BACKUP) == [1, 2]
    # The restored server's segment begins with what its ancestor's has.
    second = [segment(3), segment(4), segment(5, 2), f"{segment(6, 2)}.partial"]
    assert names(found, 2) == (second, None)
    assert names(found, 1) == ([segment(n) for n in (3, 4, 5, 6, 7)], None)
    assert [path.name for path in found.replay(BACKUP, 1).histories] == ["00000002.history"]


def test_a_timeline_that_left_before_the_backup_ended_cannot_follow_it(tmp_path: Path) -> None:
    found = archive(tmp_path, f"1/{segment(6)}", "2/00000002.history", f"2/{segment(5, 2)}")
    late = WalRange(timeline=1, start="0/6000028", end="0/6000100")
    assert found.timelines_after(late) == [1]


def test_what_no_kept_backup_needs_is_deleted_on_every_timeline(tmp_path: Path) -> None:
    found = archive(
        tmp_path,
        *(f"1/{segment(n)}" for n in (1, 2, 3)),
        *("2/00000002.history", f"2/{segment(1, 2)}", f"1/{segment(4)}.partial"),
    )
    assert found.prune(BACKUP) == 2
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == [segment(2), segment(3), f"{segment(4)}.partial", "00000002.history"]


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_the_longer_of_two_copies_of_a_segment_is_replayed(tmp_path: Path) -> None:
    found = archive(tmp_path, f"1/{segment(3)}.partial")
    archived = f"1/{segment(3)}.partial".encode()
    there = tmp_path / segment(3)
    for in_the_backup, replayed in {b"a" * 99: b"a" * 99, b"a\0\0": archived}.items():
        there.write_bytes(in_the_backup)
        found.replay(BACKUP, 1).copy(tmp_path, put)
        assert there.read_bytes() == replayed


def test_where_there_is_no_room_it_is_told_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = archive(tmp_path, f"1/{segment(3)}")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(ArchiveUnusable, match="takes 16 MB, and there are 1 MB free"):
        found.replay(BACKUP, 1).copy(tmp_path, put)
    assert not (tmp_path / segment(3)).exists()
