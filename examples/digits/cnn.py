#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cnn: a trainer in PyTorch for Colmeia's trainer contract (docs/trainer.md).

A small convolutional network with batch normalisation for square grey images of ten kinds. Data are a CSV table (a header
line; 8 x 8 pixels of 0 to 16, the digit last) or MNIST's IDX files, gzipped or not: name the images' file, the labels' lies
beside it; a folder means the training part in it. Same seed, data and base give the same model on the same machine.

    cnn.py                                     talks to the worker on stdin and stdout
    cnn.py --new FILE [--side N] [--seed N]    writes an initial model for images of N x N (8)
    cnn.py --evaluate MODEL DATA               prints loss, accuracy and the number of examples"""

import argparse
import gzip
import json
import os
import pathlib
import select
import sys
import time

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

EVALUATED_AT_ONCE = 1000
PROGRESS_SECONDS = 1


class Cnn(nn.Module):
    """x (N,1,S,S) -> logits (N,10); S is a multiple of 4."""

    def __init__(self, side):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.out = nn.Linear(32 * (side // 4) ** 2, 10)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 2)
        x = functional.max_pool2d(functional.relu(self.bn2(self.conv2(x))), 2)
        return self.out(x.flatten(1))


class Cancelled(Exception):
    pass


# --- models and data


def load_model(path):
    tensors = load_file(path)
    model = Cnn(4 * round((tensors["out.weight"].shape[1] / 32) ** 0.5))
    model.load_state_dict(tensors)
    return model


def save_model(model, path):
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


def read_idx(path):
    """An IDX file of unsigned bytes: 00 00 08 RANK, big-endian dimensions, values."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is not an IDX file of bytes")
    shape = numpy.frombuffer(data, ">u4", data[3], 4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(shape)


def read_images(path):
    """Images (N,S,S) scaled to 0..1, and their labels (N)."""
    if path.is_dir():
        path = next(path.glob("train-images*"))
    if path.suffix != ".csv":
        labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
        return read_idx(path).astype(numpy.float32) / 255, read_idx(labels)
    table = numpy.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, dtype=numpy.float32)
    side = round((table.shape[1] - 1) ** 0.5)
    return table[:, :-1].reshape(-1, side, side) / 16, table[:, -1]


def load_data(path):
    x, y = read_images(pathlib.Path(path))
    if len(x) == 0 or len(x) != len(y) or y.min() < 0 or y.max() > 9:
        raise ValueError("the data must be images with one label of 0 to 9 each")
    return torch.from_numpy(x[:, None]), torch.from_numpy(y.astype(numpy.int64))


# --- training


def evaluate(model, x, y, between=lambda examples: None):
    model.eval()
    loss = correct = 0
    with torch.no_grad():
        for at in range(0, len(x), EVALUATED_AT_ONCE):
            between(min(EVALUATED_AT_ONCE, len(x) - at))
            logits, labels = model(x[at:at + EVALUATED_AT_ONCE]), y[at:at + EVALUATED_AT_ONCE]
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(1) == labels).sum().item()
    return {"loss": loss / len(x), "accuracy": correct / len(x)}


def batches(count, h):
    """Which examples each step takes: `steps` of them, or `epochs` passes, each pass in an order of its own."""
    size = h["batch"] or count
    steps = h["steps"] or h["epochs"] * -(-count // size)
    while steps > 0:
        for batch in torch.randperm(count).split(size)[:steps]:
            yield batch
            steps -= 1


def train(model, x, y, h, between):
    """SGD as the plan's hyperparameters `h` say. Decay is for weights alone, not for biases and scales."""
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimiser = torch.optim.SGD([{"params": weights, "weight_decay": h["weight_decay"]}, {"params": others}],
                                lr=h["learning_rate"], momentum=h["momentum"])
    base = [p.detach().clone() for p in model.parameters()]
    model.train()
    for chosen in batches(len(x), h):
        between(len(chosen))
        optimiser.zero_grad()
        functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
        if h["proximal"]:
            for p, b in zip(model.parameters(), base):
                p.grad += h["proximal"] * (p.detach() - b)
        optimiser.step()


# --- the contract


class Worker:
    """The worker's end: lines of JSON. Reading never waits for more than is there, unless asked to."""

    def __init__(self):
        self.bytes = b""
        self.waiting = []  # messages that came while we trained
        self.said = 0

    def say(self, **message):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    def read(self, wait):
        """The next message; None if there is none yet and we do not wait. The end of input is a bye."""
        while b"\n" not in self.bytes:
            if not wait and not select.select([0], [], [], 0)[0]:
                return None
            piece = os.read(0, 65536)
            if not piece:
                return {"type": "bye"}
            self.bytes += piece
        line, self.bytes = self.bytes.split(b"\n", 1)
        return json.loads(line)

    def next(self):
        return self.waiting.pop(0) if self.waiting else self.read(True)

    def between(self, task, total):
        """What is done before each batch: looks for a cancel, and tells how far we are, in examples."""
        done = 0

        def look(examples):
            nonlocal done
            message = self.read(False)
            if message is not None:
                if message["type"] == "bye" or (message["type"] == "cancel" and message["id"] == task["id"]):
                    self.waiting.append(message)
                    raise Cancelled
            if time.monotonic() - self.said >= PROGRESS_SECONDS:
                self.said = time.monotonic()
                self.say(type="progress", id=task["id"], done=done, total=total)
            done += examples
        return look


def work(worker, task):
    model = load_model(task["base"])
    x, y = load_data(task["data"])
    h = task["hyperparameters"]
    trained = 0 if task["type"] == "evaluate" else h["steps"] * (h["batch"] or len(x)) or h["epochs"] * len(x)
    between = worker.between(task, len(x) + trained)
    metrics = evaluate(model, x, y, between)
    if task["type"] == "train":
        torch.manual_seed(int(task["seed"][:15], 16))
        train(model, x, y, h, between)
        save_model(model, task["output"])
    worker.say(type="done", id=task["id"], examples=len(x), metrics=metrics)


def serve():
    worker = Worker()
    while True:
        message = worker.next()
        if message["type"] == "hello":
            worker.say(type="hello", contract=1, name="cnn", version="1", capabilities=["train", "evaluate"])
        elif message["type"] in ("train", "evaluate"):
            try:
                work(worker, message)
            except Cancelled:
                pass  # its message is the next one
            except (OSError, ValueError, KeyError, RuntimeError) as problem:
                worker.say(type="error", id=message["id"], message=str(problem))
        elif message["type"] == "cancel":
            worker.say(type="cancelled", id=message["id"])
        elif message["type"] == "bye":
            return


def main():
    parser = argparse.ArgumentParser(description="A trainer for Colmeia's trainer contract; without arguments it talks to the worker.")
    parser.add_argument("--new", metavar="FILE", help="write an initial model")
    parser.add_argument("--side", type=int, default=8, help="of the images, a multiple of 4 (8)")
    parser.add_argument("--seed", type=int, default=1, help="of the initial model (1)")
    parser.add_argument("--evaluate", nargs=2, metavar=("MODEL", "DATA"), help="print loss and accuracy")
    given = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same bits every time
    torch.use_deterministic_algorithms(True)
    if given.new:
        torch.manual_seed(given.seed)
        save_model(Cnn(given.side), given.new)
    elif given.evaluate:
        x, y = load_data(given.evaluate[1])
        print(json.dumps({**evaluate(load_model(given.evaluate[0]), x, y), "examples": len(x)}))
    else:
        serve()


main()
