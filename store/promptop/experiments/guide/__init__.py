"""The optimisation sheet: a prompt led step by step to fewer tokens and less waiting, each step measured and kept."""
