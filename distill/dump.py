#!/usr/bin/env python3
"""Teacher dumps of linnet from any framework: a writer and a reader in Python, with h5py and numpy.

docs/teacher-dumps.md is the format. To write what a teacher held likely at the tokens of a text:

    with dump.Writer("part.h5", vocab_size=151936, k=64, teacher="Qwen2.5-7B", tokenizer_json="tokenizer.json") as w:
        w.add(tokens, logits=logits)        # for each text; logits (n, vocab_size) as a model returns them

The file appears under its name when it is complete; a file that is there is appended to. To look at dumps and to check
them:

    python3 dump.py describe PATH           # a file, or a folder of parts
    python3 dump.py verify PATH
"""
import json
import os
import shutil
import sys

import h5py
import numpy as np

FORMAT = "linnet-teacher-dump-1"
KINDS = ("top-k", "dense", "sampled")
CHUNK = 32768  # elements
PENDING = 8 * CHUNK  # elements that are held back until they are written
LOWEST = -65504.0  # of float16
BLOCK = 4096  # positions read at once


class DumpError(ValueError):
    """What is wrong with a dump, or with what is to become one, in one line."""


def _small(largest):
    return np.uint16 if largest <= 0xFFFF else np.uint32


def _half(x):
    x = np.minimum(np.asarray(x, np.float64), 0)
    return np.where(np.isneginf(x), x, np.maximum(x, LOWEST)).astype(np.float16)


def _log_softmax(logits, temperature):
    z = np.asarray(logits, np.float32) / np.float32(temperature)
    if np.isnan(z).any() or np.isposinf(z).any():
        raise DumpError("a logit is infinite or no number")
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)


