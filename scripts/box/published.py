import json
sent = [d for d in map(json.loads, open('sim.jsonl')) if d['what'] == 'event']
got = [json.loads(l) for l in open('got.jsonl') if l.startswith('{')]
want = max({d['request_id'] for d in sent}, key=lambda s: sum(d['request_id'] == s for d in sent)); n = sum(d['request_id'] == want for d in sent)
ids = [int(g['id'].rsplit('/', 1)[1]) for g in got if g['session'] == want and g['id'].split('/')[2] == want]
print(f'{n} events came before the cut, {len(ids)} of that session were published')
raise SystemExit(not (n and set(range(1, n + 1)) <= set(ids) and ids == sorted(ids) and any(g['type'] == 'coverage.gap' and g['data']['reason'] == 'power_cut' for g in got)))
