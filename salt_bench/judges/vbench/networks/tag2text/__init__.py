"""Tag2Text (Huang et al. 2023, arXiv 2303.05657): a picture to tags, and the tags to a sentence.

Written from its paper and from measured behaviour.

Not verified, for want of the released file and of numbers from it:
- the names of the tensors in `tag2text_swin_14m.pth`; `checkpoint.load` names every tensor that is missing or has no place.
  The number of parameters is the known one, 372 million;
- tags are filled up to 40 tokens and the decoder sees what became of the filling, which only the encoder ignores;
- a sentence's score is its log-probability over its length with the prompt and without its end, as in transformers 4.33.
"""