class Writer:
    """Writes one file. k: entries of a position at most; dense has none. cumulative: entries end where their
    probabilities sum to this. tokenizer_json: a path or bytes; tokenizer_hash: what `linnet info` shows of the tokenizer,
    as a number. settings: a dictionary, for people."""

    def __init__(self, path, vocab_size, k=None, teacher=None, kind="top-k", temperature=1.0, cumulative=0.0,
                 tokenizer_json=None, tokenizer_hash=None, teacher_hash=None, settings=None, producer="dump.py"):
        self.path, self.kind, self.vocab_size = os.fspath(path), kind, int(vocab_size)
        self.temperature, self.cumulative = float(temperature), float(cumulative)
        self.k = self.vocab_size if kind == "dense" else int(k or 0)
        if kind not in KINDS:
            raise DumpError('kind is "%s"; it must be one of %s' % (kind, ", ".join(KINDS)))
        if not 0 < self.vocab_size < 2**31 or not 0 < self.k <= self.vocab_size:
            raise DumpError("k = %d of vocab_size = %d: both must be above 0, k at most vocab_size" % (self.k, self.vocab_size))
        if not self.temperature > 0 or not 0 <= self.cumulative <= 1:
            raise DumpError("temperature must be above 0, cumulative 0 to 1")
        if not teacher:
            raise DumpError("teacher: a name is needed")
        if kind != "dense" and self.k > 2**20:
            raise DumpError("k = %d: over %d a dump must be dense" % (self.k, 2**20))
        self.counted = kind == "sampled" or (kind == "top-k" and self.cumulative > 0)
        if isinstance(tokenizer_json, (str, os.PathLike)):
            with open(tokenizer_json, "rb") as f:
                tokenizer_json = f.read()
        if tokenizer_json is not None:
            json.loads(tokenizer_json.decode("utf-8"))
        self.attributes = {"format": FORMAT, "kind": kind, "vocab_size": np.uint64(self.vocab_size), "k": np.uint64(self.k),
                           "temperature": self.temperature, "cumulative": self.cumulative, "teacher": teacher,
                           "producer": producer}
        for name, value in (("tokenizer_hash", tokenizer_hash), ("teacher_hash", teacher_hash)):
            if value:
                self.attributes[name] = np.uint64(value)
        if settings is not None:
            self.attributes["settings"] = json.dumps(settings)
        self._open(tokenizer_json)

    # ---- the file ----

    def _open(self, tokenizer_json):
        self.temporary = "%s.tmp%d" % (self.path, os.getpid())
        append = os.path.exists(self.path)
        if append:
            _check_same(self.path, self.attributes)
            shutil.copyfile(self.path, self.temporary)
        self.file = h5py.File(self.temporary, "a")
        self.pending = {}
        if append:
            self.n_tokens = self.file["tokens"].shape[0]
            there = self.file["tokenizer_json"][:].tobytes() if "tokenizer_json" in self.file else None
            if tokenizer_json is not None and there is not None and there != bytes(tokenizer_json):
                self.abandon()
                raise DumpError('%s: dataset "tokenizer_json" is another tokenizer than the one given' % self.path)
            return
        self.n_tokens = 0
        for name, value in self.attributes.items():
            self.file.attrs[name] = value
        v, dense = self.vocab_size, self.kind == "dense"
        self._create("tokens", _small(v - 1), CHUNK)
        self._create("sequences", np.uint64, CHUNK // 8)
        self._create("supervised", np.uint8, 2 * CHUNK)
        if self.counted:
            self._create("counts", _small(self.k), CHUNK)
        if dense:
            self._create("log_probs", np.float16, max(1, 2 * CHUNK // v), v)
        else:
            self._create("id_gaps", _small(v - 1), CHUNK)
            self._create("log_probs", np.float16, CHUNK)
            self._create("log_tail", np.float16, CHUNK)
        self._append("sequences", np.zeros(1, np.uint64))
        if tokenizer_json is not None:
            self._create("tokenizer_json", np.uint8, 2 * CHUNK)
            self._append("tokenizer_json", np.frombuffer(tokenizer_json, np.uint8))

    def _create(self, name, dtype, chunk, width=None):
        tail = () if width is None else (width,)
        self.file.create_dataset(name, (0,) + tail, dtype, maxshape=(None,) + tail, chunks=(chunk,) + tail, shuffle=True,
                                 compression="gzip", compression_opts=4, fletcher32=True)

    def _append(self, name, values):
        arrays = self.pending.setdefault(name, [])
        arrays.append(values)
        if sum(a.size for a in arrays) >= PENDING:
            self._flush(name)

    def _flush(self, name):
        arrays = self.pending.pop(name, [])
        if arrays:
            dataset, values = self.file[name], np.concatenate(arrays)
            n = dataset.shape[0]
            dataset.resize(n + len(values), axis=0)
            dataset[n:] = values

    def close(self):
        """Completes the file and gives it its name."""
        if self.file is None:
            return
        for name in list(self.pending):
            self._flush(name)
        self.file.close()
        self.file = None
        with open(self.temporary, "rb") as f:
            os.fsync(f.fileno())
        os.replace(self.temporary, self.path)

    def abandon(self):
        """Gives the file up; one that was there stays as it was."""
        if self.file is not None:
            self.file.close()
            self.file = None
            os.unlink(self.temporary)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            self.close()
        else:
            self.abandon()

    # ---- sequences ----

    def add(self, tokens, supervised=None, logits=None, ids=None, log_probs=None, log_tail=None, counts=None):
        """Adds a sequence of n tokens. supervised (n): which of them the teacher's distributions are of, never the first
        (None: all others). Those are m; given are either
        logits (m, vocab_size), or (n, vocab_size) as a model returns them (row i is about token i + 1), at temperature 1;
        or ids and log_probs (m, k), at the dump's temperature, with log_tail (m) of the probability of all other tokens
        (None: what is missing to 1; sampled: none); with `counts` (m) entries of all positions one after the other."""
        tokens = np.asarray(tokens)
        n = len(tokens)
        if tokens.ndim != 1 or n == 0 or not np.issubdtype(tokens.dtype, np.integer):
            raise DumpError("tokens must be a row of whole numbers")
        if tokens.min() < 0 or tokens.max() >= self.vocab_size:
            raise DumpError("a token is beyond the vocabulary of %d" % self.vocab_size)
        supervised = np.arange(n) > 0 if supervised is None else np.asarray(supervised).astype(bool)
        if supervised.shape != (n,):
            raise DumpError("supervised has the shape %s, there are %d tokens" % (supervised.shape, n))
        if supervised[0]:
            raise DumpError("the first token of a sequence cannot be supervised: nothing stands before it")
        m = int(supervised.sum())
        columns = self._rows(m, supervised, logits, ids, log_probs, log_tail, counts) if m else {}
        for name, values in columns.items():
            self._append(name, values)
        self.n_tokens += n
        self._append("tokens", tokens.astype(self.file["tokens"].dtype))
        self._append("supervised", supervised.astype(np.uint8))
        self._append("sequences", np.array([self.n_tokens], np.uint64))

    def _rows(self, m, supervised, logits, ids, log_probs, log_tail, counts):
        """The columns of m positions, checked."""
        if logits is not None:
            if self.kind == "sampled":
                raise DumpError("a sampled dump takes ids and log_probs, not logits")
            logits = np.asarray(logits)
            if logits.ndim != 2 or logits.shape[1] != self.vocab_size or logits.shape[0] not in (m, len(supervised)):
                raise DumpError("logits have the shape %s; (%d, %d) or (%d, %d) is needed" %
                                (logits.shape, m, self.vocab_size, len(supervised), self.vocab_size))
            if logits.shape[0] != m:
                logits = logits[np.flatnonzero(supervised) - 1]
            if self.kind == "dense":
                return {"log_probs": _half(_log_softmax(logits, self.temperature))}
            ids, log_probs, log_tail, counts = self._choose(_log_softmax(logits, self.temperature))
        if self.kind == "dense":
            raise DumpError("a dense dump takes logits")
        if ids is None or log_probs is None:
            raise DumpError("logits, or ids and log_probs, are needed")
        return self._entries(m, np.asarray(ids), np.asarray(log_probs, np.float64), log_tail, counts)

    def _choose(self, log_probs):
        """The likeliest entries of each row, and the others' probability."""
        m, k = len(log_probs), self.k
        ids = np.argpartition(log_probs, -k, axis=1)[:, -k:] if k < self.vocab_size else np.tile(np.arange(k), (m, 1))
        top = np.take_along_axis(log_probs, ids, axis=1)
        if self.counted:
            order = np.argsort(-top, axis=1)
            ids, top = np.take_along_axis(ids, order, axis=1), np.take_along_axis(top, order, axis=1)
            before = np.cumsum(np.exp(top), axis=1) - np.exp(top)
            keep = before < self.cumulative
        else:
            keep = np.ones(ids.shape, bool)
        rest = log_probs.copy()
        np.put_along_axis(rest, ids, np.where(keep, -np.inf, top), axis=1)
        with np.errstate(divide="ignore"):
            log_tail = np.log(np.exp(rest).sum(axis=1, dtype=np.float64))
        return ids[keep], top[keep], log_tail, keep.sum(axis=1)

    def _entries(self, m, ids, log_probs, log_tail, counts):
        if counts is None:
            if ids.ndim != 2:
                raise DumpError("ids and log_probs must be (%d, k), or come with counts" % m)
            counts = np.full(len(ids), ids.shape[1])
        counts = np.asarray(counts).astype(np.int64)
        ids, log_probs = ids.reshape(-1), log_probs.reshape(-1)
        if counts.shape != (m,) or counts.sum() != len(ids) or len(ids) != len(log_probs):
            raise DumpError("%d supervised tokens, but %d counts, %d ids and %d log_probs" %
                            (m, len(counts), len(ids), len(log_probs)))
        if counts.min() < 1 or counts.max() > self.k or (not self.counted and counts.min() != self.k):
            raise DumpError("a position has %d to %d entries, but k is %d" % (counts.min(), counts.max(), self.k))
        rows = np.repeat(np.arange(m), counts)
        order = np.lexsort((ids, rows))
        ids, log_probs = ids[order].astype(np.int64), log_probs[order]
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            raise DumpError("an id is beyond the vocabulary of %d" % self.vocab_size)
        starts = np.cumsum(counts) - counts
        gaps = np.diff(ids, prepend=0)
        gaps[starts] = ids[starts]
        inner = np.ones(len(ids), bool)
        inner[starts] = False
        if (gaps[inner] == 0).any():
            raise DumpError("an id is there twice at one position")
        if not np.isfinite(log_probs).all() or log_probs.max() > 1e-3:
            raise DumpError("a log-probability is above 0, infinite or no number; leave entries of probability 0 out")
        sums = np.add.reduceat(np.exp(log_probs), starts)
        if log_tail is None:
            with np.errstate(divide="ignore"):
                log_tail = np.full(m, -np.inf) if self.kind == "sampled" else np.log(np.maximum(1 - sums, 0))
        log_tail = np.asarray(log_tail, np.float64)
        if log_tail.shape != (m,) or np.isnan(log_tail).any() or log_tail.max() > 1e-3:
            raise DumpError("log_tail must be %d numbers of at most 0" % m)
        worst = np.abs(sums + np.exp(log_tail) - 1).max()
        if self.kind != "sampled" and worst > 0.01:
            raise DumpError("entries and tail of a position add up to 1 but for %.4f; are log_probs normalised?" % worst)
        columns = {"id_gaps": gaps.astype(_small(self.vocab_size - 1)), "log_probs": _half(log_probs), "log_tail": _half(log_tail)}
        if self.counted:
            columns["counts"] = counts.astype(_small(self.k))
        return columns


def _check_same(path, wanted):
    """Whether more can be appended to the file."""
    with _open(path) as f:
        for name in ("format", "kind", "vocab_size", "k", "temperature", "cumulative", "tokenizer_hash", "teacher_hash"):
            there, new = f.attrs.get(name), wanted.get(name)
            if there != new and not (name == "cumulative" and not there and not new):
                raise DumpError('%s: attribute "%s" is %s there, but %s is to be appended' % (path, name, there, new))


def _open(path):
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DumpError("%s: %s" % (path, error))


class Part:
    """One file, for reading. Positions are those of the file."""

    def __init__(self, path):
        self.path = path
        self.file = _open(path)
        a = self.file.attrs
        if a.get("format") != FORMAT:
            raise DumpError('%s: attribute "format" is %s, not "%s"' % (path, a.get("format"), FORMAT))
        for name in ("kind", "vocab_size", "temperature", "teacher"):
            if name not in a:
                raise DumpError('%s: attribute "%s" is missing' % (path, name))
        self.kind, self.vocab_size, self.temperature = a["kind"], int(a["vocab_size"]), float(a["temperature"])
        self.teacher, self.cumulative = a["teacher"], float(a.get("cumulative", 0))
        if self.kind not in KINDS:
            raise DumpError('%s: attribute "kind" is "%s"; it must be one of %s' % (path, self.kind, ", ".join(KINDS)))
        self.k = int(a.get("k", self.vocab_size if self.kind == "dense" else 0))
        if not 0 < self.k <= self.vocab_size < 2**31:
            raise DumpError('%s: attribute "k" is %d of a vocabulary of %d' % (path, self.k, self.vocab_size))
        self.tokenizer = int(a["tokenizer_hash"]) if "tokenizer_hash" in a else None
        self._read_tokens()
        self._read_counts()

    def _dataset(self, name, rows=None):
        if name not in self.file:
            raise DumpError('%s: dataset "%s" is missing' % (self.path, name))
        dataset = self.file[name]
        if rows is not None and dataset.shape[0] != rows:
            raise DumpError('%s: dataset "%s" has %d rows, expected %d' % (self.path, name, dataset.shape[0], rows))
        return dataset

    def _slice(self, name, begin, end):
        """Rows of a dataset; an error names the chunk."""
        dataset = self.file[name]
        try:
            return dataset[begin:end]
        except OSError as whole:
            size = dataset.chunks[0] if dataset.chunks else len(dataset)
            for chunk in range(begin // size, (end - 1) // size + 1):
                try:
                    dataset[chunk * size:(chunk + 1) * size]
                except OSError as error:
                    raise DumpError('%s: dataset "%s", chunk %d (rows %d to %d): %s: the file is damaged; write it again' %
                                    (self.path, name, chunk, chunk * size, min((chunk + 1) * size, len(dataset)) - 1, error))
            raise DumpError('%s: dataset "%s": %s' % (self.path, name, whole))

    def _read_tokens(self):
        self.tokens = self._slice("tokens", 0, self._dataset("tokens").shape[0])
        n = len(self.tokens)
        self.supervised = self._slice("supervised", 0, self._dataset("supervised", n).shape[0])
        self.sequences = self._slice("sequences", 0, self._dataset("sequences").shape[0]).astype(np.int64)
        if n and (self.tokens.min() < 0 or self.tokens.max() >= self.vocab_size):
            raise DumpError('%s: dataset "tokens": a token is beyond the vocabulary of %d' % (self.path, self.vocab_size))
        s = self.sequences
        if len(s) == 0 or s[0] != 0 or s[-1] != n or (np.diff(s) <= 0).any():
            raise DumpError('%s: dataset "sequences" does not rise from 0 to the %d tokens' % (self.path, n))
        if n and (self.supervised.max() > 1 or self.supervised[s[:-1]].any()):
            raise DumpError('%s: dataset "supervised" must hold 0 and 1, and 0 for the first token of a sequence' % self.path)
        self.n_positions = int(self.supervised.sum())

    def _read_counts(self):
        if self.kind == "dense":
            if self._dataset("log_probs", self.n_positions).shape[1:] != (self.vocab_size,):
                raise DumpError('%s: dataset "log_probs" must have rows of %d' % (self.path, self.vocab_size))
            return
        if "counts" in self.file:
            counts = self._slice("counts", 0, self._dataset("counts", self.n_positions).shape[0]).astype(np.int64)
            if len(counts) and (counts.min() < 1 or counts.max() > self.k):
                raise DumpError('%s: dataset "counts": %d to %d entries, but k is %d' % (self.path, counts.min(), counts.max(), self.k))
        else:
            counts = np.full(self.n_positions, self.k)
        self.begin = np.concatenate([[0], np.cumsum(counts)])
        for name in ("id_gaps", "log_probs"):
            self._dataset(name, self.begin[-1])
        self._dataset("log_tail", self.n_positions)

    def read(self, first, n):
        """n positions from `first` on: begin (n + 1), ids and log_probs of their entries, log_tail (n). Dense: ids is None,
        and log_probs (n, vocab_size)."""
        if self.kind == "dense":
            return None, None, self._slice("log_probs", first, first + n).astype(np.float32), np.full(n, -np.inf)
        begin = self.begin[first:first + n + 1]
        gaps = self._slice("id_gaps", begin[0], begin[-1]).astype(np.int64)
        log_probs = self._slice("log_probs", begin[0], begin[-1]).astype(np.float32)
        log_tail = self._slice("log_tail", first, first + n).astype(np.float32)
        begin = begin - begin[0]
        total = np.cumsum(gaps)
        before = total[begin[:-1]] - gaps[begin[:-1]]
        return begin, total - np.repeat(before, np.diff(begin)), log_probs, log_tail

    def verify(self):
        """Reads everything; the first thing that is wrong is the DumpError. Returns the sums of positions."""
        sums, block = [], max(1, BLOCK * 64 // self.k)
        for first in range(0, self.n_positions, block):
            n = min(block, self.n_positions - first)
            begin, ids, log_probs, log_tail = self.read(first, n)

            def bad(name, rows, what):
                if rows.any():
                    raise DumpError('%s: dataset "%s", position %d: %s' % (self.path, name, first + int(np.argmax(rows)), what))

            if ids is None:
                bad("log_probs", ~(log_probs <= 0).all(axis=1), "a log-probability must be a number, at most 0")
                sums.append(np.exp(log_probs, dtype=np.float64).sum(axis=1))
            else:
                gaps = np.diff(ids, prepend=-1)
                gaps[begin[:-1]] = 1
                bad("id_gaps", np.maximum.reduceat(ids, begin[:-1]) >= self.vocab_size, "an id is beyond the vocabulary")
                bad("id_gaps", np.minimum.reduceat(gaps, begin[:-1]) < 1, "an id is there twice")
                wrong = ~((log_probs <= 0) & np.isfinite(log_probs))
                bad("log_probs", np.logical_or.reduceat(wrong, begin[:-1]), "a log-probability must be a number, at most 0")
                bad("log_tail", ~(log_tail <= 0), "a log-probability must be at most 0")
                sums.append(np.add.reduceat(np.exp(log_probs, dtype=np.float64), begin[:-1]) + np.exp(log_tail))
            if self.kind != "sampled":
                bad("log_probs", ~(np.abs(sums[-1] - 1) <= 0.01), "probabilities and tail do not add up to 1")
        return np.concatenate(sums) if sums else np.zeros(0)


def parts(path):
    """The parts of a dump: the *.h5 files of a folder, or the one file."""
    path = os.fspath(path)
    names = sorted(n for n in os.listdir(path) if n.endswith(".h5")) if os.path.isdir(path) else [None]
    if not names:
        raise DumpError("%s: holds no part of a dump (*.h5)" % path)
    result = [Part(path if n is None else os.path.join(path, n)) for n in names]
    for p in result[1:]:
        for name in ("vocab_size", "kind", "temperature", "tokenizer"):
            if getattr(p, name) != getattr(result[0], name):
                raise DumpError("%s and %s have different values of %s: they are not parts of one dump" %
                                (result[0].path, p.path, name))
    return result


def verify(path):
    """Reads and checks everything. Raises DumpError."""
    all_parts = parts(path)
    sums = np.concatenate([p.verify() for p in all_parts])
    if all_parts[0].kind == "sampled" and len(sums) >= 30:  # few do not tell
        mean, chance = sums.mean(), 5 * sums.std() / np.sqrt(len(sums))
        if abs(mean - 1) > 0.01 + chance:
            raise DumpError("%s: the weights of a position add up to %.4f in the mean, not 1" % (path, mean))
    return all_parts


def describe(path):
    """What a dump is, as lines of text."""
    all_parts = parts(path)
    p, positions = all_parts[0], sum(q.n_positions for q in all_parts)
    tokens = sum(len(q.tokens) for q in all_parts)
    size = sum(os.path.getsize(q.path) for q in all_parts)
    lines = ["kind: %s" % p.kind, "vocab_size: %d" % p.vocab_size, "k: %d" % p.k, "temperature: %g" % p.temperature,
             "teacher: %s" % p.teacher, "parts: %d" % len(all_parts),
             "sequences: %d" % sum(len(q.sequences) - 1 for q in all_parts), "tokens: %d" % tokens, "positions: %d" % positions,
             "bytes: %d" % size]
    if positions:
        lines.append("bytes of a position: %.1f" % (size / positions))
    return "\n".join(lines)


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in ("verify", "describe"):
        print("usage: dump.py verify PATH | dump.py describe PATH", file=sys.stderr)
        return 2
    try:
        if arguments[0] == "verify":
            verify(arguments[1])
        print(describe(arguments[1]))
    except (DumpError, OSError) as error:
        print("dump.py: error: %s" % error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
