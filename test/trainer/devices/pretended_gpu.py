"""A GPU that is not there: tensors that say they are on cuda:0, computed by the CPU under the rules of a real one.

Inside `pretended_gpu()` the trainer finds a GPU. A tensor there holds real numbers, so that steps that look at them (masked
tokens, dev figures, files) run as they are; torch's own fake tensors hold none. As on a real GPU an operation refuses tensors
of two devices, NumPy sees none of them, and random numbers come from a generator of its own. What this cannot show is what
kernels compute, how fast, and in what order things happen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
import torch._dynamo  # before anything of torch.cuda is replaced: it keeps a table of torch's functions
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

DEVICE = torch.device("cuda", 0)
# What torch's C++ takes a tensor for: a build without CUDA has no gradients on "cuda", but any build has a kind of device that
# Python may define. Python code sees "cuda".
KIND = "pretended"
aten = torch.ops.aten

# They move numbers between devices.
TRANSFERS = {aten.copy_.default, aten._foreach_copy_.default, aten._to_copy.default}
# An index may stay on the CPU, as long as what it is for is not there alone.
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class OnGpu(torch.Tensor):
    """A tensor that says it is on the GPU; `held` is on the CPU and holds its numbers."""

    held: torch.Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "OnGpu":
        outer = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device(KIND, 0),
        )
        outer.held = held
        return outer

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner_tensors: dict[str, torch.Tensor], *_: Any) -> "OnGpu":
        return OnGpu(inner_tensors["held"])

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"OnGpu({self.held!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> "OnGpu":
        if id(self) not in memo:
            twin = self.detach().clone().requires_grad_(self.requires_grad)
            memo[id(self)] = torch.nn.Parameter(twin, self.requires_grad) if is_parameter(self) else twin
        return memo[id(self)]

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return DEVICE

    @property
    def is_cuda(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True

    def tolist(self) -> Any:
        return self.held.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()  # what is written to files is told apart by its address

    @property
    def data(self) -> torch.Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.detach()

    @data.setter
    def data(self, new: torch.Tensor) -> None:
        assert isinstance(new, OnGpu), "the data of a tensor on the GPU become those of one on the CPU"
        torch.Tensor.data.__set__(self, new)  # pyright: ignore[reportAttributeAccessIssue]
        self.held = new.held


def is_parameter(tensor: torch.Tensor) -> bool:
    return getattr(tensor, "_is_param", False)


class Mode(TorchDispatchMode):
    """Everything that is computed comes through here, factories too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


COUNT = 0  # operations on the GPU so far
WAITS: list[str] = []  # those whose result the CPU needs before it goes on: a GPU would be waited for
SIZED_BY_NUMBERS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
}


def leaves_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Arguments of an operation, those in its lists one by one: lists hold no lists. torch's walk through trees takes ten times as long."""
    leaves: list[Any] = []
    for x in (*args, *kwargs.values()):
        if isinstance(x, list | tuple):
            leaves.extend(x)
        else:
            leaves.append(x)
    return leaves


def changed(change: Callable[[Any], Any], x: Any) -> Any:
    """`change` of an argument or a result, or of each in its list."""
    return type(x)([change(each) for each in x]) if isinstance(x, list | tuple) else change(x)


def held_by(x: Any) -> Any:
    return x.held if isinstance(x, OnGpu) else x


def computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU where all it takes is on one device, and put what comes out where it belongs."""
    if is_made_of_others(func):  # in inference mode they arrive whole
        with Mode():
            return func.decompose(*args, **kwargs)
    given = leaves_of(args, kwargs)
    on_gpu = [x for x in given if isinstance(x, OnGpu)]
    device = kwargs.get("device")
    goes_to_gpu = bool(on_gpu) if device is None else torch.device(device).type in ("cuda", KIND)
    if on_gpu:
        check_devices(func, args, kwargs)
    if not (on_gpu or goes_to_gpu):
        return func(*args, **kwargs)
    if goes_to_gpu and any(isinstance(x, torch.Generator) for x in given):
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({func})")
    if func is aten._to_copy.default and on_gpu and goes_to_gpu and is_there(args[0], kwargs):
        return OnGpu(args[0].held)
    global COUNT
    COUNT += 1
    if on_gpu and waits(func, args, to_cpu=not goes_to_gpu):
        WAITS.append(str(func))
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if kwargs.get("pin_memory"):
        kwargs = {**kwargs, "pin_memory": False}
    inner_args = [changed(held_by, x) for x in args]
    inner_kwargs = {name: changed(held_by, x) for name, x in kwargs.items()}
    if goes_to_gpu and torch.Tag.nondeterministic_seeded in func.tags:
        out = with_gpu_numbers(lambda: func(*inner_args, **inner_kwargs))
    else:
        out = func(*inner_args, **inner_kwargs)
    same = {id(x.held): x for x in on_gpu}
    plain = {id(x) for x in given if isinstance(x, torch.Tensor) and not isinstance(x, OnGpu)}
    for outer in on_gpu:
        assert outer.shape == outer.held.shape, f"{func} changes the shape of a tensor in place, which is not pretended"

    def put(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        if id(x) in same:
            return same[id(x)]
        # What was changed in place on the CPU stays there, whatever it was changed by.
        if not goes_to_gpu or id(x) in plain:
            return x
        # In inference mode a view of an ordinary tensor is an ordinary tensor.
        if x.is_inference() == torch.is_inference_mode_enabled():
            return OnGpu(x)
        with torch.inference_mode(mode=x.is_inference()):
            return OnGpu(x)

    return changed(put, out)


def is_there(x: OnGpu, kwargs: dict[str, Any]) -> bool:
    """Whether a copy would be the same: torch leaves it out, but for C++ "cuda" is another device than that of `x`."""
    form = kwargs.get("memory_format")
    return kwargs.get("dtype") in (None, x.dtype) and (
        form in (None, torch.preserve_format) or x.held.is_contiguous(memory_format=form)
    )


@cache
def is_made_of_others(func: Any) -> bool:
    """Whether an operation has no kernel but is written in terms of others."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd  # pyright: ignore[reportAttributeAccessIssue]
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)  # pyright: ignore[reportAttributeAccessIssue]


