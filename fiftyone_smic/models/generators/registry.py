"""The one list of generator families and of their published weights.

A new family is one file in this folder and one entry in :data:`FAMILIES`. Figures of memory are the
size of the weights that are loaded, in half precision, after the published numbers of parameters;
drawing needs some gigabytes more.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fiftyone_smic.models.identity import EMBEDDED, EncoderIdentity

if TYPE_CHECKING:
    from fiftyone_smic.models.generators.base import Generator

#: Name of the declaration that a local folder needs.
DECLARATION = "smic.json"
#: Name of the generator that answers with pictures of a gallery.
NEAREST = "nearest"
#: Samplers that can take the place of a pipeline's own. All of them are deterministic given the
#: first noise, or draw later noise from each picture's own seed: a sampler that draws one noise for
#: the whole batch would make a picture depend on its neighbours.
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "UniPCMultistepScheduler",
)
#: The encoder of generators that take latents of any encoder.
ANY = "*"

#: Encoders whose image tower is that of another: their latents of images are the same, those of
#: texts are not, so only generators may treat them as one.
SAME_IMAGE_TOWER = {
    # LAION trained only the text tower and kept the image tower of ViT-H-14 frozen.
    "xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k": "ViT-H-14/laion2b_s32b_b79k",
}


@dataclass(frozen=True)
class GeneratorInfo:
    """What is known of a generator before it is loaded.

    Attributes:
        name: The name that :func:`load_generator` takes.
        encoder: Identity of the encoder whose latents it draws from, or ``"*"`` for any.
        family: Name of the family's file in ``models/generators``.
        pipeline: The pipeline's class in diffusers, or "".
        licence: Licence of the weights.
        pixels: Width and height of its pictures; 0 for the sizes of a gallery.
        gigabytes: About how much memory the weights take in half precision.
        note: What speaks for or against it, in one sentence.
        places: Repositories on the hub, tried in this order.
        revision: The version of the repository, or None for the newest.
        adapter: For an IP-Adapter, its repository, folder and file, or None.
        scheduler: The sampler to use instead of the pipeline's own, or None.
    """

    name: str
    encoder: str
    family: str
    pipeline: str
    licence: str
    pixels: int
    gigabytes: float
    note: str
    places: tuple[str, ...] = ()
    revision: str | None = None
    adapter: tuple[str, str, str] | None = None
    scheduler: str | None = None


@dataclass(frozen=True)
class Family:
    """A family of generators.

    Attributes:
        module: The family's file in this folder.
        generator: The class in it.
        pipelines: Classes in ``model_index.json`` that the family loads from a local folder.
        published: Generators that load by name, the preferred one first.
    """

    module: str
    generator: str
    pipelines: tuple[str, ...] = ()
    published: tuple[GeneratorInfo, ...] = ()

    def load(self) -> type[Generator]:
        """Import the family's class."""
        module = importlib.import_module(f"{__package__}.{self.module}")
        return getattr(module, self.generator)


_BIG_G = "ViT-bigG-14/laion2b_s39b_b160k"
_H = "ViT-H-14/laion2b_s32b_b79k"
_L = "ViT-L-14/openai"


def _adapter(
    encoder: str, file: str, base: str, licence: str, pixels: int, gigabytes: float, note: str
) -> GeneratorInfo:
    folder, _, weights = file.rpartition("/")
    return GeneratorInfo(
        name=f"h94/IP-Adapter/{file.removesuffix('.safetensors')}",
        encoder=encoder,
        family="ip_adapter",
        pipeline="StableDiffusionXLPipeline" if pixels == 1024 else "StableDiffusionPipeline",
        licence=f"Apache-2.0 on {licence}",
        pixels=pixels,
        gigabytes=gigabytes,
        note=note,
        places=(base,),
        adapter=("h94/IP-Adapter", folder, weights),
    )


_SD15 = ("stable-diffusion-v1-5/stable-diffusion-v1-5", "creativeml-openrail-m", 512, 2.2)
_SDXL = ("stabilityai/stable-diffusion-xl-base-1.0", "openrail++", 1024, 7.7)

