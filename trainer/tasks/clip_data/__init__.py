"""Where the images and captions of `clip` come from, stored or streamed, and what is measured and written in the end."""
