"""Makes the Python stubs of `proto/` for the server and for `sdk/python`: `python tools/proto.py [TARGET_ROOT]`.

Both get the same `chat_pb2`: a program that imports both sees one set of message types under one name."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTO = "clawdbot/v1/chat.proto"
TARGETS = ("access/edges/grpc/generated", "sdk/python/clawdbot_client/generated")
MADE = ("chat_pb2.py", "chat_pb2.pyi")


def generate(root: Path) -> None:
    """Writes the stubs of every target under `root`."""
    with TemporaryDirectory() as folder:
        well_known = files("grpc_tools") / "_proto"
        places = [f"--proto_path={ROOT / 'proto'}", f"--proto_path={well_known}"]
        if protoc.main(["protoc", *places, f"--python_out={folder}", f"--pyi_out={folder}", PROTO]):
            raise SystemExit(1)
        for target in TARGETS:
            (root / target).mkdir(parents=True, exist_ok=True)
            for name in MADE:
                (root / target / name).write_text((Path(folder) / PROTO).with_name(name).read_text())


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
