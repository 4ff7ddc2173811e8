"""Models of other libraries as they come: open_clip's by name or folder, transformers' by folder, with their own tokenizers and pictures."""
