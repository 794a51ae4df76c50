#!/usr/bin/env python3
"""Writes the seeds of tests/fuzz/fuzz_tokenizer_json.c: good-* must be accepted, bad-* refused.

usage: make_seeds.py DIRECTORY
"""
import copy
import json
import os
import sys

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPACE = "\u2581"


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
    yield "metaspace", make(sp_tokens, sp_merges, decoder=decoder, pre_tokenizer={
        "type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}, **sp)


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
    yield "added-word", change(["added_tokens"], [added(262, "<s>", single_word=True)])
    yield "normalizer", change(["normalizer"], {"type": "Lowercase"})
    yield "pattern", change(["pre_tokenizer"], {"type": "Split", "behavior": "Isolated",
                                                "pattern": {"Regex": "a+"}})
    yield "prefix-space", change(["pre_tokenizer", "add_prefix_space"], True)
    yield "post-processor", change(["post_processor"], {"type": "BertProcessing"})
    yield "decoder", change(["decoder"], {"type": "WordPiece"})
    yield "dropout", change(["model", "dropout"], 0.1)
    yield "suffix", change(["model", "end_of_word_suffix"], "</w>")


def main():
    directory = sys.argv[1]
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
