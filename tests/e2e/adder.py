#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""adder.py [TROUBLE ROUND]: a trainer that needs no data: it adds (site + 1) / 1000 to every value of a model of F32 tensors,
streaming, so that its memory does not grow with the model. In ROUND it makes TROUBLE instead, to see what the worker does."""

import json
import os
import signal
import sys
import time

PIECE_BYTES = 4 << 20
PROGRESS_BYTES = 64 << 20
SLOW_SECONDS = 3
HOARD_BYTES = 400 << 20


def say(**message):
    print(json.dumps(message), flush=True)


def copy_changed(task, change):
    """The base with its values changed piece by piece; its header as it is."""
    import numpy
    size = os.path.getsize(task["base"])
    with open(task["base"], "rb") as base, open(task["output"], "wb") as out:
        head = base.read(8)
        out.write(head + base.read(int.from_bytes(head, "little")))
        said = done = base.tell()
        while piece := base.read(PIECE_BYTES):
            out.write(change(numpy.frombuffer(piece, numpy.float32)).tobytes())
            done += len(piece)
            if done - said >= PROGRESS_BYTES:
                said = done
                say(type="progress", id=task["id"], done=done, total=size)


def add(task):
    step = (task["site"] + 1) / 1000
    copy_changed(task, lambda values: values + values.dtype.type(step))


def done(task, **more):
    say(type="done", id=task["id"], examples=1, metrics={}, **more)


# --- troubles


def hang(task):
    """Says nothing any more, and will not be asked to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def die(task):
    os.kill(os.getpid(), signal.SIGSEGV)


def garbage(task):
    print("epoch 1: loss 0.3", flush=True)


def leave(task):
    sys.exit(0)


def no_output(task):
    done(task)


def nan(task):
    copy_changed(task, lambda values: values * float("nan"))
    done(task)


def layout(task):
    header = json.dumps({"other": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    with open(task["output"], "wb") as out:
        out.write(len(header).to_bytes(8, "little") + header + bytes(8))
    done(task)


def too_large(task):
    add(task)
    with open(task["output"], "ab") as out:
        out.write(bytes(8 << 20))
    done(task)


def memory(task):
    hoard = bytearray(HOARD_BYTES)
    hoard[::4096] = b"x" * len(hoard[::4096])
    time.sleep(1000)


def error(task):
    say(type="error", id=task["id"], message="patient 17 is missing")


def slow(task):
    """No trouble, but time enough to be killed in."""
    for i in range(SLOW_SECONDS * 10):
        time.sleep(0.1)
        say(type="progress", id=task["id"], done=i, total=SLOW_SECONDS * 10)
    add(task)
    done(task)


def main():
    trouble, when = (globals()[sys.argv[1]], int(sys.argv[2])) if len(sys.argv) > 1 else (None, 0)
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "hello":
            say(type="hello", contract=1, name="adder", version="1", capabilities=["train"])
        elif message["type"] == "train":
            print(f"at work on round {message['round']}", file=sys.stderr, flush=True)
            if message["round"] == when:
                trouble(message)
            else:
                add(message)
                done(message)
        elif message["type"] == "cancel":
            say(type="cancelled", id=message["id"])
        elif message["type"] == "bye":
            break


main()
