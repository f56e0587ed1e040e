#!/usr/bin/env bash
# Pillow 13.0.0: decoding a still WebP takes five times the memory of the picture.
#
# A phone's 48 megapixels are 139 MiB as RGB. As JPEG or PNG they are decoded in little more than
# that; as WebP the process grows by about 16 bytes for each pixel, since a still picture, too, goes
# through the decoder for moving ones, with its canvases of four bytes a pixel. A bound on memory that
# was reckoned from width, height and channels is exceeded several times over.
#
# Seen: JPEG and PNG at most twice the picture, WebP more than four times. Expected: about the same.
# Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0

cat >"$folder/write.py" <<'PYTHON'
from PIL import Image

tile = Image.linear_gradient("L").resize((8064, 6048))
picture = Image.merge("RGB", (tile, tile.rotate(180), tile))
picture.save("picture.jpg", quality=80)
picture.save("picture.png", compress_level=1)
picture.save("picture.webp", quality=50, method=0)
PYTHON

cat >"$folder/read.py" <<'PYTHON'
import resource
import sys

from PIL import Image


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


before = peak_bytes()
with Image.open(sys.argv[1]) as picture:
    picture.load()
    assert (picture.mode, picture.size) == ("RGB", (8064, 6048))
print(round((peak_bytes() - before) / (8064 * 6048 * 3), 1))
PYTHON

cd "$folder"
venv/bin/python write.py
for name in jpg png webp; do
    echo "$name: $(venv/bin/python read.py "picture.$name") times the picture"
done | tee seen
awk '{ wrong += $1 == "webp:" ? $2 <= 4 : $2 > 2 } END { exit wrong > 0 }' seen \
    || { echo 'the memory that decoding takes has changed'; exit 1; }