#: Every family. The order is the order of preference where an encoder has several generators:
#: decoders that were trained on the encoder's latents come before adapters of text-to-image models.
FAMILIES: tuple[Family, ...] = (
    Family(
        "unclip",
        "UnclipGenerator",
        ("StableUnCLIPImg2ImgPipeline",),
        (
            GeneratorInfo(
                name=EMBEDDED,
                encoder=EMBEDDED,
                family="unclip",
                pipeline="StableUnCLIPImg2ImgPipeline",
                licence="Apache-2.0",
                pixels=64,
                gigabytes=0.01,
                note="The embedded demonstration: it draws postcards and knows no photographs.",
            ),
            GeneratorInfo(
                name="stabilityai/stable-diffusion-2-1-unclip",
                encoder=_H,
                family="unclip",
                pipeline="StableUnCLIPImg2ImgPipeline",
                licence="openrail++",
                pixels=768,
                gigabytes=2.6,
                note="Trained on these latents; its makers removed it, mirrors keep it.",
                places=(
                    "stabilityai/stable-diffusion-2-1-unclip",
                    "sd2-community/stable-diffusion-2-1-unclip",
                    "fusing/stable-unclip-2-1-h-img2img",
                ),
                scheduler="DPMSolverMultistepScheduler",
            ),
            GeneratorInfo(
                name="stabilityai/stable-diffusion-2-1-unclip-small",
                encoder=_L,
                family="unclip",
                pipeline="StableUnCLIPImg2ImgPipeline",
                licence="openrail++",
                pixels=768,
                gigabytes=2.6,
                note="Trained on these latents; its makers removed it, mirrors keep it.",
                places=(
                    "stabilityai/stable-diffusion-2-1-unclip-small",
                    "sd2-community/stable-diffusion-2-1-unclip-small",
                    "fusing/stable-unclip-2-1-l-img2img",
                ),
                scheduler="DPMSolverMultistepScheduler",
            ),
        ),
    ),
    Family(
        "kandinsky22",
        "Kandinsky22Generator",
        ("KandinskyV22Pipeline",),
        (
            GeneratorInfo(
                name="kandinsky-community/kandinsky-2-2-decoder",
                encoder=_BIG_G,
                family="kandinsky22",
                pipeline="KandinskyV22Pipeline",
                licence="Apache-2.0",
                pixels=512,
                gigabytes=2.6,
                note="Trained on these latents, with a free licence and no text encoder.",
                places=("kandinsky-community/kandinsky-2-2-decoder",),
            ),
        ),
    ),
    Family(
        "kandinsky21",
        "Kandinsky21Generator",
        ("KandinskyPipeline",),
        (
            GeneratorInfo(
                name="kandinsky-community/kandinsky-2-1",
                encoder=_L,
                family="kandinsky21",
                pipeline="KandinskyPipeline",
                licence="Apache-2.0",
                pixels=512,
                gigabytes=3.7,
                note="Trained on these latents; the only one for this encoder with a free licence.",
                places=("kandinsky-community/kandinsky-2-1",),
            ),
        ),
    ),
    Family(
        "ip_adapter",
        "IPAdapterGenerator",
        ("StableDiffusionXLPipeline", "StableDiffusionPipeline"),
        (
            _adapter(
                _H,
                "sdxl_models/ip-adapter_sdxl_vit-h.safetensors",
                *_SDXL,
                note="An adapter of a text-to-image model: sharp and large, freer with content.",
            ),
            _adapter(
                _H,
                "models/ip-adapter_sd15.safetensors",
                *_SD15,
                note="An adapter of a text-to-image model: small, freer with content.",
            ),
            _adapter(
                _H,
                "models/ip-adapter_sd15_light.safetensors",
                *_SD15,
                note="As ip-adapter_sd15, and looser still.",
            ),
            _adapter(
                _BIG_G,
                "sdxl_models/ip-adapter_sdxl.safetensors",
                *_SDXL,
                note="An adapter of a text-to-image model: sharp and large, freer with content.",
            ),
            _adapter(
                _BIG_G,
                "models/ip-adapter_sd15_vit-G.safetensors",
                *_SD15,
                note="An adapter of a text-to-image model: small, freer with content.",
            ),
        ),
    ),
    Family(
        "karlo",
        "KarloGenerator",
        ("UnCLIPImageVariationPipeline",),
        (
            GeneratorInfo(
                name="kakaobrain/karlo-v1-alpha-image-variations",
                encoder=_L,
                family="karlo",
                pipeline="UnCLIPImageVariationPipeline",
                licence="creativeml-openrail-m",
                pixels=256,
                gigabytes=4.9,
                note="Trained on these latents; small pictures, and not on Apple's MPS.",
                places=(
                    "kakaobrain/karlo-v1-alpha-image-variations",
                    "fusing/karlo-image-variations-diffusers",
                ),
            ),
        ),
    ),
    Family(
        "sd_variations",
        "VariationsGenerator",
        ("StableDiffusionImageVariationPipeline",),
        (
            GeneratorInfo(
                name="lambdalabs/sd-image-variations-diffusers",
                encoder=_L,
                family="sd_variations",
                pipeline="StableDiffusionImageVariationPipeline",
                licence="creativeml-openrail-m",
                pixels=512,
                gigabytes=1.9,
                note="A text-to-image model fine-tuned on these latents; the smallest.",
                places=("lambdalabs/sd-image-variations-diffusers",),
                revision="v2.0",
            ),
        ),
    ),
    Family(
        NEAREST,
        "NearestGenerator",
        (),
        (
            GeneratorInfo(
                name=NEAREST,
                encoder=ANY,
                family=NEAREST,
                pipeline="",
                licence="that of your pictures",
                pixels=0,
                gigabytes=0,
                note="Draws nothing: it answers with the nearest picture of a gallery, on any CPU.",
            ),
        ),
    ),
)


