"""Image towers: any timm or open_clip backbone behind one seam, cut into blocks, with a head into the joint space."""
