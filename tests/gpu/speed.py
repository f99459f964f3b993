"""DiffewS by stages, with random weights: of Stable Diffusion 2.1's size on a GPU."""

import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import measure, naive_path
from benchmarks.speed.episodes import usual_list
from models.catalog import load_model
from models.methods.diffews import DiffewS
from models.segmenter import Features
from tests.gpu.machine import Machine

_GEMM = 8192
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def stages(machine: Machine, dtype: str) -> dict[str, object]:
    """Milliseconds an image of each stage, plain and compiled, 1 and 5 shots; what is reached."""
    resolution = 512 if machine.full else 64
    size = "sd21" if machine.full else "tiny"
    options = {"random": size, "resolution": resolution}
    device = str(machine.device)
    model = load_model("diffews", options, device=device, dtype=dtype)
    assert isinstance(model, DiffewS)
    batch = 4
    rows = list(_rows(machine, model, batch, resolution, "plain"))
    memory = {
        f"GiB at most, {shots}-shot": machine.peak_gib(_segment(model, batch, resolution, shots))
        for shots in (1, 5)
    }
    naive = [_naive(machine, model, shots) for shots in (1, 5)]
    compiled = _compiled(machine, model, batch, resolution)
    found: dict[str, object] = {
        "dtype": dtype,
        "size": size,
        "resolution": resolution,
        "images a call": batch,
        **memory,
        "matmul TFLOP/s": _matmul(machine, DTYPES[dtype]),
        "stages": [*rows, *(compiled if isinstance(compiled, list) else [])],
        "naive beside cached": naive,
        "torch.compile": "ran" if isinstance(compiled, list) else compiled,
        "ok": all(bool(one["within 1%"]) for one in naive),
    }
    del model
    machine.forget()
    return found


def _rows(
    machine: Machine, model: DiffewS, batch: int, resolution: int, how: str
) -> Iterator[dict[str, object]]:
    """One row a stage: milliseconds an image, TFLOPs an image, TFLOP/s and shares."""
    peak, repeats = machine.peak(), 10 if machine.gpu else 2
    for name, call in _stages(model, batch, resolution).items():
        with torch.inference_mode():
            tera = _tflops(call) / batch if how == "plain" else None
            each = machine.milliseconds(call, repeats, 3 if machine.gpu else 1) / batch
        row: dict[str, object] = {"stage": name, "how": how, "ms an image": round(each, 3)}
        if tera is not None:
            rate = tera / (each / 1000)
            row |= {"TFLOPs": round(tera, 4), "TFLOP/s": round(rate, 2)}
            row["share of the data sheet's"] = None if peak is None else round(rate / peak, 3)
        yield row


def _stages(model: DiffewS, batch: int, resolution: int) -> dict[str, Callable[[], object]]:
    """The stages as calls without arguments, on seeded inputs of `batch` images."""
    images, masks = _inputs(model, batch, resolution)
    features = model.encode_image(images)
    latents = torch.stack([f["latent"] for f in features])
    both = torch.cat([latents, latents.roll(1, 0)], 1)
    supports = model.encode_support(images, masks, features)
    few = {shots: [(supports * shots)[i : i + shots] for i in range(batch)] for shots in (1, 5)}
    return {
        "encode": lambda: model.encode_image(images),
        "support pass": lambda: model.support_pass(both),
        "query pass, 1-shot": lambda: model.mask_latents(features, few[1]),
        "query pass, 5-shot": lambda: model.mask_latents(features, few[5]),
        "decode": lambda: model.decode(latents),
    }


def _inputs(model: DiffewS, batch: int, resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, resolution, resolution, generator=generator).to(model.device)
    masks = torch.zeros(batch, resolution, resolution, device=model.device)
    masks[:, resolution // 4 : resolution // 2] = 1
    return images, masks


def _segment(
    model: DiffewS, batch: int, resolution: int, shots: int
) -> Callable[[], list[Features]]:
    """A whole batch of episodes: encode, support passes, query passes, decode."""
    images, masks = _inputs(model, batch, resolution)

    def call() -> list[Features]:
        features = model.encode_image(images)
        supports = model.encode_support(images, masks, features)
        model.segment(features, [(supports * shots)[i : i + shots] for i in range(batch)])
        return supports

    return call


def _tflops(call: Callable[[], object]) -> float:
    """Counted by torch: multiplications and additions of convolutions, products and attention."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e12


def _naive(machine: Machine, model: DiffewS, shots: int) -> dict[str, object]:
    """A list like PASCAL-5i's fold 0, a few episodes of it, cached beside afresh."""
    sample = 8 if machine.full else 4
    report = measure(
        model,
        usual_list(shots),
        naive_path(model),
        device=machine.device,
        sample=sample,
        batch_size=4,
        encode_batch=4,
    )
    return {
        "shots": shots,
        "ms an episode, naive": round(1000 * report.naive_episode, 2),
        "s a list, naive": round(report.naive_seconds, 1),
        "s a list, cached": round(report.cached_seconds, 1),
        "times": round(report.ratio, 2),
        "different pixels of 100,000": round(1e5 * report.different_pixels / report.pixels, 1),
        # Half precision rounds otherwise in another batch: more than fp32's one in 100,000.
        "within 1%": report.different_pixels <= 0.01 * report.pixels,
    }


def _compiled(
    machine: Machine, model: DiffewS, batch: int, resolution: int
) -> list[dict[str, object]] | str:
    """The stages after `torch.compile` of the VAE, or why there are none."""
    if not machine.gpu:
        return "left out on a CPU: it needs a C++ compiler and takes minutes"
    try:
        # As the option compile=True does; the weights stay where they are.
        model.parts.vae.encoder.compile()
        model.parts.vae.decoder.compile()
        begin = time.perf_counter()
        with torch.inference_mode():
            _segment(model, batch, resolution, 1)()
            torch.cuda.synchronize(machine.device)
        first = round(time.perf_counter() - begin, 1)
        rows = list(_rows(machine, model, batch, resolution, "compiled"))
    except Exception as error:  # a card without Triton, or a graph that it does not take
        return f"failed: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
    return [*rows, {"stage": "first call, seconds", "how": "compiled", "ms an image": first}]


def _matmul(machine: Machine, dtype: torch.dtype) -> float:
    """What a plain product of large matrices reaches: the measure of the possible."""
    side = _GEMM if machine.gpu else 512
    a = torch.randn(side, side, device=machine.device).to(dtype)
    each = machine.milliseconds(lambda: a @ a)
    return round(2 * side**3 / (each / 1000) / 1e12, 2)