def waits(func: Any, args: tuple[Any, ...], *, to_cpu: bool) -> bool:
    """Whether the CPU needs numbers of the GPU: themselves, or to know a shape."""
    if func in INDEXED:
        return any(isinstance(x, OnGpu) and x.dtype in (torch.bool, torch.uint8) for x in args[1])
    if func is aten.copy_.default:
        return not isinstance(args[0], OnGpu)
    return to_cpu or func in SIZED_BY_NUMBERS


def check_devices(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise as a GPU does where tensors of two devices meet; a number, as a tensor without dimensions, may be on the CPU."""
    if func in TRANSFERS:
        return
    checked = leaves_of(args, kwargs)
    if func in INDEXED and isinstance(args[0], OnGpu):
        checked = [args[0], *args[2:3]]
    elsewhere = [x for x in checked if isinstance(x, torch.Tensor) and not isinstance(x, OnGpu) and x.ndim > 0]
    if elsewhere:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
            f"({func}, shapes {[tuple(x.shape) for x in leaves_of(args, kwargs) if isinstance(x, torch.Tensor)]})"
        )


GENERATOR = torch.Generator()  # of the GPU: another one than the CPU's


def with_gpu_numbers(compute: Any) -> Any:
    """Random numbers of the GPU's generator; those of the CPU go on as if nothing had been drawn."""
    before = torch.default_generator.get_state()
    torch.default_generator.set_state(GENERATOR.get_state())
    try:
        return compute()
    finally:
        GENERATOR.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(before)


def nothing(*_: Any, **__: Any) -> None:
    pass


# ---- autocast: what torch does on CUDA, for the products and the functions that occur here ----------------------------

NARROW = ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "conv2d", "scaled_dot_product_attention")
WIDE = ("layer_norm", "softmax.int", "log_softmax.int", "cross_entropy_loss", "nll_loss", "smooth_l1_loss")
AUTOCAST = torch._C.DispatchKey.AutocastPrivateUse1  # pyright: ignore[reportAttributeAccessIssue]


def with_cast(name: str, dtype_of: Callable[[], torch.dtype]) -> Callable[..., Any]:
    """An operation under autocast: its floating-point arguments on the GPU are cast first."""
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(aten, packet), overload or "default")

    def cast(x: Any) -> Any:
        return x.to(dtype_of()) if isinstance(x, OnGpu) and x.is_floating_point() and x.dtype != torch.float64 else x

    def kernel(*args: Any, **kwargs: Any) -> Any:
        keys = torch._C.DispatchKeySet(AUTOCAST)  # pyright: ignore[reportAttributeAccessIssue]
        with torch._C._ExcludeDispatchKeyGuard(keys):  # pyright: ignore[reportAttributeAccessIssue]
            given = {key: changed(cast, x) for key, x in kwargs.items()}
            return operation(*[changed(cast, x) for x in args], **given)

    return kernel


KEPT: list[Any] = []  # registered for as long as the process lives


def register() -> None:
    """Tell torch of a kind of device that is written in Python, once in a process."""
    if KEPT:
        return
    _setup_privateuseone_for_python_backend(KIND, backend_module=Backend())
    library = torch.library.Library("aten", "IMPL", AUTOCAST.name)
    for name in NARROW:
        library.impl(name, with_cast(name, lambda: torch.get_autocast_dtype(KIND)))
    for name in WIDE:
        library.impl(name, with_cast(name, lambda: torch.float32))
    others = torch.library.Library("_", "IMPL", AUTOCAST.name)
    others.fallback(torch.library.fallthrough_kernel)
    KEPT.extend((library, others))


class Backend(_DummyBackendModule):
    """What torch asks of a kind of device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


class Autocast(torch.autocast):
    """`torch.autocast("cuda")` means this GPU."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(KIND if device_type == "cuda" else device_type, *args, **kwargs)


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Inside, torch has one GPU. The first one comes before the process's first gradient: torch counts devices there."""
    register()
    answers = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": nothing,
        "init": nothing,
        "_lazy_init": nothing,
        "is_bf16_supported": lambda *_, **__: True,
        "manual_seed_all": lambda seed: GENERATOR.manual_seed(seed),
        "synchronize": nothing,
        "empty_cache": nothing,
    }
    # Lists become tensors on the CPU and are moved then, as torch's own fake tensors have it.
    torch._C._set_only_lift_cpu_tensors(True)  # noqa: FBT003  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with (
            patch.multiple(torch.cuda, default_generators=(GENERATOR,), **answers),
            patch("torch.autocast", Autocast),
            Mode(),
        ):
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(False)  # noqa: FBT003  # pyright: ignore[reportAttributeAccessIssue]
