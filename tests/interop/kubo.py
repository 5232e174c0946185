# SPDX-License-Identifier: Apache-2.0
"""A real Kubo of our own: a private node in a folder that goes away, everything on loopback, nothing announced.

KUBO names the binary. Settings: those of an offline private node, with the Datastore as `init` makes it."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

KUBO = os.environ.get("KUBO", "ipfs")
SETTINGS = {
    "Bootstrap": [],
    "Discovery.MDNS.Enabled": False,
    "Routing.Type": "none",
    "Provide.Enabled": False,
    "AutoTLS.Enabled": False,
    "AutoNAT.ServiceMode": "disabled",
    "Swarm.RelayClient.Enabled": False,
    "Swarm.RelayService.Enabled": False,
    "Swarm.Transports.Network.Relay": False,
    "Swarm.DisableNatPortMap": True,
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Kubo:
    def __init__(self, profile=None, folder=None):
        self.repo = tempfile.mkdtemp(prefix="kubo-", dir=folder)
        self.daemon = None
        self("init", "--empty-repo")
        self("config", "profile", "apply", "autoconf-off")
        if profile:
            self("config", "profile", "apply", profile)
        self.swarm, self.api, self.gateway_port = free_port(), free_port(), free_port()
        for key, value in {
            **SETTINGS,
            "Addresses.Swarm": [f"/ip4/127.0.0.1/tcp/{self.swarm}"],
            "Addresses.API": f"/ip4/127.0.0.1/tcp/{self.api}",
            "Addresses.Gateway": f"/ip4/127.0.0.1/tcp/{self.gateway_port}",
        }.items():
            self.set(key, value)

    def set(self, key, value):
        self("config", "--json", key, json.dumps(value))

    def __call__(self, *arguments, input=None, check=True, timeout=300):
        """Standard output of one command, as bytes."""
        done = subprocess.run([KUBO, *map(str, arguments)], input=input, capture_output=True, env=self.environment(), timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"ipfs {' '.join(map(str, arguments))}: {done.stderr.decode()}")
        return done.stdout

    def text(self, *arguments, **more):
        return self(*arguments, **more).decode().strip()

    def environment(self):
        return {**os.environ, "IPFS_PATH": self.repo, "IPFS_TELEMETRY": "off"}

    @property
    def gateway(self):
        return f"http://127.0.0.1:{self.gateway_port}"

    def start(self):
        log = open(pathlib.Path(self.repo) / "daemon.log", "wb")
        self.daemon = subprocess.Popen([KUBO, "daemon"], stdout=log, stderr=log, env=self.environment())
        end = time.monotonic() + 60
        while b"Daemon is ready" not in pathlib.Path(log.name).read_bytes():
            if time.monotonic() > end or self.daemon.poll() is not None:
                raise AssertionError("the daemon did not start: " + pathlib.Path(log.name).read_text())
            time.sleep(0.05)
        return self

    def peer(self):
        return f"/ip4/127.0.0.1/tcp/{self.swarm}/p2p/" + re.search(r'"ID": "(\w+)"', self.text("id")).group(1)

    def peak_kib(self):
        """The daemon's peak resident memory."""
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text()).group(1))

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
            self.daemon = None

    def close(self):
        self.stop()
        shutil.rmtree(self.repo, ignore_errors=True)
