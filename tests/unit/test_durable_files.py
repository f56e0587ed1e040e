"""Files written together: each writer has its own outcome, and what is on disk is whole."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from storecredit.data_files import durable_files
from storecredit.data_files.durable_files import Draft, DurableFiles, write_together

CONTENT = b"some image"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


async def test_files_written_at_once_are_all_there_in_directories_of_their_own(
    tmp_path: Path,
) -> None:
    files = DurableFiles()
    paths = [tmp_path / f"store-{number % 7}" / f"{number}.png" for number in range(500)]

    await asyncio.gather(*(files.write(path, str(path).encode()) for path in paths))

    assert [path.read_bytes() for path in paths] == [str(path).encode() for path in paths]
    assert len(names(tmp_path)) == len(paths)


async def test_a_file_that_cannot_be_written_fails_alone(tmp_path: Path) -> None:
    files = DurableFiles()
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    paths[3].mkdir()  # a directory is where the file should go
    (tmp_path / "a-file").write_bytes(b"")
    paths[7] = tmp_path / "a-file" / "7.png"  # a file is where the directory should go

    outcomes = await asyncio.gather(
        *(files.write(path, CONTENT) for path in paths), return_exceptions=True
    )

    assert [number for number, outcome in enumerate(outcomes) if outcome is not None] == [3, 7]
    assert isinstance(outcomes[3], IsADirectoryError)
    assert isinstance(outcomes[7], FileExistsError)
    written = [path for number, path in enumerate(paths) if number not in {3, 7}]
    assert {path.read_bytes() for path in written} == {CONTENT}
    assert names(tmp_path) == sorted(["a-file", *(path.name for path in written)])


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc whose descriptor it is")
def test_content_and_names_are_synced_before_the_writer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    sync, rename = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        # The draft's name, in which its final name stands, or the directory's.
        events.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        sync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        events.append(("rename", path.name))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    drafts = [Draft(tmp_path / f"{number}.png", CONTENT) for number in range(3)]

    write_together(drafts)

    assert [draft.failure for draft in drafts] == [None] * 3
    for draft in drafts:
        own = [event for event, name in events if name == draft.draft_path.name]
        assert own == ["sync", "rename"]
    assert [event for event in events if event[1] == tmp_path.name] == [("sync", tmp_path.name)]
    assert events[-1] == ("sync", tmp_path.name)


def test_a_directory_that_is_not_synced_fails_all_that_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = durable_files.sync_directory

    def broken_for_one(directory: Path) -> None:
        if directory.name == "broken":
            raise OSError("the disk says no")
        sync(directory)

    for name in ("broken", "whole"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(durable_files, "sync_directory", broken_for_one)
    drafts = [Draft(tmp_path / name / "1.png", CONTENT) for name in ("broken", "whole", "broken")]

    write_together(drafts)

    assert [str(draft.failure) for draft in drafts] == [
        "the disk says no",
        "None",
        "the disk says no",
    ]


async def test_a_writer_that_gives_up_in_line_leaves_nothing_and_stops_nobody(
    tmp_path: Path,
) -> None:
    files = DurableFiles()
    impatient = asyncio.create_task(files.write(tmp_path / "impatient.png", CONTENT))
    patient = asyncio.create_task(files.write(tmp_path / "patient.png", CONTENT))
    await asyncio.sleep(0)
    impatient.cancel()

    await patient
    await files.close()

    assert "patient.png" in names(tmp_path)
    assert not [name for name in names(tmp_path) if name.endswith(".draft")]


async def test_what_has_been_begun_is_on_disk_when_it_is_closed(tmp_path: Path) -> None:
    files = DurableFiles()
    writes = [
        asyncio.create_task(files.write(tmp_path / f"{number}.png", CONTENT))
        for number in range(200)
    ]
    await asyncio.sleep(0)

    await files.close()

    assert len(names(tmp_path)) == 200
    await asyncio.gather(*writes)


async def test_more_than_a_batch_holds_is_written_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    def noted(drafts: list[Draft]) -> None:
        batches.append(sum(len(draft.content) for draft in drafts))
        write_together(drafts)

    monkeypatch.setattr(durable_files, "write_together", noted)
    monkeypatch.setattr(durable_files, "BATCH_MAX_BYTES", 1000)
    files = DurableFiles()

    await asyncio.gather(
        *(files.write(tmp_path / f"{number}.png", b"x" * 400) for number in range(10))
    )

    assert sum(batches) == 4000
    assert max(batches) == 1200  # the file that made it full was the last
