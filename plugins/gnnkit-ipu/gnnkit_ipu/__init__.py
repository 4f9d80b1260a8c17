"""The IPU for gnnkit: PopTorch where the Poplar SDK is installed, an emulator of it where it is not."""
