"""Salt-bench: evaluation and ablations for few-step video diffusion."""
