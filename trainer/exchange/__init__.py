"""Models in the layouts of other libraries: what is served written for them."""
