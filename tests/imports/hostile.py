"""Files made to do harm, or damaged, by name: none may run, none may take the reader down."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy as np

from tests.imports.torch_writer import (
    NONE,
    REDUCE,
    STOP,
    archive,
    integer,
    named,
    saved,
    storage,
    tensor,
    text,
    tuple_of,
    zipped,
)

HERE = "tests.imports.canary"
FIRE, BIRD = named(HERE, "fire"), named(HERE, "Bird")
CALL = FIRE + b")" + REDUCE
"""Calls the canary."""
ORDERED = named("collections", "OrderedDict")
EXTENSION = 0xE7
"""The number under which tests register the canary with copyreg."""

FLOATS = np.arange(6, dtype=np.float32).tobytes()
SIX = storage("FloatStorage", "0", 6)


def stack_global(module: bytes, name: bytes) -> bytes:
    return module + name + b"\x93"


RUN = {
    "reduce": CALL,
    "stack_global": stack_global(text(HERE), text("fire")) + b")" + REDUCE,
    "inst": b"(" + f"i{HERE}\nfire\n".encode(),
    "inst_with_arguments": b"(" + text("x") + f"i{HERE}\nfire\n".encode(),
    "obj": b"(" + BIRD + b"o",
    "newobj": BIRD + b")" + b"\x81",
    "newobj_ex": BIRD + b")}" + b"\x92",
    "build": BIRD + b")\x81" + b"}" + text("a") + integer(1) + b"s" + b"b",
    "extension_1": b"\x82" + bytes([EXTENSION]) + b")" + REDUCE,
    "extension_2": b"\x83" + struct.pack("<H", EXTENSION) + b")" + REDUCE,
    "extension_4": b"\x84" + struct.pack("<i", EXTENSION) + b")" + REDUCE,
    "in_a_list": b"]" + CALL + b"a",
    "in_a_tuple": CALL + b"\x85",
    "as_a_value": b"}" + text("a") + CALL + b"s",
    "dropped": CALL + b"0" + NONE,
    "in_a_memo": CALL + b"q\x00" + b"0" + NONE,
    "twice_in_a_tuple": CALL + CALL + b"\x86",
    "by_getattr": named("builtins", "getattr")
    + tuple_of(named("tests.imports", "canary"), text("fire"))
    + REDUCE
    + b")"
    + REDUCE,
    "by_partial": named("functools", "partial") + tuple_of(FIRE) + REDUCE + b")" + REDUCE,
    "by_map": named("builtins", "list")
    + tuple_of(named("builtins", "map") + tuple_of(FIRE, b"]" + NONE + b"a") + REDUCE)
    + REDUCE,
    "by_eval": named("builtins", "eval")
    + tuple_of(text("__import__('tests.imports.canary', fromlist=['fire']).fire()"))
    + REDUCE,
    "by_exec": named("builtins", "exec")
    + tuple_of(text("from tests.imports.canary import fire; fire()"))
    + REDUCE,
    "in_ordered_dict": ORDERED + tuple_of(b"]" + CALL + b"a0" + b"]") + REDUCE,
    "in_its_state": ORDERED + b")" + REDUCE + b"}" + text("a") + CALL + b"s" + b"b",
    "protocol_4": b"\x80\x04\x95" + struct.pack("<Q", len(CALL) + 1) + CALL,
    "protocol_0": f"c{HERE}\nfire\n(tR".encode(),
}
"""Pickles that call the canary when Python's own unpickler reads them."""

CALLS = {
    "os_system": named("os", "system") + tuple_of(text("true")) + REDUCE,
    "posix_system": named("posix", "system") + tuple_of(text("true")) + REDUCE,
    "subprocess": named("subprocess", "Popen") + tuple_of(text("true")) + REDUCE,
    "torch_load": named("torch", "load") + tuple_of(text("x")) + REDUCE,
    "torch_hub": named("torch.hub", "load") + tuple_of(text("x")) + REDUCE,
    "nested_pickle": named("torch.storage", "_load_from_bytes") + tuple_of(text("x")) + REDUCE,
    "numpy_array": named("numpy.core.multiarray", "_reconstruct") + b")" + REDUCE,
    "codecs": named("codecs", "encode") + tuple_of(text("x")) + REDUCE,
    "dotted_dict": stack_global(text("collections"), text("OrderedDict.fromkeys")) + b")" + REDUCE,
    "dotted_torch": stack_global(text("torch._utils"), text("_rebuild_tensor_v2.__globals__")),
    "lookalike": stack_global(text("collections "), text("OrderedDict")) + b")" + REDUCE,
    "cyrillic": stack_global(text("\u0441ollections"), text("OrderedDict")) + b")" + REDUCE,
    "global_of_numbers": stack_global(integer(1), integer(2)),
    "a_storage_called": named("torch", "FloatStorage") + b")" + REDUCE,
    "a_name_left": ORDERED,
    "a_number_called": integer(3) + b")" + REDUCE,
    "a_text_called": text("os.system") + b")" + REDUCE,
    "dict_with_arguments": ORDERED + tuple_of(b"]") + REDUCE,
    "arguments_no_tuple": ORDERED + b"]" + REDUCE,
    "state_of_a_plain_dict": b"}" + b"}" + b"b",
    "persistent_text": b"Pos.system\n",
    "persistent_number": integer(3) + b"Q",
    "persistent_other": tuple_of(text("module"), NONE, NONE, NONE, NONE) + b"Q",
    "parameter_of_nothing": named("torch._utils", "_rebuild_parameter") + tuple_of(NONE) + REDUCE,
}
"""Pickles that name or call what no state dict does."""

