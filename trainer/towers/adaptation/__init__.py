"""What stage `adapt` is made of: a user's data, views of the images, texts, figures, the model folder it writes."""
