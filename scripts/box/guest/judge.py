# what arrived in the cloud: pictures a second, holes, length of the sound, tone against flash
import array, sys, av
v, s = [], []
for f in av.open(sys.argv[1]).decode(video=0):
    y = bytes(f.planes[0])[::101]; v.append((f.time, sum(y) / len(y)))
for f in (av.open(sys.argv[1]).decode(audio=0) if av.open(sys.argv[1]).streams.audio else ()):
    x = array.array('f', bytes(f.planes[0]))[:f.samples]
    for i in range(0, len(x) - 255, 256): s.append((f.time + i / f.sample_rate, max(x[i:i+256:5])))
def edges(a):
    if not a: return []
    lo, hi = min(y for _, y in a), max(y for _, y in a); out, last = [], -9
    if hi - lo < 0.02: return []
    for t, y in a:
        if y > (lo + hi) / 2:
            if t - last > 1.5: out.append(t)
            last = t
    return out
want, last = float(sys.argv[2]), v[-1][0]
fps = (len(v) - 1) / (last - v[0][0]); hole = max(b[0] - a[0] for a, b in zip(v, v[1:]))
ve, se = edges(v), edges(s); off = sorted(min((b - a for b in se), key=abs) for a in ve) if se else []
mid = off[len(off) // 2] if off else None
print(f'{last:.0f} s, {fps:.2f} of {want:g} pictures a second, longest hole {hole:.2f} s, sound to {s[-1][0] if s else 0:.1f} s, {len(ve)} flashes, {len(se)} tones, tone after flash {mid if mid is None else round(mid, 3)} s')
sys.exit(not (fps > want * .85 and hole < 1.5 and (not s or abs(s[-1][0] - last) < 1.5) and (mid is None or abs(mid) < .4)))