DAMAGED = {
    "empty": b"",
    "stop_alone": b"",
    "two_values": NONE + NONE,
    "open_mark": b"(" + NONE,
    "no_mark": NONE + b"t",
    "underflow": b"\x86",
    "reduce_alone": REDUCE,
    "memo_lacks_it": b"h\x07",
    "append_to_a_dict": b"}" + NONE + b"a",
    "append_to_an_ordered_dict": ORDERED + b")" + REDUCE + NONE + b"a",
    "item_of_a_list": b"]" + NONE + NONE + b"s",
    "odd_pairs": b"}(" + NONE + b"u",
    "key_is_a_list": b"}" + b"]" + NONE + b"s",
    "text_cut_off": b"X\xff\xff\xff\x7fabc",
    "huge_long": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "negative_long": b"\x8b" + struct.pack("<i", -1),
    "no_opcode": b"\xff",
    "bytes": b"C\x03abc",
    "frozenset": b"(\x91",
    "bad_utf8": b"X\x02\x00\x00\x00\xff\xfe",
}
"""Pickles that are none."""

TENSORS = {
    "beyond_the_end": (SIX, integer(0), tuple_of(integer(7)), tuple_of(integer(1))),
    "offset_beyond": (SIX, integer(6), tuple_of(integer(1)), tuple_of(integer(1))),
    "negative_offset": (SIX, integer(-1), tuple_of(integer(2)), tuple_of(integer(1))),
    "negative_stride": (SIX, integer(5), tuple_of(integer(2)), tuple_of(integer(-1))),
    "negative_size": (SIX, integer(0), tuple_of(integer(-2)), tuple_of(integer(1))),
    "stride_beyond": (SIX, integer(0), tuple_of(integer(2)), tuple_of(integer(2**31 - 1))),
    "expanded": (SIX, integer(0), tuple_of(integer(2**31 - 1)), tuple_of(integer(0))),
    "expanded_twice": (
        *(SIX, integer(0)),
        *(tuple_of(integer(2**31 - 1), integer(2**31 - 1)), tuple_of(integer(0), integer(0))),
    ),
    "fewer_strides": (SIX, integer(0), tuple_of(integer(2), integer(3)), tuple_of(integer(1))),
    "size_is_true": (SIX, integer(0), tuple_of(b"\x88"), tuple_of(integer(1))),
    "size_is_text": (SIX, integer(0), tuple_of(text("2")), tuple_of(integer(1))),
    "shape_is_a_number": (SIX, integer(0), integer(2), integer(1)),
    "no_storage": (NONE, integer(0), tuple_of(integer(2)), tuple_of(integer(1))),
    "storage_of_another_kind": (
        *(storage("DoubleStorage", "0", 6), integer(0)),
        *(tuple_of(integer(6)), tuple_of(integer(1))),
    ),
    "storage_of_another_length": (
        *(storage("FloatStorage", "0", 2**31 - 1), integer(0)),
        *(tuple_of(integer(2**31 - 1)), tuple_of(integer(1))),
    ),
    "storage_missing": (
        *(storage("FloatStorage", "1", 6), integer(0)),
        *(tuple_of(integer(6)), tuple_of(integer(1))),
    ),
    "storage_up_the_tree": (
        *(storage("FloatStorage", "../data.pkl", 6), integer(0)),
        *(tuple_of(integer(6)), tuple_of(integer(1))),
    ),
    "storage_unknown": (
        *(storage("QUInt8Storage", "0", 6), integer(0)),
        *(tuple_of(integer(6)), tuple_of(integer(1))),
    ),
    "many_axes": (SIX, integer(0), tuple_of(*[integer(1)] * 40), tuple_of(*[integer(1)] * 40)),
}
"""Tensors that are none: storage, offset, shape, strides."""


def pickles() -> dict[str, bytes]:
    """Every hostile or damaged pickle, without the archive about it."""
    plain = {**RUN, **CALLS, **DAMAGED}
    found = {name: b"\x80\x02" + opcodes + STOP for name, opcodes in plain.items()}
    found["empty"] = b""
    found["without_an_end"] = b"\x80\x02" + b"}"
    found |= {name: b"\x80\x02" + tensor(*parts) + STOP for name, parts in TENSORS.items()}
    found["hooks"] = (
        b"\x80\x02" + tensor(SIX, integer(0), tuple_of(integer(6)), tuple_of(integer(1)), CALL) + STOP
    )
    deep = b"}" + b")" + b"\x86" * 0 + b"".join(b"2\x86" for _ in range(60))
    found["key_that_takes_for_ever"] = b"\x80\x02" + deep + NONE + b"s" + STOP
    found["nested_keys"] = b"\x80\x02}" + b")" + b"\x85" * 100_000 + NONE + b"s" + STOP
    return found


