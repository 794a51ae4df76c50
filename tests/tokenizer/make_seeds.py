#!/usr/bin/env python3
"""Writes the seeds of fuzz_tokenizer_json.c, fuzz_tokenizer_gguf.c and fuzz_tokenizer_model.c: good-*
must be accepted, bad-* refused.

usage: make_seeds.py tests/fuzz/corpus
"""
import base64
import copy
import json
import os
import struct
import sys

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPACE = "\u2581"


def charsmap():
    """SentencePiece's rules of two: A becomes a, B becomes bb. A double array by hand: the root's
    offset is 0x80, so that A's unit stands at 0x80 ^ 0x41."""
    units = [0] * 256
    units[0] = 0x80 << 10
    for c, place, replacement in ((0x41, 0xC1, 0), (0x42, 0xC2, 2)):
        units[place] = (place ^ (0xF0 + c - 0x41)) << 10 | 1 << 8 | c
        units[0xF0 + c - 0x41] = 1 << 31 | replacement
    return struct.pack("<I", 1024) + struct.pack("<256I", *units) + b"a\0bb\0"


CHARSMAP = base64.b64encode(charsmap()).decode()


def alphabet():
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return sorted([chr(b) for b in shown] + [chr(0x100 + i) for i in range(len(hidden))])


def byte_level(**options):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, **options}


def make(tokens, merges, **parts):
    model = {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False,
             "byte_fallback": False, "ignore_merges": False, **parts.pop("model", {}),
             "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": None, "pre_tokenizer": byte_level(), "post_processor": None,
            "decoder": byte_level(), **parts, "model": model}


def added(i, content, **flags):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True, **flags}


