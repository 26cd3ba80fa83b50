"""Where a training computes, and in what: device, precision, threads, generators."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import torch

# torch's global generator belongs to the process. What cannot be handed a generator of
# its own, layers at their start and the user's code, draws from it behind this lock.
_GENERATOR_LOCK = threading.RLock()

# Multiplications that keep a thread busy for about 0.2 ms: less is not worth its start.
_THREAD_WORK = 2**24

# Weights of a layer from which on bfloat16 saves a third of a step and more.
_WIDE_LAYER = 2**16


class Sized(Protocol):
    """What is asked of a module: how much work its layers are, and of which kind."""

    largest_layer: int

    @property
    def is_fast(self) -> bool: ...


def check_device(device: str | torch.device) -> None:
    """Raise where torch knows no device of this name, whether it is there or not."""
    try:
        torch.device("cpu" if device == "auto" else device)
    except RuntimeError as error:
        raise ValueError(
            "device must be 'auto' or a name that torch.device takes, such as "
            f"'cpu', 'cuda' or 'cuda:1'; got {device!r}."
        ) from error


def resolve_device(device: str | torch.device) -> torch.device:
    """The device named, or for "auto" CUDA where it is there, else the CPU."""
    if device != "auto":
        if torch.device(device).type == "mps":
            # Centres, starts and sums of losses are float64, which MPS does not have;
            # of most releases of torch it has not even the solver of projections.
            raise ValueError(
                "device='mps' is not supported: it has no double precision, which far "
                "columns are centred in. Use device='cpu'."
            )
        try:
            torch.zeros(1, device=device).item()  # "meta" devices hold no numbers
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device={str(device)!r} is not available here: {error}"
            ) from error
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def resolve_precision(
    precision: str, module: Sized, device: torch.device
) -> torch.dtype | None:
    """What training steps multiply in; None is the precision of the parameters.

    "auto" is bfloat16 on processors that multiply in it, from layers on that are wide
    enough for the products to be what takes the time.
    """
    if precision == "auto":
        is_wide = module.is_fast and module.largest_layer >= _WIDE_LAYER
        is_lower = is_wide and device.type == "cpu" and cpu_multiplies_bfloat16()
    else:
        is_lower = precision == "bfloat16"
    return torch.bfloat16 if is_lower else None


def cpu_multiplies_bfloat16() -> bool:
    # Older releases of torch cannot say.
    get_capabilities = getattr(torch.cpu, "get_capabilities", dict)
    capabilities: dict[str, Any] = get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


@contextlib.contextmanager
def steady_convolutions(device: torch.device) -> Iterator[None]:
    """Let convolutions on CUDA give the same bits every time, of single precision."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def isolated_generators(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators inside the block, and put them back after it."""
    with _GENERATOR_LOCK, contextlib.ExitStack() as stack:
        stack.enter_context(steady_convolutions(device))
        if device.type == "cuda":
            stack.enter_context(torch.random.fork_rng(devices=[device]))
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        else:
            stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def enable_gradients() -> Iterator[None]:
    """Let training work inside the user's own no_grad and inference_mode too."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextlib.contextmanager
def as_global(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global generator on the CPU go on from this one for a while."""
    with _GENERATOR_LOCK, torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(generator.get_state())
        yield
        generator.set_state(torch.default_generator.get_state())


def seeded_generator(seed: int, device: torch.device) -> torch.Generator:
    """A generator of a training's own, for what is drawn on the device."""
    return torch.Generator(device).manual_seed(seed)


class _Threads:
    """The number of torch's threads outside of all that limits it.

    A limit holds in the thread that sets it, but threads that start meanwhile inherit
    it: what they would count from is the number before the first limit.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_users = 0
        self.n_outside = 0

    @contextlib.contextmanager
    def limited_to(self, n_threads: int) -> Iterator[None]:
        before = torch.get_num_threads()
        with self.lock:
            if self.n_users == 0:
                self.n_outside = before
            self.n_users += 1
            n_threads = min(n_threads, self.n_outside)
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            with self.lock:
                self.n_users -= 1
                torch.set_num_threads(before if self.n_users else self.n_outside)


_THREADS = _Threads()


def enough_threads(
    module: Sized, n_rows: int
) -> contextlib.AbstractContextManager[None]:
    """Use no more of torch's threads than the largest product of n_rows can feed.

    On small layers threads wait for each other longer than they compute, and where
    another process wants the cores too, they wait for its time slices.
    """
    return _THREADS.limited_to(max(1, module.largest_layer * n_rows // _THREAD_WORK))
