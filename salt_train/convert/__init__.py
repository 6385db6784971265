"""Networks of others: files of weights based on Wan 2.1 in, diffusers' or Wan's own layout out."""
