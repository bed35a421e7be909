"""Run one benchmark where the peers' SDKs are installed, and print what it yields as JSON lines."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import import_module

from benchmarks.bench import Row


def main() -> None:
    """Run the benchmark that is named."""
    for said in import_module(f"benchmarks.{sys.argv[1]}").rows():
        print(json.dumps(asdict(said) if isinstance(said, Row) else said), flush=True)


if __name__ == "__main__":
    main()