def generators_for(encoder: str | EncoderIdentity) -> list[GeneratorInfo]:
    """List the published generators that draw from an encoder's latents.

    Args:
        encoder: Identity of the encoder, as latents, archives and dictionaries store it.

    Returns:
        The generators in order of preference. ``nearest``, which takes latents of any encoder but
        needs a gallery, is always the last.

    Example:
        >>> for found in generators_for("ViT-L-14/openai"):
        ...     print(found.name, found.licence, found.pixels)
        stabilityai/stable-diffusion-2-1-unclip-small openrail++ 768
        kandinsky-community/kandinsky-2-1 Apache-2.0 512
        kakaobrain/karlo-v1-alpha-image-variations creativeml-openrail-m 256
        lambdalabs/sd-image-variations-diffusers creativeml-openrail-m 512
        nearest that of your pictures 0
    """
    return [info for info in published() if draws_from(info.encoder, encoder)]


def published() -> list[GeneratorInfo]:
    """List all generators that load by name, in order of preference."""
    return [info for family in FAMILIES for info in family.published]


def find_family(pipeline: str) -> Family | None:
    """Find the family that loads a pipeline class of diffusers."""
    return next((family for family in FAMILIES if pipeline in family.pipelines), None)


def draws_from(declared: str, encoder: str | EncoderIdentity) -> bool:
    """Tell whether a generator declared for one encoder draws from the latents of another."""
    return declared == ANY or image_tower(declared).matches(image_tower(encoder))


def image_tower(encoder: str | EncoderIdentity) -> EncoderIdentity:
    """Find the encoder that a generator is trained on, whose latents of images are the same."""
    identity = EncoderIdentity.parse(encoder) if isinstance(encoder, str) else encoder
    return EncoderIdentity.parse(SAME_IMAGE_TOWER.get(identity.name, str(identity)))


def fits() -> str:
    """Say which encoder goes with which generator, for the end of an error message."""
    pairs = [f"{i.encoder} -> {i.name}" for i in published() if i.encoder != ANY]
    return (
        f"What fits: {'; '.join(pairs)}; or a local directory whose {DECLARATION} names the "
        f"encoder. For any encoder, {NEAREST!r} answers with the nearest picture of a gallery."
    )
