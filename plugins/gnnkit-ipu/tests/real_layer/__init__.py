"""PopTorch's own Python layer, from where it lies, over a core of ours that computes on the processor.

Rules: nothing of PopTorch is here. The layer is looked for in the folder that GNNKIT_POPTORCH names: a checkout of its
sources, or an installed package. Its compiled core is :mod:`.core`, which traces and executes as far as tests need it.
"""
