"""Language models and text encoders as text teachers: read, probed, tuned with LoRA, pooled, packed, saved."""
