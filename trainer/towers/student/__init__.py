"""The edge text encoders: what they are, how they start, what they learn from and by."""
