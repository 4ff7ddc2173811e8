"""LLM2Vec's own way, from its authors' source: their `encode`, and LoRA adapters as they publish them. The judge of tests."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer

# What LLM2Vec puts around a text for Llama 3's instruction-tuned models (llm2vec.py, prepare_for_tokenization).
WRAPPER = "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
SEPARATOR = "!@#$%^&*()"


def encoded_by_the_authors(folder, model, texts, max_length):
    """LLM2Vec's `encode` with mean pooling, from its source: joint tokenisation, left padding, a mask from the end."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    wrapped = [WRAPPER.replace("{}", f"{SEPARATOR}{text}".strip()) for text in texts]
    whole = tokenizer(
        [text.replace(SEPARATOR, "") for text in wrapped],
        return_tensors="pt", padding=True, truncation=True, max_length=max_length
    )  # fmt: skip
    tails = [tokenizer(text.split(SEPARATOR)[1], add_special_tokens=False)["input_ids"] for text in wrapped]
    positions = (whole["attention_mask"].cumsum(1) - 1).clamp_min(0)
    with torch.no_grad():
        states = model(
            whole["input_ids"], attention_mask=whole["attention_mask"], position_ids=positions, use_cache=False
        )
    return torch.stack([row[-len(tail) :].mean(0) for row, tail in zip(states.last_hidden_state, tails, strict=True)])


def make_adapter(model, folder, seed, **options):
    """A LoRA adapter as peft saves it, with random factors."""
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    torch.manual_seed(seed)
    peft = get_peft_model(model, LoraConfig(**({"r": 4, "lora_alpha": 8, "target_modules": targets} | options)))
    with torch.no_grad():
        for name, value in peft.named_parameters():
            if "lora_B" in name:
                value.normal_(0, 0.1)
    peft.save_pretrained(folder)
    return folder
