# how far an event's own time is from when it came; the simulator speaks of the last 20 s at most
import json, sys
from datetime import datetime as D
p = lambda s: D.fromisoformat(s.replace('Z', '+00:00')).timestamp()
worst = max((abs(p(e['received_at']) - p(e['end_at'] or e['start_at'])), e['type'], e['start_at'], e['received_at'], e['clock']) for e in map(json.loads, sys.stdin) if e['start_at'] and e['session'])
print('%.1f s: %s start_at %s received_at %s clock %s' % worst); sys.exit(worst[0] > 60)
