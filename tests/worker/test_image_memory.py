"""What a board of large pictures takes of memory, in a process of its own."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.image_files import png_chunk, saved

PHONE = (8064, 6048)
DECODED_BYTES = PHONE[0] * PHONE[1] * 4
STATUS = Path("/proc/self/status")
MAKE_A_BOARD = """
import asyncio, base64, re, sys
from uuid import UUID
from pathlib import Path
from storecredit.generation.generators import GenerationRequest, load_generator
from storecredit.settings import Settings

def peak_bytes():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024

async def main():
    collage = load_generator(Settings())
    payloads = [base64.b64encode(Path(name).read_bytes()).decode() for name in sys.argv[1:]]
    urls = tuple(f"data:;base64,{payload}" for payload in payloads)
    before = peak_bytes()
    await collage.generate(GenerationRequest(UUID(int=0), "order-1", urls, None))
    print(peak_bytes() - before)
    await collage.aclose()

asyncio.run(main())
"""


def large_png() -> bytes:
    """48 million grey pixels of three colours."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *PHONE, 8, 2, 0, 0, 0))
    compression = zlib.compressobj(1)
    row = b"\0" + b"\x80" * PHONE[0] * 3
    rows = b"".join([*(compression.compress(row) for _ in range(PHONE[1])), compression.flush()])
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux, which tells a process its peak")
def test_ten_pictures_of_a_phone_take_the_memory_of_one(tmp_path: Path) -> None:
    """Were two decoded at a time, or kept until the board is made, it would be twice that."""
    png, jpeg = tmp_path / "a.png", tmp_path / "b.jpg"
    png.write_bytes(large_png())
    jpeg.write_bytes(saved(Image.new("L", PHONE, "grey"), "JPEG"))
    names = [str(name) for name in [png] * 2 + [jpeg] * 8]

    run = subprocess.run(
        [sys.executable, "-c", MAKE_A_BOARD, *names], capture_output=True, text=True, check=True
    )

    assert int(run.stdout) < DECODED_BYTES * 3 // 2
