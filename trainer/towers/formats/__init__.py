"""How people keep their images and what they say about them: one table of formats, read as one stream of items."""
