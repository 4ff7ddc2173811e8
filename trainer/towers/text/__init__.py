"""Text sides that others have published: text towers of two-tower checkpoints, and LLM2CLIP's adapters."""
