"""Includes must follow the arrows of docs/architecture.md: what a folder may include is listed here."""

import pathlib
import re
import sys
import tempfile

ALLOWED = {
    "isa": set(),
    "formats": {"isa"},
    "verifier": {"isa"},
    "scheduler": {"isa"},
    "compiler": {"isa", "formats", "scheduler"},
    "reference": {"isa", "compiler"},
    "rtl": {"isa"},
    "emulator": {"isa", "rtl"},
    "host": {"isa", "formats", "emulator"},
    "bench": {"isa", "emulator", "host"},
    "cli": {"isa", "formats", "verifier", "compiler", "reference", "emulator", "host", "bench"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def wrong_includes(root):
    """Sentences, one for each include that goes against the arrows."""
    problems = []
    for folder, allowed in sorted(ALLOWED.items()):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in {".h", ".cc"}:
                continue
            for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
                target = include.split("/")[0]
                if target in ALLOWED and target != folder and target not in allowed:
                    problems.append(f"{path.relative_to(root)} includes {include}")
    return problems


def self_test():
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        (root / "host").mkdir()
        (root / "host" / "engine.cc").write_text('#include "compiler/compile_model.h"\n')
        return wrong_includes(root) == ["host/engine.cc includes compiler/compile_model.h"]


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(0 if self_test() else 1)
    problems = wrong_includes(pathlib.Path(sys.argv[1]))
    print("\n".join(problems) if problems else "includes follow the arrows")
    sys.exit(1 if problems else 0)


main()
