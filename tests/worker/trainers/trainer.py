# SPDX-License-Identifier: Apache-2.0
"""trainer.py MODE: a trainer behind the contract of docs/trainer.md that behaves as MODE says.

It adds 0.5 to the first element of the model and says 5 examples. Each start leaves its process id in the file `pids` of
the folder it runs in, so that a test can tell how often it was started, and each message in `heard`."""

import json
import os
import signal
import struct
import subprocess
import sys
import time

MODE = sys.argv[1]
TRAINS = {"trainer-only": ["train"], "evaluator": ["evaluate"]}.get(MODE, ["train", "evaluate"])


def say(**message):
    print(json.dumps(message), flush=True)


def note(name, text):
    with open(name, "a") as f:
        f.write(f"{text}\n")


def first_time():
    """Is this the first process that was started here?"""
    return len(open("pids").readlines()) == 1


def read(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], bytearray(data[t["data_offsets"][0] : t["data_offsets"][1]])) for name, t in header.items()}


def write(path, tensors, metadata=None):
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def trained(base):
    tensors = read(base)
    name = next(n for n in tensors if n != "b" and not n.startswith("input."))
    data = tensors[name][2]
    data[:4] = struct.pack("<f", struct.unpack("<f", data[:4])[0] + (float("nan") if MODE == "nan" else 0.5))
    return tensors


def misbehave(message):
    """What is done in place of an answer. Returns whether anything was."""
    task = message["id"]
    if MODE == "die-signal":
        os.kill(os.getpid(), signal.SIGUSR1)
    elif MODE == "exit-1":
        print("ValueError: no such column", file=sys.stderr, flush=True)
        sys.exit(1)
    elif MODE.startswith("accents"):
        print(("x" if MODE == "accents-shifted" else "") + "\u00e9" * 500, file=sys.stderr, flush=True)
        sys.exit(1)
    elif MODE == "die-once" and first_time():
        sys.exit(7)
    elif MODE == "exit-0":
        sys.exit(0)
    elif MODE == "closes":
        os.close(1)
        time.sleep(60)
    elif MODE == "orphan":
        subprocess.Popen(["sleep", "60"])
        os._exit(3)
    elif MODE in ("hang", "stubborn", "shy"):
        if MODE == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sleeper = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 60"])
            note("grandchild", sleeper.pid)
        time.sleep(60)
    elif MODE == "nothing":
        say(type="done", id=task, examples=5)
    elif MODE == "fifo":
        os.mkfifo(message["output"])
        say(type="done", id=task, examples=5)
    elif MODE == "garbage":
        print("Epoch 1: loss 0.3", flush=True)
    elif MODE == "number":
        print("7", flush=True)
    elif MODE == "long-line":
        print("x" * 100000, flush=True)
    elif MODE == "wrong-id":
        say(type="done", id=task + 1, examples=5)
    elif MODE == "unknown-type":
        say(type="finished", id=task)
    elif MODE == "cancels":
        say(type="cancelled", id=task)
    elif MODE == "no-examples":
        say(type="done", id=task, examples=0)
    elif MODE == "many-examples":
        say(type="done", id=task, examples=1 << 29)
    elif MODE == "bad-metric":
        say(type="done", id=task, examples=5, metrics={"Top 1": 0.5})
    elif MODE == "nan-metric":
        say(type="done", id=task, examples=5, metrics={"loss": float("nan")})
    elif MODE == "error":
        say(type="error", id=task, message="no GPU\n\u202e here")
    elif MODE == "large":
        with open(message["output"], "wb") as f:
            f.truncate(64 << 20)
        time.sleep(60)
    elif MODE == "large-done":
        with open(message["output"], "wb") as f:
            f.truncate(64 << 20)
        say(type="done", id=task, examples=5)
    elif MODE == "memory":
        block = b"x" * (300 << 20)
        time.sleep(60 if block else 0)
    elif MODE == "memory-child":
        subprocess.run([sys.executable, "-c", "import time; b = b'x' * (300 << 20); time.sleep(60 if b else 0)"])
    elif MODE == "text":
        with open(message["output"], "w") as f:
            f.write("this is no model")
        say(type="done", id=task, examples=5)
    elif MODE == "base":
        with open(message["base"], "r+b") as f:
            f.seek(-1, 2)
            f.write(b"\x55")
        return False
    else:
        return False
    return True


def slow(task):
    """Takes longer than the limit without progress, but says progress."""
    for i in range(15):
        time.sleep(0.1)
        say(type="progress", id=task, done=i + 1, total=15)


def train(message):
    if misbehave(message):
        return
    if MODE == "slow":
        slow(message["id"])
    if MODE == "flood":
        for i in range(20000):
            print(f"warning {i} " + "y" * 40, file=sys.stderr)
        sys.stderr.flush()
    tensors = trained(message["base"])
    if MODE == "layout":
        tensors["extra"] = ("F32", [1], bytearray(4))
    if MODE == "shape":
        name = next(iter(tensors))
        dtype, shape, data = tensors[name]
        tensors[name] = (dtype, [*shape, 1], data)
    if MODE == "fixed":
        tensors["input.mean"][2][0] ^= 1
    if MODE == "reorder":
        write(message["output"], dict(reversed(tensors.items())), {"format": "pt"})
    else:
        write(message["output"], tensors)
    say(type="done", id=message["id"], examples=5, metrics={"loss": 0.25, "accuracy": None}, later=True)


def wait_for_cancel(message):
    """Answers only when told to stop."""
    if MODE == "polite":
        told = json.loads(sys.stdin.readline())
        say(type="cancelled", id=told["id"])
    elif MODE == "late":
        json.loads(sys.stdin.readline())
        say(type="progress", id=message["id"], done=1)
        say(type="done", id=message["id"], examples=5)
        say(type="cancelled", id=message["id"])
    else:
        return False
    return True


def main():
    note("pids", os.getpid())
    if MODE == "mute":
        time.sleep(60)
    if MODE == "crash":
        sys.exit("no module named torch")
    if MODE == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        message = json.loads(line)
        note("heard", line.strip())
        if message["type"] == "hello":
            version = 2 if MODE == "version" else 1
            say(type="hello", contract=version, name="test", version="1.0", capabilities=TRAINS)
        elif message["type"] == "train" and message["id"] == 1 and wait_for_cancel(message):
            pass
        elif message["type"] == "train":
            train(message)
        elif message["type"] == "evaluate":
            say(type="done", id=message["id"], examples=5, metrics={"loss": 0.125})
        elif message["type"] == "bye":
            break
    if MODE == "deaf":
        time.sleep(60)


main()
