#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mixed.py [spoil]: a trainer for models of any dtypes. Floats change by chance (site and name are its seed), integers named count.* by the
site's number, every other one downwards. Weights are large and odd, so that means fall anywhere between two half floats. With
`spoil`, it changes what must stay as well.

Its arithmetic is written anew for test_dtypes: nothing here comes from the programs that are tested."""

import json
import sys
import zlib

import numpy

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I8": "<i1"}


def widen(dtype, values):
    """Floats as f64; a bf16 is the upper half of an f32."""
    if dtype == "BF16":
        return (values.astype("<u4") << 16).view("<f4").astype("<f8")
    return values.astype("<f8")


def narrow(dtype, values):
    """f64 rounded once, to nearest, ties to even. For bf16: to a multiple of the last of eight digits' worth, at least 2^-133,
    which is an f32 whose lower half is zero."""
    if dtype != "BF16":
        return values.astype(DTYPES[dtype])
    _, exponents = numpy.frexp(values)
    quantum = numpy.ldexp(1.0, numpy.maximum(exponents - 8, -133))
    return (numpy.copysign(numpy.rint(values / quantum) * quantum, values).astype("<f4").view("<u4") >> 16).astype("<u2")


def load(path):
    """The tensors of a safetensors file: {name: (dtype, values)}."""
    data = path.read_bytes() if hasattr(path, "read_bytes") else open(path, "rb").read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], numpy.frombuffer(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]], DTYPES[t["dtype"]]))
            for name, t in header.items()}


def save(path, tensors):
    header, data = {}, b""
    for name, (dtype, values) in tensors.items():
        piece = values.tobytes()
        header[name] = {"dtype": dtype, "shape": [len(values)], "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text + data)


def weight(site):
    return 100_000_007 * (site + 1) - 4


def train(base, site, spoil=False):
    """What this trainer makes of a base."""
    new = {}
    for name, (dtype, values) in base.items():
        if dtype[0] in "FB":
            chance = numpy.random.default_rng([site, zlib.crc32(name.encode())])
            values = narrow(dtype, widen(dtype, values) * chance.uniform(0.5, 1.5, len(values)) + chance.normal(size=len(values)) / 8)
        elif name.startswith("count."):
            signs = numpy.where(numpy.arange(len(values)) % 2 == 0, 1, -1)
            values = (values + (site + 1) * signs).astype(DTYPES[dtype])
        elif spoil:
            values = values + 1
        new[name] = (dtype, values)
    return new


def main():
    spoil = sys.argv[1:] == ["spoil"]
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "hello":
            print(json.dumps({"type": "hello", "contract": 1, "name": "mixed", "version": "1", "capabilities": ["train"]}), flush=True)
        elif message["type"] == "train":
            save(message["output"], train(load(message["base"]), message["site"], spoil))
            print(json.dumps({"type": "done", "id": message["id"], "examples": weight(message["site"]), "metrics": {}}), flush=True)
        elif message["type"] == "bye":
            break


if __name__ == "__main__":
    main()
