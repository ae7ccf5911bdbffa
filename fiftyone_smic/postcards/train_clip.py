"""Train the tiny CLIP: ``python -m fiftyone_smic.postcards.train_clip --work DIR``.

Caption contrast (CLIP, Radford et al. 2021) plus an auxiliary attribute loss: linear heads read
the attributes from the normalised embedding. Contrast alone, at this size, learns the scene and
neglects small objects. Every second batch is made of groups that share time, terrain and weather,
so that the scene alone cannot tell its pictures apart.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.models.embedded import CLIP_DIR
from fiftyone_smic.postcards.attributes import CATEGORIES, FLAGS, compose_caption, sample_attributes
from fiftyone_smic.postcards.training import (
    MODEL_SIZE,
    command_line,
    load_training_set,
    run_training,
    to_batch,
)

DIMENSION = 128
CONTEXT = 32
CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": DIMENSION,
        "vision_cfg": {"image_size": MODEL_SIZE, "layers": [1, 1, 1, 1], "width": 16},
        "text_cfg": {
            "context_length": CONTEXT,
            "width": 96,
            "heads": 3,
            "layers": 2,
            # Any non-empty name makes open_clip read the tokenizer from this folder.
            "hf_tokenizer_name": "local",
        },
    },
    "preprocess_cfg": {
        "size": MODEL_SIZE,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "mode": "RGB",
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def build_directory(directory: Path) -> None:
    """Write the open_clip configuration and a BPE tokenizer learned on captions."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    captions = []
    for seed in range(3000):
        rng = np.random.default_rng([seed, 2])
        captions.append(compose_caption(sample_attributes(rng), rng))
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = Regex(r"'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    merges = [
        tuple(m.split()) if isinstance(m, str) else tuple(m)
        for m in json.loads(tokenizer.to_str())["model"]["merges"]
    ]
    vocabulary = alphabet + [a + "</w>" for a in alphabet]
    vocabulary += [t for t in dict.fromkeys("".join(m) for m in merges) if t not in vocabulary]
    # open_clip pools at the highest token id: the end-of-text token must come last.
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]

    directory.mkdir(parents=True, exist_ok=True)
    ids = {token: i for i, token in enumerate(vocabulary)}
    vocabulary_file, merges_file = directory / "vocab.json", directory / "merges.txt"
    vocabulary_file.write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    merges_file.write_text(
        "#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n", encoding="utf-8"
    )
    CLIPTokenizer(
        vocab=str(vocabulary_file),
        merges=str(merges_file),
        pad_token="!",
        model_max_length=CONTEXT,
    ).save_pretrained(str(directory))
    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"]["text_cfg"]["vocab_size"] = len(vocabulary)
    (directory / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")


def save_weights(model: Any, directory: Path) -> None:
    """Write fp16 weights where open_clip's ``local-dir:`` looks for them."""
    from safetensors.torch import save_file

    weights = {
        k: (v.half() if v.is_floating_point() else v).contiguous()
        for k, v in model.state_dict().items()
    }
    save_file(weights, directory / "open_clip_model.safetensors")


def train(
    work: Path,
    directory: Path = CLIP_DIR,
    *,
    steps: int = 2400,
    images: int = 30_000,
    batch_size: int = 256,
    lr: float = 1.5e-3,
    attribute_weight: float = 2.0,
) -> None:
    """Train and export to ``directory``; continues from ``work/clip.pt``."""
    import open_clip
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    data = load_training_set(work, images)
    build_directory(directory)
    name = f"local-dir:{directory}"
    model, _, _ = open_clip.create_model_and_transforms(name, load_weights=False)
    model.train()
    model.visual.to(memory_format=torch.channels_last)
    tokenize = open_clip.get_tokenizer(name)
    tokens = torch.stack(
        [tokenize(list(c)) for c in zip(*data.captions, strict=True)], 1
    )  # (N, captions, context)
    sizes = {k: len(v) for k, v in CATEGORIES.items()}
    heads = torch.nn.ModuleDict({k: torch.nn.Linear(DIMENSION, n) for k, n in sizes.items()})
    flag_head = torch.nn.Linear(DIMENSION, len(FLAGS))
    labels = {k: torch.from_numpy(data.labels[k]) for k in sizes}
    flags = torch.from_numpy(np.stack([data.labels[k] for k in FLAGS], 1)).float()
    scene = data.labels["time"] * 100 + data.labels["terrain"] * 10 + data.labels["weather"]
    groups = [g for g in (np.flatnonzero(scene == s) for s in np.unique(scene)) if len(g) >= 32]
    contrast = open_clip.ClipLoss()
    modules = torch.nn.ModuleDict({"model": model, "heads": heads, "flags": flag_head})
    parameters = list(modules.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.05},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
    )

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        if i % 2:
            chosen = rng.choice(len(groups), batch_size // 32, replace=False)
            rows = np.concatenate([rng.choice(groups[g], 32, replace=False) for g in chosen])
        else:
            rows = rng.choice(images, batch_size, replace=False)
        rows.sort()
        index = torch.from_numpy(rows)
        text = tokens[index, torch.from_numpy(rng.integers(tokens.shape[1], size=len(rows)))]
        image_latents = F.normalize(model.encode_image(to_batch(data.images[rows])), dim=-1)
        text_latents = F.normalize(model.encode_text(text), dim=-1)
        contrast_loss = contrast(image_latents, text_latents, model.logit_scale.exp())
        z = image_latents * math.sqrt(DIMENSION)
        attribute_loss = sum(
            F.cross_entropy(heads[k](z), labels[k][index], ignore_index=-1) for k in sizes
        ) / len(sizes) + 1.5 * F.binary_cross_entropy_with_logits(flag_head(z), flags[index])
        loss = contrast_loss + attribute_weight * attribute_loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        return {"contrast": contrast_loss.item(), "attributes": float(attribute_loss)}

    run_training(
        step,
        {"modules": modules},
        optimizer,
        steps=steps,
        peak_lr=lr,
        checkpoint=work / "clip.pt",
        export=lambda: save_weights(model, directory),
        every=100,
    )


if __name__ == "__main__":
    options = command_line(
        str(__doc__).splitlines()[0], CLIP_DIR, steps=2400, images=30_000, batch_size=256, lr=1.5e-3
    )
    train(**vars(options))
