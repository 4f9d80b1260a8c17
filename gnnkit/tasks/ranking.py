"""stub"""

from __future__ import annotations
import math
import numpy as np, torch
from sklearn.metrics import roc_auc_score, average_precision_score
from gnnkit.tasks.metrics import Metric


def _auc(f):
    def g(p, n):
        return f(np.r_[np.ones(len(p)), np.zeros(n.numel())], np.r_[p.numpy(), n.ravel().numpy()])

    return g


def _mrr(p, n):
    if n.ndim == 1:
        n = n.expand(len(p), -1)
    low = 1 + (n > p[:, None]).sum(1)
    high = low + (n == p[:, None]).sum(1)
    return float((2 / (low + high)).mean())


def _hits(k):
    def g(p, n):
        if n.ndim == 1:
            return float((p > n.topk(min(k, len(n))).values[-1]).float().mean())
        return float((1 + (n >= p[:, None]).sum(1) <= k).float().mean())

    return g


def chosen_pair_metrics(names, wanted, first, *, default=None, evaluator=None, ranked=False):
    names = wanted or names
    first = first or default
    names = list(dict.fromkeys(([first] if first else []) + list(names)))
    made = {}
    for n in names:
        if n == "auc":
            made[n] = Metric(_auc(roc_auc_score))
        elif n == "average_precision":
            made[n] = Metric(_auc(average_precision_score))
        elif n == "mrr":
            made[n] = Metric(_mrr)
        else:
            made[n] = Metric(_hits(int(n.split("@")[1])))
    return made


def rank_metric(name, r):
    rank = (r[:, 0] + r[:, 1]) / 2
    return float((1 / rank).mean()) if name == "mrr" else float((rank <= int(name.split("@")[1])).float().mean())


def ranks(table, h, pairs, known):
    out = []
    for i in range(0, len(pairs), 256):
        p = pairs[i : i + 256]
        s = table(h[p[:, 0]], h)
        own = s[torch.arange(len(p)), p[:, 1]]
        for j, (u, v) in enumerate(p.tolist()):
            k = torch.from_numpy(known.indices[known.indptr[u] : known.indptr[u + 1]])
            s[j, k] = -math.inf
            s[j, u] = -math.inf
            s[j, v] = own[j]
        low = 1 + (s > own[:, None]).sum(1)
        high = low + (s == own[:, None]).sum(1) - 1
        out.append(torch.stack([low.float(), high.float(), own - s.logsumexp(1)], 1))
    return torch.cat(out)
