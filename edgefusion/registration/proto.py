from __future__ import annotations
import time
import numpy as np
from dataclasses import dataclass
from edgefusion.core.geometry import apply, resize_map
from edgefusion.registration.coarse import Search, starts
from edgefusion.registration.fit import fit
from edgefusion.registration.levels import Pair, View
from edgefusion.registration.surfaces import surfaces
from edgefusion.registration.projective import normaliser

@dataclass
class Plan:
    side: int; block: int; radius: int; blur: float; model: str; rounds: int; many: int

PLAN = (
    Plan(160, 40, 10, 2.0, "similarity", 1, 4),
    Plan(160, 32, 6, 1.0, "homography", 2, 4),
    Plan(320, 48, 8, 1.5, "homography", 2, 10),
    Plan(640, 64, 8, 1.0, "homography", 2, 30),
)

def grid(size, n=9):
    x, y = np.linspace(0, size[0]-1, n), np.linspace(0, size[1]-1, n)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)

def spread(items, n):
    if len(items) <= n: return list(items)
    return [items[i] for i in np.linspace(0, len(items)-1, n).round().astype(int)]

def refine(pairs, reg, scale, plans):
    had = np.zeros(8)
    f = None
    for plan in plans:
        levels = [p.at(plan.side, scale) for p in spread(pairs, plan.many)]
        M = levels[0].here(reg)
        for i in range(plan.rounds):
            s = surfaces(levels, M, block_px=plan.block, radius_px=plan.radius if i == 0 else max(3, plan.radius//2))
            f = fit(s, levels[0].size_px, model=plan.model, blur_px=plan.blur if i == 0 else 0.5, before=had if plan.model == "homography" else None)
            M = M @ f.matrix
            if plan.model == "homography": had = had + f.parameters
        reg = levels[0].native(M)
    return reg, f, levels[0]

def estimate(images, start=None, model="homography", ncoarse=4, kstarts=6, plans=PLAN, verbose=False, keep=2):
    pairs = [Pair(View.of(v, 'visible'), View.of(t, 'thermal')) for v, t in images]
    vs, ts = pairs[0].visible.size_px, pairs[0].thermal.size_px
    start = resize_map(vs, ts) if start is None else start
    scale = float(np.sqrt(abs(np.linalg.det(start[:2,:2]))))
    t0 = time.perf_counter()
    lv = [p.at(160, scale) for p in spread(pairs, ncoarse)]
    cands = starts(lv, lv[0].here(start), search=Search(), most=kstarts)
    t1 = time.perf_counter()
    out = []
    for c in cands:
        reg, f, _ = refine(pairs, lv[0].native(c.registration), scale, plans[:2])
        out.append((f.score, c.score, reg))
    out.sort(key=lambda o: -o[0])
    t2 = time.perf_counter()
    # distinct
    g = grid(vs)
    best = []
    for o in out:
        if all(np.hypot(*(apply(o[2], g) - apply(b[2], g)).T).mean() > 8 * max(vs)/640 for b in best): best.append(o)
    fin = []
    for o in best[:keep]:
        reg, f, level = refine(pairs, o[2], scale, plans[2:])
        fin.append((f.score, o[0], o[1], reg, f, level))
    fin.sort(key=lambda o: -o[0])
    t3 = time.perf_counter()
    b = fin[0]
    # sandwich uncertainty
    from edgefusion.registration.projective import moved
    norm = normaliser(b[5].size_px)
    pts = grid(b[5].size_px) @ norm[:2,:2].T + norm[:2,2]
    _, sl = moved(np.zeros(len(b[4].parameters)), pts)
    var = np.einsum('bip,pq,biq->b', sl, b[4].covariance, sl) / norm[0,0]**2
    unc = float(np.sqrt(var).mean()) / b[5].from_visible[0,0]
    info = dict(score=b[0], unc=unc, coarse=[round(c.score,4) for c in cands], mid=[round(o[0],4) for o in best], final=[round(o[0],4) for o in fin], t=(t1-t0,t2-t1,t3-t2))
    return b[3], info
