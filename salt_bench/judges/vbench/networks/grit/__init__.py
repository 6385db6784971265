"""GRiT (Wu et al. 2022, arXiv 2212.00280): objects and their descriptions, written from its papers and from measured behaviour.

Parts, each in its file: a ViT-B with windows (Li et al. 2022, ViTDet), a simple feature pyramid, the proposals of CenterNet2
(Zhou et al. 2021), a cascade of box heads (Cai & Vasconcelos 2018), a text decoder that reads a box as a prefix (GIT).

Not verified, for want of the released file and of numbers from it:
- the names of its tensors, `grit_b_densecap_objectdet.pth`, follow detectron2's habits and memory; `checkpoint.load` names
  every tensor that is missing or has no place, and refuses both. The number of parameters is the known one, 208.6 million
  with the mask head, which fixes the widths that the papers leave open;
- relative positions of blocks that see everything are stretched for each axis by itself;
- proposals are clipped to the picture between the stages of the cascade but not before the first;
- a description may have 40 tokens after the start token.
"""
