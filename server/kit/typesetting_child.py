"""The process in which a document is set. It is started by its path, and imports nothing of ours.

What it is given (standard input, JSON) are the limits it puts on itself, the source, the data and
the folder of fonts. It writes the PDF to its standard output, and to nowhere else.
"""

import json
import resource
import sys
from contextlib import suppress


def confine(memory_bytes_max: int, s_max: int) -> None:
    """Take from this process what setting a document does not need."""
    limits = {
        resource.RLIMIT_AS: memory_bytes_max,
        resource.RLIMIT_CPU: s_max,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        # A system that does not know one of them, or allows less already, keeps its own.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def main() -> None:
    """Set what stands on the standard input."""
    job = json.load(sys.stdin.buffer)
    confine(job["memory_bytes_max"], job["s_max"])
    import typst  # noqa: PLC0415 - under the limits

    made = typst.compile(
        job["source"].encode(),
        root=job["root"],
        font_paths=[job["fonts"]],
        format="pdf",
        sys_inputs={"data": job["data"]},
    )
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    main()
