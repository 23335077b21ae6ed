"""One reader in a process that libFuzzer drives and may end: started by ``python -m benchmarks.fuzzing``.

python -m benchmarks.fuzzing.one READER FINDINGS [libFuzzer's options and folders]
"""

from __future__ import annotations

import hashlib
import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tuner", "zipfile", "numpy.lib._format_impl"]):
    from benchmarks.fuzzing.readers import READERS, finding

FOUND = "FOUND"
"""Word that begins the line of a finding."""


def main() -> None:
    """Fuzz until libFuzzer ends the process; keep one input of each finding."""
    name, kept = sys.argv.pop(1), Path(sys.argv.pop(1))
    reader, seen = READERS[name], set[str]()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="tune-fuzz-") as folder:

        def once(content: bytes) -> None:
            if len(content) < 2:
                return
            suffix = reader.suffixes[content[0] % len(reader.suffixes)]
            whole = reader.wrapped(content[1:])
            what = finding(reader, whole, Path(folder, f"x{suffix}"))
            if what and what not in seen:
                seen.add(what)
                digest = hashlib.blake2b(what.encode(), digest_size=4).hexdigest()
                (kept / f"{digest}{suffix}").write_bytes(whole)
                (kept / f"{digest}.why").write_text(what + "\n", encoding="utf-8")
                sys.stderr.write(f"{FOUND} {what}\n")

        atheris.Setup(sys.argv, once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
