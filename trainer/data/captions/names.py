"""Names of the sets of texts beside the captions of images, which `embed_captions` writes and `clip` reads."""

NEGATIVE_TEXTS = "negatives.train"  # wrong captions, in groups by the number of their caption
REGION_TEXTS = "regions.train"  # phrases of regions with wrong ones behind each, in groups by the number of their image
DEV_REGION_TEXTS = "regions.dev"