def files() -> dict[str, tuple[str, bytes]]:
    """By name, every hostile or damaged file: its name's ending, and its bytes."""
    found = {name: (".pt", archive(pickle, {"0": FLOATS})) for name, pickle in pickles().items()}
    whole = saved({"embed.W_E": np.ones((4, 3), np.float32), "losses": [1.0, 2.0]})
    for cut in (
        4,
        5,
        10,
        30,
        60,
        200,
        len(whole) // 2,
        len(whole) - 60,
        len(whole) - 22,
        len(whole) - 1,
    ):
        found[f"cut_after_{cut}"] = ".pt", whole[:cut]
    for at in range(0, len(whole), max(1, len(whole) // 12)):
        found[f"flipped_at_{at}"] = ".pt", whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    pickle = b"\x80\x02}" + STOP
    entry = "archive/data.pkl"
    bomb = zipped({entry: pickle, "archive/data/0": bytes(10**8)}, zipfile.ZIP_DEFLATED)
    found |= {
        "bomb": (".pt", bomb),
        "packed": (".pt", zipped({entry: pickle}, zipfile.ZIP_DEFLATED)),
        "packed_by_lzma": (".pt", zipped({entry: pickle}, zipfile.ZIP_LZMA)),
        "upwards": (".pt", archive(pickle, {}, **{"archive/../../evil": b"x"})),
        "from_the_root": (".pt", archive(pickle, {}, **{"/etc/evil": b"x"})),
        "backslash": (".pt", archive(pickle, {}, **{"archive\\..\\evil": b"x"})),
        "two_pickles": (".pt", archive(pickle, {}, **{"other/data.pkl": pickle})),
        "no_pickle": (".pt", zipped({"readme": b"x"})),
        "deep_pickle": (".pt", zipped({"a/b/c/data.pkl": pickle})),
        "big_endian": (".pt", archive(pickle, {}, **{"archive/byteorder": b"big"})),
        "odd_bytes": (
            ".pt",
            archive(
                b"\x80\x02"
                + tensor(storage("FloatStorage", "0", 1), integer(0), tuple_of(), tuple_of())
                + STOP,
                {"0": b"abcde"},
            ),
        ),
        "two_of_one_name": (".pt", _twice(entry, pickle)),
        "one_inside_another": (".pt", _overlapping(pickle)),
        "bare_pickle": (".pt", b"\x80\x02" + CALL + STOP),
        "bare_pickle_4": (".pkl", b"\x80\x04" + CALL + STOP),
        "old_torch": (".pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
        "noise": (".pth", bytes(range(256)) * 20),
        "nothing": (".pt", b""),
        "safetensors_noise": (".safetensors", b"\x08\0\0\0\0\0\0\0{}      garbage"),
        "safetensors_huge_header": (".safetensors", struct.pack("<Q", 2**62) + b"{}"),
        "safetensors_overlap": (".safetensors", _safetensors({"a": [0, 4], "b": [0, 4]})),
        "safetensors_beyond": (".safetensors", _safetensors({"a": [0, 400]})),
        "safetensors_pickle": (".safetensors", b"\x80\x02" + CALL + STOP),
        "json_deep": (".json", b"[" * 200_000 + b"]" * 200_000),
        "json_noise": (".json", b"{'a': 1}"),
        "jsonl_noise": (".jsonl", b'{"a": 1}\n{'),
        "csv_binary": (".csv", b"\xff\xfe\x00step"),
        "csv_header": (".csv", b"step,train_loss\n"),
    }
    return found


def _twice(entry: str, pickle: bytes) -> bytes:
    """An archive with two entries of one name, which zipfile does not write."""
    other = "archive/data.pkx"
    written = zipped({entry: pickle, other: b"\x80\x02" + CALL + STOP})
    return written.replace(other.encode(), entry.encode())


def _overlapping(pickle: bytes) -> bytes:
    """An archive whose many entries all lie in the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as into:
        into.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle)
        into.writestr(zipfile.ZipInfo("archive/data/0"), bytes(10_000))
        of = into.filelist[-1]
        for i in range(1, 50):
            again = zipfile.ZipInfo(f"archive/data/{i}")
            again.header_offset, again.CRC = of.header_offset, of.CRC
            again.file_size = again.compress_size = of.file_size
            into.filelist.append(again)
    return file.getvalue()


def _safetensors(offsets: dict[str, list[int]]) -> bytes:
    header = {n: {"dtype": "F32", "shape": [1], "data_offsets": at} for n, at in offsets.items()}
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + bytes(4)
