"""The gateway: released models over the Open Inference Protocol v2. It needs its model repository and nothing else."""
