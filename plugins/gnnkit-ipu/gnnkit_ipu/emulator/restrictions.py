"""The catalogue of restrictions that PopTorch's documentation and source put on a program.

Rules: every refusal of the emulator names one entry of this table, the line of the user's code where it is known, and
the remedy. Kind "E": PopTorch raises as well. Kind "S": PopTorch stays silent or warns and computes something else,
so that raising is kinder.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, NoReturn, Optional, Type

from .errors import RestrictionError

#: Number, kind and title; below it the remedy.
_TABLE = """
1 E exactly one last marked loss
    Compute the loss in forward with one of torch's losses, or join several with identity_loss(total, 'sum').
2 S no arithmetic after the marked loss
    Scale or add before the loss is marked, or mark the result with identity_loss(result, 'sum').
3 E dimension 0 divides by iterations x accumulation x replicas
    Make dimension 0 of every input a multiple of deviceIterations x gradientAccumulation x replicationFactor.
4 E shapes stay those of compilation
    Pad every batch to the same sizes, or destroy() and compile again.
5 E data types stay those of compilation
    Convert the input, or destroy() and compile again.
6 E structure and non-tensor values stay those of compilation
    Pass the same arguments in the same nesting in every call; pass what varies as a tensor.
7 E no operator whose output size depends on the data
    Use torch.where(mask, x, other) or a padded, ignored label instead of selecting rows.
8 E no value of a tensor in Python
    Compute with the tensor, or pass the number as an argument of forward.
9 S control flow is that of compilation
    Keep Python branches and Python numbers constant between calls; pass what varies as a tensor.
10 E dim_size, size or batch_size is given
    Pass dim_size to aggregations, size to global pools, batch_size to graph norms, num_nodes to utilities.
11 E layers do not add self-loops
    Give add_self_loops=False and add the self-loops to the data (transform AddSelfLoops).
12 E only supported layers and operators
    Take a supported layer or write it with supported operators.
13 S 64-bit integers fit in 32 bits
    Re-number the values; the device stores integers in 32 bits.
14 E no bfloat16 or complex inputs
    Convert the input to float32 or float16.
15 E no input or parameter of size zero
    Leave it out, or pad it to at least one row.
16 E tensors in forward are inputs, parameters or buffers
    Register the tensor with register_buffer, or pass it as an argument of forward.
17 S tensors made in forward are made on the IPU
    Write torch.zeros(n, device=x.device), or x.new_zeros(n); without a device torch.zeros(n) goes to the IPU as well.
18 S inputs do not require a gradient
    Pass x.detach(); gradients with respect to inputs are not returned.
19 E parameters and buffers are not replaced in forward
    Write in place: self.buffer.copy_(value), not self.buffer = value.
20 E no move to the CPU in forward
    Return the tensor and move it after the call.
21 E no backward() by hand
    Leave it out: the call of a training model has made the update already.
22 E only SGD, Adam, AdamW, RMSprop and LAMB, without AMSGrad
    Take one of them from poptorch.optim or torch.optim, with amsgrad=False.
23 E/S hyper-parameters change by setOptimizer, and only variable ones
    Call model.setOptimizer(optimizer) after a change; give a value to the constructor to keep it variable.
24 E options are known, well typed and not frozen
    Set options before they are given to a model or loader; Options.clone() gives a copy that can be changed.
25 E no gradient accumulation in inference
    Give the inference model options with accumulation 1.
26 E a model is wrapped for training once
    Call destroy() on the first training model.
27 E weights and devices are handled after compilation
    Call the model or compile() first.
28 S train() and eval() are chosen before wrapping
    Set the mode, then wrap; for evaluation wrap a second time with inferenceModel.
29 E no class weights in the loss
    Weight the samples, or mark your own weighted loss with identity_loss.
30 E one_hot has num_classes and bincount minlength
    Give the number of classes.
31 E embeddings are not sparse
    Give sparse=False.
32 E recurrent layers have one direction
    Run a second layer over the flipped sequence.
33 E slices are not empty and do not depend on data
    Take constant bounds, or torch.where with a mask.
34 E accumulation is at least 2 x stages - 1 in a pipeline, and device iterations are at least its stages
    Raise Training.gradientAccumulation, or deviceIterations in inference.
35 E the number of IPUs is a power of two and at most 64
    Change replicationFactor or the blocks, or set autoRoundNumIPUs(True).
36 E replicas do not change buffers
    Set broadcastBuffers(False) (in gnnkit device_options.broadcast_buffers=false), or do without running statistics.
37 E fixed-size batches hold at least two graphs
    Give num_graphs >= 2: one of them is the padding.
38 S indices stay below the number of nodes, classes below num_classes; ptr and y keep their length
    Keep a spare node, edge and graph in every batch for the padding, and give one_hot no ignored labels such as -100.
39 E no partial last batch
    Give drop_last=True, or pad the last batch.
40 E poptorch.cond only in inference
    Compute both branches and choose with torch.where.
41 E where blocks are used, every operator is in one
    Begin a block before the first operator, for example with Block.start("first", ipu_id=0).
"""


@dataclass(frozen=True)
class Restriction:
    """One restriction.

    Attributes:
        number: From 1.
        kind: "E", "S" or "E/S"; see the module.
        title: The rule in a few words, as what holds in a correct program.
        remedy: What to write instead.
    """

    number: int
    kind: str
    title: str
    remedy: str


RESTRICTIONS: Dict[int, Restriction] = {
    int(number): Restriction(int(number), kind, title, remedy)
    for number, kind, title, remedy in re.findall(r"^(\d+) (\S+) (.+)\n    (.+)$", _TABLE, re.MULTILINE)
}

_HERE = str(Path(__file__).parent)
_LIBRARIES = ("/torch/", "/torch_geometric/", "/torch_scatter/", "/torch_sparse/", "/torch_cluster/")
#: Frames outside of this function are no longer the user's forward.
_BORDER = "run_forward"


def user_location() -> str:
    """Innermost ``file:line`` of the user's forward on the stack; empty outside of forward."""
    frame = sys._getframe(1)
    found = ""
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        ours = path.startswith(_HERE)
        if ours and frame.f_code.co_name == _BORDER:
            return found
        generated = path.startswith("<") or (path.endswith(".py") and "_propagate_" in path.rsplit("/", 1)[-1])
        if not found and not ours and not generated and not any(part in path for part in _LIBRARIES):
            found = f"{path}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def refuse(
    number: int,
    detail: str,
    *,
    where: Optional[str] = None,
    error: Type[RestrictionError] = RestrictionError,
) -> NoReturn:
    """Raise the error for one restriction.

    Args:
        number: Number of the restriction.
        detail: What was received, as a sentence without its full stop.
        where: ``file:line``; by default it is looked for on the stack.
        error: Class to raise.

    Raises:
        RestrictionError: Always.
    """
    rule = RESTRICTIONS[number]
    location = user_location() if where is None else where
    place = f" [{location}]" if location else ""
    raise error(f"IPU restriction {number} ({rule.title}): {detail}{place}. {rule.remedy}", number, location)
