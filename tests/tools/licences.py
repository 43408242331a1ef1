#!/usr/bin/env python3
"""Checks that every dependency may be part of a program under AGPL-3.0-only, and comes from the
registry. Known vulnerabilities are another question: `cargo audit` answers it where its database is
at hand."""

import json
import re
import subprocess
import sys

ALLOWED = {
    "0BSD", "AGPL-3.0-only", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-1-Clause",
    "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT",
    "MIT-0", "MPL-2.0", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib", "bzip2-1.0.6",
}


def allowed(expression: str) -> bool:
    """Is one alternative of an SPDX expression allowed whole?"""
    flat = re.sub(r"[()]", "", expression.replace("/", " OR "))
    choices = (choice.split(" AND ") for choice in flat.split(" OR "))
    return any(all(part.strip() in ALLOWED for part in choice) for choice in choices)


def main() -> int:
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"],
        check=True, capture_output=True, text=True,
    )
    packages = json.loads(metadata.stdout)["packages"]
    faults = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if not allowed(package["license"] or ""):
            faults.append(f"{name}: licence {package['license']}")
        source = package["source"] or ""
        if source and not source.startswith("registry+"):
            faults.append(f"{name}: not from the registry: {source}")
    print("\n".join(faults) or f"licences of {len(packages)} packages are fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
