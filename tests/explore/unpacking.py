"""A second reader of what a page carries, in numpy, which shares no code with what wrote it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

import numpy as np


def unpacked(text: str, told: list[dict[str, Any]]) -> list[np.ndarray]:
    """The arrays [step, ...] of packed text, by what is told of each."""
    data, at, found = gzip.decompress(base64.b64decode(text)), 0, []
    for its in told:
        shape = (len(its["steps"]), *its["shape"])
        size = int(np.prod(shape))
        if its["kind"] == "f4":
            values = np.frombuffer(data, "<f4", size, at).reshape(shape)
            at += 4 * size
        else:
            scales = np.frombuffer(data, "<f4", shape[0], at)
            at += 4 * shape[0]
            changes = np.frombuffer(data, np.uint8, size, at).reshape(shape)
            whole = np.cumsum(changes, axis=0, dtype=np.uint8).view(np.int8).astype(np.float32)
            whole[whole == -128] = np.nan
            values = whole * scales.reshape(-1, *(1,) * (len(shape) - 1))
            at += size
        at += -at % 4
        found.append(values)
    assert at == len(data)
    return found


def scenes(html: str) -> dict[str, tuple[dict[str, Any], dict[tuple[str, int], np.ndarray]]]:
    """By scene what its drawing is told, and its arrays by name and seed."""
    found = {}
    for section in re.findall(r'<section class="scene[^>]* id="([^"]+)".*?</section>', html, re.DOTALL):
        body = html.split(f' id="{section}"', 1)[1].split("</section>", 1)[0]
        data = re.search(r'class="data">(.*?)</script>', body, re.DOTALL)
        packed = re.search(r'class="arrays">(.*?)</script>', body, re.DOTALL)
        if data and packed:
            told = json.loads(data[1])
            arrays = unpacked(packed[1], told["arrays"])
            named = {
                (its["name"], its["seed"]): a for its, a in zip(told["arrays"], arrays, strict=True)
            }
            found[section] = told, named
    return found
