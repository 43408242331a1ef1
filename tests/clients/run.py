#!/usr/bin/env python3
"""Lets programs that were not written here do whole jobs with the real server.

    run.py PROGRAM [JOB…]     all jobs, or these; each in its own folder, on its own ports

Every file of jobs/ is one program's. The last line says how many passed and failed, and the exit
status is 1 when one failed.
"""

import concurrent.futures
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

from house import House

HERE = pathlib.Path(__file__).parent
ABREAST = 2


def certificate(folder):
    """A certificate for localhost, which the clients check."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "30", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    return cert, key


def play(name, program, folder, cert):
    """One job; what went wrong, or nothing."""
    own = folder / name
    own.mkdir()
    began = time.monotonic()
    try:
        job = importlib.import_module(f"jobs.{name}")
        with House(program, own, cert) as house:
            job.job(house, own)
        wrong = ""
    except subprocess.CalledProcessError as error:
        said = "\n".join(str(text) for text in (error.stdout, error.stderr) if text)
        wrong = f"{traceback.format_exc()}\n{said[-4000:]}"
    except Exception:
        wrong = traceback.format_exc()
    if wrong and (own / "log").exists():
        wrong += "the end of the server's log:\n" + (own / "log").read_text()[-3000:]
    return name, wrong, time.monotonic() - began


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    names = sys.argv[2:] or sorted(path.stem for path in (HERE / "jobs").glob("[a-z]*.py"))
    sys.path.insert(0, str(HERE))
    for name in [name for name in os.environ if name.startswith("MAILADE_")]:
        del os.environ[name]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="mailade-clients-") as folder:
        folder = pathlib.Path(folder)
        cert = certificate(folder)
        with concurrent.futures.ProcessPoolExecutor(ABREAST) as pool:
            jobs = [pool.submit(play, name, program, folder, cert) for name in names]
            for job in concurrent.futures.as_completed(jobs):
                name, wrong, seconds = job.result()
                print(f"{'FAIL' if wrong else 'PASS'} {name} ({seconds:.1f} s)", flush=True)
                if wrong:
                    failed += 1
                    print(wrong, flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
