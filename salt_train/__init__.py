"""Salt-train: a reference trainer for few-step video diffusion."""
