"""Runs the script of a job that is written for node."""

import json
import os
import pathlib
import subprocess

from house import ALICE, PASSWORD


def run(name, house, folder):
    environment = {
        **os.environ, "FOLDER": str(folder), "PORTS": json.dumps(house.ports), "USER": ALICE,
        "PASSWORD": PASSWORD, "CERTIFICATE": str(house.certificate),
    }
    script = pathlib.Path(__file__).with_name("jobs") / f"{name}.mjs"
    subprocess.run(["node", script], env=environment, check=True, capture_output=True, text=True, timeout=60)
