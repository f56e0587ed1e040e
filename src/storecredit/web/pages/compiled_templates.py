"""Templates as they were compiled, kept beside the database: compiling one takes 5 to 60 ms.

Without this the first visitor of each page after every start waits for it. It is code, which is
run as it stands in the file: so each file bears a seal made with the key that cookies are signed
with, over the code and all that it was made of. What somebody else wrote, what was cut off by a
full disk, and what another version made is not run, but compiled anew and replaced.

Nothing depends on the files: where none can be written, pages are only slower at first.
"""

import contextlib
import hmac
import importlib.util
import marshal
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Final

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

from storecredit import __version__

FOLDER: Final = "compiled-templates"
"""In a data directory; it may be removed at any time."""
_SEAL_BYTES: Final = sha256().digest_size
_SALT: Final = b"storecredit.compiled-templates"


class CompiledTemplates(BytecodeCache):
    """Keeps them in a folder that this user alone can open.

    `key`: 16 bytes or more that nobody else knows. `code_of`: folders with the code that templates
    are compiled with.
    """

    def __init__(self, data_dir: Path, key: bytes, code_of: Path) -> None:
        self._folder = data_dir / FOLDER
        self._key = hmac.digest(key, _SALT, "sha256")
        files = sorted((path.name, path.stat()) for path in code_of.glob("*.py"))
        made_by = [
            __version__,
            jinja2.__version__,
            importlib.util.MAGIC_NUMBER.hex(),
            *(f"{name} {about.st_mtime_ns} {about.st_size}" for name, about in files),
        ]
        self._made_by = "\n".join(made_by).encode()

    def load_bytecode(self, bucket: Bucket) -> None:
        """Put the template's code there if it is known."""
        with contextlib.suppress(OSError):
            kept = (self._folder / bucket.key).read_bytes()
            seal, code = kept[:_SEAL_BYTES], kept[_SEAL_BYTES:]
            if hmac.compare_digest(seal, self._seal(bucket, code)):
                bucket.code = marshal.loads(code)  # noqa: S302 - it bears our seal

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the template's code, if that can be."""
        code = marshal.dumps(bucket.code)
        draft = self._folder / f"{bucket.key}.{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            draft.write_bytes(self._seal(bucket, code) + code)
            draft.replace(self._folder / bucket.key)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _seal(self, bucket: Bucket, code: bytes) -> bytes:
        made_of = f"\n{bucket.key}\n{bucket.checksum}\n".encode()
        return hmac.digest(self._key, self._made_by + made_of + code, "sha256")
