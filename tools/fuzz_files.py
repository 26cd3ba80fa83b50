"""Read files that are broken or hostile: each must end in an error, and do nothing.

python tools/fuzz_files.py                  1,000 files of each kind
python tools/fuzz_files.py --files 50 --seed 1 safetensors

Files of ``sklearn_ae.save`` (safetensors), of skops and of ``to_onnx`` are cut off,
have bytes changed, removed or doubled, or are something else. Those of the first two
are also changed within (names, shapes, classes, numbers) and sealed again, as by
somebody who means harm. What is sealed again may make sense and load, and then be of no
use; all else has to be refused. A process of its own reads them, with no more than 1 GB
above what it has at the start. It may start no program, open no connection, write no
file and read no pickle.

Files of ONNX are read by ONNX Runtime alone, which knows of no digest: a changed number
loads as another number. The count says so, and what is asked of it is to survive.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_iris

import sklearn_ae
from sklearn_ae._utils import tensor_files

KINDS = ("safetensors", "skops", "onnx")
ROOM = 2**30  # bytes that reading may take
# What Python tells its auditors of, that no reader has a reason to do.
FORBIDDEN = (
    *("os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename", "os.system"),
    *("pickle.find_class", "shutil.rmtree", "socket.connect", "subprocess.Popen"),
)
ODD_VALUES = (
    *(None, True, -1, 0, 2**31, 2**63, 10**30, 1e308, "", "os.system", "x" * 1000),
    *([], {}, [[[[]]]], [2**40, 2**40], {"class": "builtins.eval"}),
)
OTHER_FILES = (b"", b"\x80\x04cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04", b"\xff" * 999)


def write(kind: str, folder: Path) -> bytes:
    """A good file of this kind."""
    X = load_iris().data
    estimator = sklearn_ae.AutoencoderTransformer(2, max_iter=2, early_stopping=False)
    estimator.fit(X)
    path = folder / "good"
    if kind == "safetensors":
        sklearn_ae.save(estimator, path)
    elif kind == "skops":
        import skops.io

        skops.io.dump(estimator, path)
    else:
        from sklearn_ae.export import to_onnx

        to_onnx(estimator, path, X)
    return path.read_bytes()


def reader(kind: str) -> tuple[Callable[[Path], Any], Callable[[Any], Any]]:
    """What reads files of this kind, and what then uses what was read."""
    X = load_iris().data
    if kind == "safetensors":
        return sklearn_ae.load, lambda estimator: estimator.transform(X)
    if kind == "skops":
        import skops.io

        # What the good file asks for, and nothing besides.
        load = partial(skops.io.load, trusted=TRUSTED)
        return load, lambda estimator: estimator.transform(X)
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    load = partial(onnxruntime.InferenceSession, providers=["CPUExecutionProvider"])
    return load, lambda session: session.run(None, {"X": X})


TRUSTED = [
    "sklearn_ae._estimators.autoencoder.AutoencoderTransformer",
]


# Changes ------------------------------------------------------------------------------


def broken(good: bytes, rng: np.random.RandomState) -> bytes:
    """A file that is cut off, has other bytes, or is something else."""
    way, place = rng.randint(6), rng.randint(len(good))
    if way == 0:
        return good[:place]
    if way == 1:
        return good[:place] + good[place + 1 + rng.randint(64) :]
    if way == 2:
        return good[:place] + good[max(0, place - 64) :]
    if way == 3 and rng.uniform() < 0.2:
        return OTHER_FILES[rng.randint(len(OTHER_FILES))]
    bad = bytearray(good)
    # As many in the first kilobyte, where lengths and shapes are.
    end = len(good) if way == 4 else min(len(good), 1024)
    for at in rng.randint(end, size=1 + rng.randint(8)):
        bad[at] ^= 1 + rng.randint(255)
    return bytes(bad)


def changed_within(value: Any, rng: np.random.RandomState) -> Any:
    """JSON with one part of it removed, or replaced by something odd."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    walk(value)
    holder, key = places[rng.randint(len(places))]
    if rng.uniform() < 0.2:
        del holder[key]
    elif rng.uniform() < 0.3:
        other, name = places[rng.randint(len(places))]
        holder[key] = json.loads(json.dumps(other[name]))
    else:
        holder[key] = ODD_VALUES[rng.randint(len(ODD_VALUES))]
    return value


