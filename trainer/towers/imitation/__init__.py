"""What stage `imitate` is made of: captions, a checkpoint's vectors of them, and how students are held against these."""