def good():
    letters = alphabet()
    words = letters + ["he", "ll", "hell", "hello", "aa", "aaaa"]
    merges = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["a", "a"], ["aa", "aa"]]
    split = {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False}
    sequence = {"type": "Sequence", "pretokenizers": [split, byte_level(use_regex=False)]}
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                           {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [], "special_tokens": {}}
    sp_tokens = (["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] +
                 [SPACE, "a", "l", "o", "H", "e", SPACE + "H", "ll", "llo", "aa", SPACE + SPACE])
    sp_merges = [[SPACE, "H"], ["l", "l"], ["ll", "o"], ["a", "a"], [SPACE, SPACE]]
    sp_added = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>", rstrip=True, lstrip=True)]
    sp = {"added_tokens": sp_added, "post_processor": template,
          "model": {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    decoder = {"type": "Sequence",
               "decoders": [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                            {"type": "ByteFallback"}, {"type": "Fuse"},
                            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    yield "gpt2", make(words, [" ".join(m) for m in merges])
    yield "llama3", make(words + ["<s>"], merges, pre_tokenizer=sequence, post_processor=template,
                         added_tokens=[added(262, "<s>"), added(265, "<user>", special=False)],
                         model={"ignore_merges": True})
    yield "qwen2-nfc", make(words, merges, normalizer={"type": "NFC"}, pre_tokenizer={
        "type": "Sequence", "pretokenizers": [
            {**split, "pattern": {"Regex": LLAMA3.replace("{1,3}", "")}},
            byte_level(use_regex=False)]})
    yield "bytes", make(letters, [], pre_tokenizer=byte_level(use_regex=False))
    yield "llama2", make(sp_tokens, sp_merges, pre_tokenizer=None, decoder=decoder, normalizer={
        "type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace]}, **sp)
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}
    yield "metaspace", make(sp_tokens, sp_merges, decoder=decoder, pre_tokenizer=metaspace, **sp)
    yield "metaspace-old", make(sp_tokens, sp_merges, decoder={**metaspace, "prepend_scheme": "always"},
                                pre_tokenizer={"type": "Metaspace", "replacement": SPACE,
                                               "add_prefix_space": True}, **sp)
    yield "gemma", make(sp_tokens, sp_merges, normalizer=replace, pre_tokenizer={
        "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
        "invert": False}, decoder={**decoder, "decoders": decoder["decoders"][:3]}, **sp)
    yield "no-fallback", make(sp_tokens, sp_merges, pre_tokenizer=metaspace, **{
        **sp, "model": {"unk_token": "<unk>", "fuse_unk": False, "byte_fallback": False}})
    yield "general", make(
        words, merges, normalizer={"type": "Sequence", "normalizers": [
            {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "NFD"},
            {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            {"type": "Prepend", "prepend": "x"}]},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {**split, "pattern": {"Regex": "(?=[A-Z])|\\p{Lu}?\\w{1,3}+|[^\\s\\S]"},
             "behavior": "MergedWithNext"},
            {**split, "pattern": {"String": "l"}, "behavior": "MergedWithPrevious", "invert": True},
            {"type": "Digits", "individual_digits": False}, {"type": "Punctuation"},
            {"type": "WhitespaceSplit"}, byte_level(use_regex=True, add_prefix_space=True)]},
        added_tokens=[added(262, "<s>", single_word=True, normalized=True, special=False),
                      added(263, "AB", normalized=True, special=False, lstrip=True)])
    yield "contiguous", make(words, merges, pre_tokenizer={
        "type": "Sequence", "pretokenizers": [
            {**split, "pattern": {"Regex": "\\s+$"}, "behavior": "Contiguous"},
            {**split, "pattern": {"Regex": "(a|b)*+x"}, "behavior": "Removed"},
            {"type": "Whitespace"}, byte_level(use_regex=False)]})
    pieces = [["<unk>", 0], [SPACE, -2.5], ["a", -3], ["l", -3.5], [SPACE + "he", -4], ["llo", -4.25],
              ["aa", -3.25], ["<s>", 0]] + [[f"<0x{b:02X}>", -20] for b in range(256)]
    unigram = {"type": "Unigram", "unk_id": 0, "byte_fallback": True}
    metaspace = {**metaspace, "prepend_scheme": "always", "split": True}
    root = make([], [], pre_tokenizer=metaspace, decoder=metaspace, normalizer={
        "type": "Precompiled", "precompiled_charsmap": CHARSMAP}, added_tokens=[added(7, "<s>")])
    yield "unigram", {**root, "model": {**unigram, "vocab": pieces}}
    yield "unigram-plain", {**root, "normalizer": None,
                            "model": {**unigram, "vocab": pieces, "byte_fallback": False}}


def nested(n):
    c = {"type": "NFC"}
    for _ in range(n):
        c = {"type": "Sequence", "normalizers": [c]}
    return c


def bad():
    base = dict(good())["gpt2"]

    def change(path, value):
        root = copy.deepcopy(base)
        at = root
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return root

    yield "model-type", change(["model", "type"], "Unigram")
    yield "merge-unknown", change(["model", "merges", 0], "h \u00e9\u00e9")
    yield "merge-result", change(["model", "merges", 0], "e h")
    yield "merge-three", change(["model", "merges", 0], "h e l")
    yield "merge-twice", change(["model", "merges", 1], "h e")
    yield "merge-type", change(["model", "merges", 1], 7)
    yield "id-twice", change(["model", "vocab", "he"], 3)
    yield "id-huge", change(["model", "vocab", "he"], 2 ** 40)
    yield "id-negative", change(["model", "vocab", "he"], -1)
    yield "id-string", change(["model", "vocab", "he"], "1")
    yield "no-byte", change(["model", "vocab", "!"], 300)
    yield "added-conflict", change(["added_tokens"], [added(5, "<s>")])
    yield "added-no-id", change(["added_tokens"], [{"content": "<s>"}])
    yield "added-nul", change(["added_tokens"], [added(262, "<\0s>")])
    yield "normalizer", change(["normalizer"], {"type": "BertNormalizer"})
    yield "pattern", change(["pre_tokenizer"], {"type": "Split", "behavior": "Isolated",
                                                "pattern": {"Regex": "ab(c"}})
    yield "pattern-set", change(["pre_tokenizer"], {"type": "Split", "behavior": "Isolated",
                                                    "pattern": {"Regex": "[a-z&&[^b]]"}})
    yield "pattern-empty", change(["pre_tokenizer"], {"type": "Split", "behavior": "Isolated",
                                                      "pattern": {"Regex": ""}})
    yield "behavior", change(["pre_tokenizer"], {"type": "Split", "behavior": "Sideways",
                                                 "pattern": {"Regex": "a"}})
    yield "byte-level-first", change(["pre_tokenizer"], {"type": "Sequence", "pretokenizers": [
        byte_level(), {"type": "Digits"}]})
    yield "sequence-deep", change(["normalizer"], nested(20))
    yield "charsmap", change(["normalizer"], {"type": "Precompiled", "precompiled_charsmap": "AAAA"})
    yield "charsmap-base64", change(["normalizer"], {"type": "Precompiled",
                                                     "precompiled_charsmap": "????"})
    yield "unigram-bytes", change(["model"], {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0]]})
    yield "unigram-unknown", {**base, "pre_tokenizer": None, "decoder": None, "model": {
        "type": "Unigram", "unk_id": 7, "vocab": [["a", 0]]}}
    yield "unigram-piece", {**base, "pre_tokenizer": None, "decoder": None, "model": {
        "type": "Unigram", "unk_id": 0, "vocab": [["a"]]}}
    yield "decoder-behind-fuse", change(["decoder"], {"type": "Sequence", "decoders": [
        {"type": "Fuse"}, {"type": "Metaspace", "replacement": SPACE}]})
    yield "post-processor", change(["post_processor"], {"type": "BertProcessing"})
    yield "decoder", change(["decoder"], {"type": "WordPiece"})
    yield "dropout", change(["model", "dropout"], 0.1)
    yield "suffix", change(["model", "end_of_word_suffix"], "</w>")


def gguf(**pairs):
    """A GGUF file without tensors; values are strings, whole numbers, truths and lists."""
    def text(s):
        s = s if isinstance(s, bytes) else s.encode()
        return struct.pack("<Q", len(s)) + s

    def value(v):
        if isinstance(v, bool):
            return 7, struct.pack("<B", v)
        if isinstance(v, int):
            return 4, struct.pack("<I", v)
        if isinstance(v, (str, bytes)):
            return 8, text(v)
        kind = 5 if v and isinstance(v[0], int) else 6 if v and isinstance(v[0], float) else 8
        items = b"".join(text(x) if kind == 8 else struct.pack("<i" if kind == 5 else "<f", x)
                         for x in v)
        return 9, struct.pack("<IQ", kind, len(v)) + items

    out = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs))
    for key, v in pairs.items():
        kind, body = value(v)
        out += text("tokenizer.ggml." + key) + struct.pack("<I", kind) + body
    return out


def gguf_seeds():
    letters = alphabet()
    words = letters + ["he", "ll", "hell", "<s>", "<user>"]
    byte_level_bpe = dict(model="gpt2", pre="llama-bpe", tokens=words,
                          token_type=[1] * 259 + [3, 4], merges=["h e", "l l", "he ll"],
                          bos_token_id=259, eos_token_id=259)
    pieces = ["<unk>", "<s>", "</s>", SPACE, "a", "b", "ab", SPACE + "a", "aa", "xy", "<0x41>"]
    sp = dict(model="llama", tokens=pieces, scores=[0.0] * 4 + [-float(i) for i in range(7)],
              token_type=[2, 3, 3] + [1] * 7 + [6], bos_token_id=1, eos_token_id=2,
              add_bos_token=True, add_space_prefix=False)
    yield "good-bpe", gguf(**byte_level_bpe)
    for pre in ("tekken", "deepseek-v3", "deepseek-llm", "default", "falcon", "viking"):
        yield "good-" + pre, gguf(**{**byte_level_bpe, "pre": pre, "eot_token_id": 260})
    yield "good-bytes", gguf(model="gpt2", pre="gpt-2", tokens=letters, merges=[])
    yield "good-sentencepiece", gguf(**sp)
    yield "bad-merge", gguf(**{**byte_level_bpe, "merges": ["h e", "e h"]})
    yield "bad-eos", gguf(**{**sp, "eos_token_id": 11})
    yield "bad-scores", gguf(**{**sp, "scores": [float("nan")] * 11})
    yield "bad-utf8", gguf(**{**sp, "tokens": pieces[:-1] + [b"\xFF"]})


def varint(v):
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    """One field of a Protocol Buffers message."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def sp_model(pieces, kind, normalizer, **trainer):
    names = {"byte_fallback": 35, "unk": 40, "bos": 41, "eos": 42, "pad": 43, "suffix": 24}
    out = b"".join(field(1, field(1, p) + field(2, float(score)) + field(3, type))
                   for p, score, type in pieces)
    spec = field(3, kind) + b"".join(field(names[k], v) for k, v in trainer.items())
    return out + field(2, spec) + field(3, b"".join(field(k, v) for k, v in normalizer.items()))


def model_seeds():
    special = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)]
    letters = [(SPACE, -9, 1), ("a", -10, 1), ("l", -11, 1), ("\u00e9", -12, 1)]
    words = [(SPACE + "a", -1, 1), ("ll", -2, 1), ("lla", -3, 1), ("aa", -4, 1), ("ba", -5, 1)]
    all_bytes = [(f"<0x{b:02X}>", 0, 6) for b in range(256)]
    user = [("<sep>", 0, 4), ("aal", 0, 4), ("not used", 0, 5)]
    plain = {3: 1, 4: 0, 5: 1}
    mapped = {2: charsmap(), 3: 1, 4: 1, 5: 1}
    bpe = special + all_bytes + words + letters
    yield "good-bpe", sp_model(bpe, 2, plain, byte_fallback=1, unk=0, bos=1, eos=2)
    yield "good-bpe-user", sp_model(special + user + words + letters, 2, mapped)
    yield "good-bpe-no-prefix", sp_model(bpe + user, 2, {3: 0, 4: 0}, byte_fallback=1)
    yield "good-unigram", sp_model(special + words + letters, 1, mapped, unk=0)
    yield "good-unigram-bytes", sp_model(bpe + user, 1, plain, byte_fallback=1)
    good = sp_model(bpe, 2, plain)
    yield "bad-empty", b""
    yield "bad-cut", good[:-3]
    yield "bad-wire", good + b"\x0f"
    yield "bad-length", good + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"
    yield "bad-twice", sp_model(bpe + [("a", 0, 1)], 2, plain)
    yield "bad-type", sp_model(bpe + [("q", 0, 9)], 2, plain)
    yield "bad-score", sp_model(bpe + [("q", float("nan"), 1)], 2, plain)
    yield "bad-utf8", sp_model(bpe + [(b"\xff", 0, 1)], 2, plain)
    yield "bad-piece-empty", sp_model(bpe + [("", 0, 1)], 2, plain)
    yield "bad-no-unknown", sp_model(letters, 2, plain)
    yield "bad-word", sp_model(bpe, 3, plain)
    yield "bad-suffix", sp_model(bpe, 2, plain, suffix=1)
    yield "bad-charsmap", sp_model(bpe, 2, {2: b"\xff\xff\xff\xff"})
    yield "bad-not-escaped", sp_model(bpe, 2, {5: 0})
    yield "bad-json", b'{"model": {}}'


def main():
    for name, data in model_seeds():
        directory = os.path.join(sys.argv[1], "tokenizer_model")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, name + ".model"), "wb") as f:
            f.write(data)
    for name, data in gguf_seeds():
        directory = os.path.join(sys.argv[1], "tokenizer_gguf")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, name + ".gguf"), "wb") as f:
            f.write(data)
    directory = os.path.join(sys.argv[1], "tokenizer_json")
    os.makedirs(directory, exist_ok=True)

    def write(name, text):
        with open(os.path.join(directory, name + ".json"), "w", encoding="utf-8") as f:
            f.write(text)

    for name, root in good():
        write("good-" + name, json.dumps(root, ensure_ascii=False, separators=(",", ":")))
    for name, root in bad():
        if name == "no-byte":
            del root["model"]["vocab"]["!"]
        write("bad-" + name, json.dumps(root, ensure_ascii=False, separators=(",", ":")))
    write("bad-empty", "")
    write("bad-array", "[]")
    write("bad-duplicate", '{"model": {"vocab": {"a": 0, "a": 1}}}')
    write("bad-deep", "[" * 5000)
    write("bad-truncated", '{"model": {"vocab": {"a')


main()