def sealed_safetensors(good: bytes, rng: np.random.RandomState) -> bytes:
    """Another header or content, with the digest that goes with it."""
    n = int.from_bytes(good[:8], "little")
    header, data = json.loads(good[8 : 8 + n]), good[8 + n :]
    metadata = header.pop("__metadata__")
    text = metadata["sklearn_ae"]
    if rng.uniform() < 0.3:
        header = changed_within(header, rng)
    else:
        text = json.dumps(changed_within(json.loads(text), rng))
    try:
        blobs = [data[start:stop] for start, stop in tensor_files._spans(header)]
        digest = tensor_files._digest(text, header, blobs)
    except (KeyError, TypeError, ValueError):
        digest = metadata["sha256"]
    sealed = {"__metadata__": {"sklearn_ae": text, "sha256": digest}, **header}
    encoded = json.dumps(sealed).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def sealed_skops(good: bytes, rng: np.random.RandomState) -> bytes:
    """An archive whose schema or one of whose arrays is another."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = (
            "schema.json" if rng.uniform() < 0.7 else names[rng.randint(len(names))]
        )
        for name in names:
            content = old.read(name)
            if name == chosen:
                is_schema = name == "schema.json"
                content = (
                    json.dumps(changed_within(json.loads(content), rng)).encode()
                    if is_schema
                    else broken(content, rng)
                )
            new.writestr(name, content)
    return out.getvalue()


SEALED = {"safetensors": sealed_safetensors, "skops": sealed_skops}


def files(kind: str, good: bytes, numbers: range, seed: int) -> Iterator[Any]:
    """Number, way and bytes of each file; each is the same whatever comes before."""
    for i in numbers:
        rng = np.random.RandomState((seed * 1_000_003 + i) % 2**32)
        way = "sealed" if kind in SEALED and i % 2 else "broken"
        make = SEALED[kind] if way == "sealed" else broken
        yield i, way, make(good, rng)


# Reading ------------------------------------------------------------------------------


def read_all(kind: str, good: Path, first: int, n_files: int, seed: int) -> None:
    """In a process of its own: a line for each file on what became of it."""
    (read, use), content = reader(kind), good.read_bytes()
    use(read(good))  # imports what reading takes
    path = good.with_name("bad")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    seen: list[str] = []

    def audit(event: str, arguments: tuple) -> None:
        if event in FORBIDDEN or (
            event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]
        ):
            seen.append(event)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watching = False
    sys.addaudithook(lambda event, arguments: watching and audit(event, arguments))
    for i, way, bad in files(kind, content, range(first, n_files), seed):
        path.write_bytes(bad)
        print(json.dumps({"number": i, "way": way}), flush=True)
        watching = True
        told = {"outcome": "the same" if bad == content else "loaded"}
        try:
            made = read(path)
        except Exception as error:
            told = {"outcome": type(error).__name__, "text": str(error)[:200]}
        else:
            try:
                use(made)
            except MemoryError:
                told = {"outcome": "MemoryError"}
            except Exception as error:
                told = {"outcome": "loaded, of no use", "text": str(error)[:200]}
        finally:
            watching = False
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        told |= {"seen": sorted(set(seen)), "grown": (peak - before) * 1024}
        seen.clear()
        print(json.dumps(told), flush=True)


def fuzz(kind: str, n_files: int, seed: int) -> int:
    """Read files of a kind; what is wrong is printed, and counted."""
    n_wrong, first, grown = 0, 0, 0
    outcomes: Counter[tuple[str, str]] = Counter()
    texts: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory() as name:
        good = Path(name, "good")
        good.write_bytes(write(kind, Path(name)))
        while first < n_files:
            command = [sys.executable, __file__, "--read", str(good), kind]
            command += ["--first", str(first), "--files", str(n_files)]
            command += ["--seed", str(seed)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            # Libraries may print lines of their own.
            said = [line for line in ran.stdout.splitlines() if line.startswith("{")]
            lines = [json.loads(line) for line in said]
            if not lines:
                raise SystemExit(ran.stderr)
            for start, end in zip(lines[::2], lines[1::2], strict=False):
                outcomes[start["way"], end["outcome"]] += 1
                texts.setdefault((start["way"], end["outcome"]), end.get("text", ""))
                grown = max(grown, end["grown"])
                if wrong := what_is_wrong(kind, start["way"], end):
                    n_wrong += 1
                    print(f"{kind} {start['number']} ({start['way']}): {wrong}")
            first = next(line for line in lines[::-1] if "number" in line)["number"] + 1
            if len(lines) % 2:
                n_wrong += 1
                outcomes[lines[-1]["way"], "ended the process"] += 1
                print(f"{kind} {first - 1}: ended the process ({ran.returncode})")
    print(f"{kind}: {n_files} files, seed {seed}, {grown / 2**20:.0f} MB at most")
    for (way, outcome), n in sorted(outcomes.items()):
        print(f"  {way:7s} {n:5d} {outcome} {texts.get((way, outcome), '')[:90]}")
    return n_wrong


def what_is_wrong(kind: str, way: str, end: dict[str, Any]) -> str | None:
    outcome = end["outcome"]
    if end["seen"]:
        return f"did {', '.join(end['seen'])}"
    if outcome == "MemoryError":
        return "asked for more memory than there is"
    is_loaded = outcome.startswith("loaded")
    if kind == "safetensors" and outcome not in ("ValueError", "the same"):
        if not is_loaded:
            return f"{outcome}: {end['text']}"
        if way == "broken":
            return "was not refused"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=KINDS)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.read is not None:
        (kind,) = arguments.kinds
        read_all(kind, arguments.read, arguments.first, arguments.files, arguments.seed)
        return 0
    n_wrong = [fuzz(kind, arguments.files, arguments.seed) for kind in arguments.kinds]
    return 1 if sum(n_wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
